"""Filings a second, beside bare POSTs of the same bodies by httpx: `python -m benchmarks.filing [--json]`.

Both sides send the same tickets to the same server on this machine, sixteen at a time.

- filed: from before an approval is accepted into the inbox to after its ticket is on record as filed and its session was told:
  two turns, the ladder's three transactions, and the POST, through PostgreSQL (fsync on), the queue and the shell;
- bare: `httpx.AsyncClient.post` of what the filings sent, with the same client settings, and nothing else.

The sides alternate, and the median round of each counts.
"""

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx

from agent.catalogue import Catalogue
from agent.checkpoint import TurnSaver
from agent.graph import build
from agent.ladder import Ladder
from agent.ports import Event, Snapshot, Turn
from agent.protocol import Decision, FilingOutcome, Reply
from agent.reading import interview
from agent.sealing import Destination
from agent.shell import Shell, TerminalFacts
from agent.similar import Similar
from agent.trackers import Tracker
from agent.turn import Turns
from benchmarks._measure import fresh_database, percentile, report
from persistence.database import Database
from persistence.filings import PostgresFilings
from persistence.similar import OurFilings
from persistence.store import PostgresStore
from skills.trackers import connected
from skills.trackers.http import TIMEOUT

AT_ONCE = 16
TICKETS = 160
ROUNDS = 3
SAID = "Title: Export {n} fails\nProblem: It answers 500 since Monday.\nAcceptance criteria:\n- it finishes\n- it is logged"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of a GitHub of our own, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks._github"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


class Told(PostgresStore):
    """The store of the program, which tells when a session was told what became of its filing."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.waiting: dict[str, asyncio.Future[float]] = {}

    async def commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        """Commits, then tells."""
        more = await super().commit(snapshot, turn)
        session = snapshot.event.session_id
        if isinstance(snapshot.event.answer, FilingOutcome):
            assert turn.outcome == "filed"
            self.waiting.pop(session).set_result(time.perf_counter())
        elif turn.graph and turn.graph.new_card and session in self.waiting:
            self.waiting.pop(session).set_result(time.perf_counter())
        return more

    async def take(self, event: Event) -> float:
        """Accepts the event; gives the seconds until what it leads to is there."""
        done = self.waiting[event.session_id] = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        await self.accept(event)
        seconds: float = await done - start
        return seconds


async def filed(store: Told, database: Database, round_: int) -> tuple[float, list[float]]:
    """Seconds for all approvals of a round, and of each."""
    at_once, sessions = asyncio.Semaphore(AT_ONCE), [f"terminal:{round_}-{n}" for n in range(TICKETS)]

    async def send(session: str, answer: Reply | Decision) -> float:
        async with at_once:
            event = Event(event_id=f"{session}:{answer.type}", session_id=session, answer=answer)
            return await store.take(event)

    said = (send(session, Reply(text=SAID.format(n=session), by="ann")) for session in sessions)
    await asyncio.gather(*said)
    async with database.turns.connection() as connection:
        rows = await (await connection.execute("SELECT session_id, draft_hash FROM previews WHERE status = 'open'")).fetchall()
    start = time.perf_counter()
    each = await asyncio.gather(
        *(send(row["session_id"], Decision(type="approve", draft_hash=row["draft_hash"], by="ann")) for row in rows)
    )
    return time.perf_counter() - start, list(each)


async def bare(address: str, bodies: list[bytes]) -> tuple[float, list[float]]:
    """The same for POSTs alone."""
    at_once = asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits) as client:

        async def post(body: bytes) -> float:
            async with at_once:
                start = time.perf_counter()
                (await client.post(f"{address}/repos/acme/web/issues", content=body)).raise_for_status()
                return time.perf_counter() - start

        start = time.perf_counter()
        each = await asyncio.gather(*map(post, bodies))
    return time.perf_counter() - start, list(each)


async def measure() -> tuple[list[tuple[float, list[float]]], list[tuple[float, list[float]]]]:
    """The rounds of both sides."""
    with server() as address:
        async with fresh_database(AT_ONCE) as database:
            trackers = connected({"GITHUB_TOKEN": "t", "GITHUB_API_URL": address})
            bodies = _recorded(trackers["github"])
            catalogue, destination = Catalogue(trackers), Destination(tracker="github", project="acme/web")
            store = Told(database)
            turns = Turns(build(interview(), trackers, destination, TurnSaver()))
            ladder, similar = Ladder(PostgresFilings(database), catalogue), Similar(catalogue, OurFilings(database))
            shell = Shell(store, turns, ladder, similar, TerminalFacts(catalogue, destination))
            ours, theirs = [], []
            async with database.queue.working(shell):
                for round_ in range(ROUNDS):
                    bodies.clear()
                    ours.append(await filed(store, database, round_))
                    assert len(bodies) == TICKETS, "one POST for each approval"
                    theirs.append(await bare(address, list(bodies)))
    return ours, theirs


def _recorded(tracker: Tracker) -> list[bytes]:
    """The bodies that a tracker posts, as they are posted."""
    bodies: list[bytes] = []
    client: httpx.AsyncClient = tracker._api._client  # type: ignore[attr-defined]

    async def record(request: httpx.Request) -> None:
        if request.method == "POST":
            bodies.append(request.content)

    client.event_hooks["request"].append(record)
    return bodies


def main() -> None:
    """Prints both sides and their ratio."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = options.parse_args().json
    ours, theirs = asyncio.run(measure())
    rates = [TICKETS / statistics.median(seconds for seconds, _ in side) for side in (ours, theirs)]
    each = [[one for _, times in side for one in times] for side in (ours, theirs)]
    p50, p99 = ([1000 * percentile(side, percent) for side in each] for percent in (50, 99))
    rows = [
        ("", "a second", "p50 ms", "p99 ms"),
        ("filed by Signoff", rates[0], p50[0], p99[0]),
        ("bare POSTs by httpx", rates[1], p50[1], p99[1]),
        ("ratio", rates[0] / rates[1], p50[0] / p50[1], p99[0] / p99[1]),
    ]
    figures = {"filing_ratio": rates[0] / rates[1], "filings_per_s": rates[0], "posts_per_s": rates[1], "filing_p50_ms": p50[0]}
    report("Filings", rows, figures, as_json=as_json)


if __name__ == "__main__":
    main()
