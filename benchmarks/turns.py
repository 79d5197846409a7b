"""Durable turns a second, beside the same graph in memory: `python -m benchmarks.turns [--json] [--profile]`.

Both sides run the same sessions of eight turns through graphs of the same construction, sixteen sessions at a time, each
sending its next event when the one before is done: a complete ticket, five changes that replace, thanks, and a rejected
card. Nothing is approved, because then a tracker would be measured too.

- durable: from before the event is accepted into the inbox to after its turn is committed, through PostgreSQL (fsync on),
  the queue and the shell, as in the program;
- in memory: `ainvoke` of the graph on langgraph's InMemorySaver with `durability="exit"`, and nothing else.

The sides alternate, and the median round of each counts. Both must end with the same sealed ticket.
"""

import argparse
import asyncio
import cProfile
import pstats
import statistics
import sysconfig
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from sqlalchemy import text

from agent.ports import Event
from agent.protocol import Decision, Reply
from agent.state import to_message
from agent.turn import STRICT
from benchmarks._measure import WatchedStore, compiled, fresh_database, percentile, report, working
from persistence.database import Database

AT_ONCE = 16
SESSIONS = 48
ROUNDS = 3

_FIRST = """Title: Export fails for European accounts
Problem: Since Monday every export of an account in the European region ends with a time-out after 30 seconds.
Type: story
Acceptance criteria:
- an export of 10,000 rows ends within 20 seconds
- a failed export says why
Priority: medium"""
_SAID: list[Reply | Decision] = [
    Reply(text=_FIRST, by="ann"),
    Reply(text="Title: Exports of European accounts time out", by="bob"),
    Reply(text="Priority: high", by="ann"),
    Reply(text="thanks, that is much better", by="bob"),
    Reply(
        text="Acceptance criteria:\n- an export of 10,000 rows ends within 15 seconds\n- a failed export says why",
        by="ann",
    ),
    Decision(type="reject", by="cy", reason="say whose exports"),
    Reply(text="Title: Exports of all European accounts time out", by="ann"),
    Reply(text="Problem: Since Monday exports of European accounts end with a time-out after 30 seconds.", by="bob"),
]

Take = Callable[[Event], Awaitable[dict[str, Any]]]
"""Takes one event; gives what its session then waits for."""


class InMemory:
    """The graph on langgraph's saver in memory, resumed as the shell resumes it."""

    def __init__(self) -> None:
        self._graph = compiled(InMemorySaver())
        self._waiting: dict[str, str] = {}

    async def take(self, event: Event) -> dict[str, Any]:
        """One run of the graph."""
        answer = event.answer.model_copy(update={"event_id": event.event_id})
        config: RunnableConfig = {"configurable": {"thread_id": event.session_id, STRICT: True}}
        given: Any = {"messages": [to_message(answer)]} if isinstance(answer, Reply) else {}
        if waiting := self._waiting.get(event.session_id):
            given = Command(resume={waiting: answer.model_dump(mode="json")})
        result = await self._graph.ainvoke(given, config, durability="exit", version="v2")
        [interrupt] = result.interrupts
        self._waiting[event.session_id] = interrupt.id
        request: dict[str, Any] = interrupt.value
        return request


def durable(store: WatchedStore) -> Take:
    """The same through inbox, queue, shell and commit."""

    async def take(event: Event) -> dict[str, Any]:
        graph = (await store.take(event)).turn.graph
        assert graph
        assert graph.pending
        return graph.pending.request

    return take


async def _converse(take: Take, session_id: str) -> tuple[list[float], str]:
    """One session: the seconds of each turn, and the hash of the card at its end."""
    seconds, draft_hash = [], ""
    for n, said in enumerate(_SAID):
        event = Event(event_id=f"{session_id}:{n}", session_id=session_id, origin="benchmark", answer=said)
        if isinstance(said, Decision):
            event.answer = said.model_copy(update={"draft_hash": draft_hash})
        start = time.perf_counter()
        request = await take(event)
        seconds.append(time.perf_counter() - start)
        draft_hash = request["action_requests"][0]["args"].get("draft_hash", "")
    return seconds, draft_hash


async def _round(take: Take, name: str, sessions: int = SESSIONS) -> tuple[float, list[float], str]:
    """Turns a second, the seconds of each turn, and the hash that every session ended with."""
    names = iter([f"benchmark:{name}:{n}" for n in range(sessions)])

    async def one_after_another() -> list[tuple[list[float], str]]:
        return [await _converse(take, session_id) for session_id in names]

    start = time.perf_counter()
    done = [one for many in await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE))) for one in many]
    rate = sessions * len(_SAID) / (time.perf_counter() - start)
    [draft_hash] = {draft_hash for _, draft_hash in done}
    return rate, [second for seconds, _ in done for second in seconds], draft_hash


async def measure() -> tuple[dict[str, float], list[list[object]]]:
    """All rounds of both sides, alternating, after a short one of each that does not count."""
    rates: dict[str, list[float]] = {"durable": [], "in memory": []}
    times: dict[str, list[float]] = {"durable": [], "in memory": []}
    hashes = set()
    async with fresh_database(AT_ONCE) as database:
        for n in range(ROUNDS + 1):
            sessions = SESSIONS if n else AT_ONCE
            async with working(database) as store:
                on_disk = await _round(durable(store), str(n), sessions)
            in_memory = await _round(InMemory().take, str(n), sessions)
            hashes |= {on_disk[2], in_memory[2]}
            for side, (rate, seconds, _) in (("durable", on_disk), ("in memory", in_memory)) if n else ():
                rates[side].append(rate)
                times[side] += seconds
    assert len(hashes) == 1, "the two sides came to different tickets"
    medians = {side: statistics.median(rates[side]) for side in rates}
    figures = {
        "turns_ratio": medians["durable"] / medians["in memory"],
        "durable_turns_per_second": medians["durable"],
        "memory_turns_per_second": medians["in memory"],
        "durable_p50_ms": 1000 * percentile(times["durable"], 50),
        "durable_p99_ms": 1000 * percentile(times["durable"], 99),
        "memory_p50_ms": 1000 * percentile(times["in memory"], 50),
        "memory_p99_ms": 1000 * percentile(times["in memory"], 99),
        "sessions_at_once": AT_ONCE,
    }
    rows: list[list[object]] = [["", "turns a second", "p50 ms", "p99 ms"]]
    for side in rates:
        rows.append([side, medians[side], *(1000 * percentile(times[side], percent) for percent in (50, 99))])
    return figures, [*rows, ["durable / in memory", figures["turns_ratio"], "", ""]]


# --- Where the time goes -----------------------------------------------------------------------------------------------

_ROOMS = ("agent", "skills", "persistence", "benchmarks")
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib"))
_STANDARD = Path(sysconfig.get_path("stdlib"))
_PROJECT = Path(__file__).parents[1]
_STATEMENT = ("_execute_send", "_send_query_prepared")
"""The functions of psycopg one of which each statement calls once (coroutines would be counted each time they go on)."""


def _package(file: str) -> str:
    """The package a file belongs to, as the profile sums it up."""
    path = Path(file)
    for root in (*_LIBRARIES, _STANDARD, _PROJECT):
        if path.is_relative_to(root):
            name = path.relative_to(root).parts[0].removesuffix(".py")
            return name if root != _PROJECT else "ours" if name in _ROOMS else name
    return "built-in"


def _by_package(stats: dict[Any, Any]) -> Counter[str]:
    """Seconds by package; what is built in counts for whoever called it, waiting for events is `idle`."""
    spent: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, callers) in stats.items():
        if "select.epoll" in function or "select.kqueue" in function:
            spent["idle"] += own
        elif file.startswith(("~", "<")) and callers:
            for (caller, _, _), (*_, share, _) in callers.items():
                spent[_package(caller)] += share
        else:
            spent[_package(file)] += own
    return spent


async def _transactions(database: Database) -> int:
    await asyncio.sleep(1.5)  # servers' processes count theirs once a second
    async with database.engine.connect() as connection:
        counted = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int((await connection.execute(text(counted))).scalar_one())


async def profile() -> None:
    """One durable round under cProfile (about twice as slow), as milliseconds a turn by package. The event loop's thread
    alone is profiled: what runs in others is `idle`."""
    profiler, turns = cProfile.Profile(), SESSIONS * len(_SAID)
    async with fresh_database(AT_ONCE) as database, working(database) as store:
        await _round(durable(store), "warm", AT_ONCE)
        before = await _transactions(database)
        profiler.enable()
        await _round(durable(store), "profiled")
        profiler.disable()
        after = await _transactions(database)
    stats: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    spent = _by_package(stats)
    rows: list[list[object]] = [["package", "ms a turn", "%"]]
    for name, seconds in spent.most_common(16):
        rows.append([name, 1000 * seconds / turns, 100 * seconds / spent.total()])
    report("Where a durable turn's time goes", rows, {}, as_json=False)
    statements = sum(row[0] for (_, _, name), row in stats.items() if name in _STATEMENT)
    rows = [["on the wire", "a turn"], ["statements", statements / turns], ["transactions", (after - before) / turns]]
    report("How often", rows, {}, as_json=False)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--profile", action="store_true", help="say where the time of the durable side goes")
    options = parser.parse_args()
    if options.profile:
        asyncio.run(profile())
        return
    figures, rows = asyncio.run(measure())
    report(f"{ROUNDS} rounds of {SESSIONS} sessions, {AT_ONCE} at a time", rows, figures, as_json=options.json)


if __name__ == "__main__":
    main()
