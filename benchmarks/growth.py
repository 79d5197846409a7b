"""Turn 200 beside turn 20 of one session: `python -m benchmarks.growth [--json]`.

The session begins with a complete ticket; then each message replaces title and problem by others of the same length, so
that nothing said adds to the ticket. Ids are of one length as well. Compared are

- bytes in the rows that the turn wrote (session with its checkpoint, inbox, effects, preview, model call), not compressed;
- milliseconds from before the event is accepted to after its commit: the median of the ten turns around it, of five pairs
  of such sessions. The late turns of one and the early turns of the other alternate, so that noise falls on both alike;
- characters that a model was sent.
"""

import argparse
import asyncio
import statistics

from sqlalchemy import text

from agent.ports import Event
from agent.protocol import Reply
from benchmarks._measure import fresh_database, report, working
from persistence.database import Database

EARLY, LATE = 20, 200
AROUND = {EARLY: range(16, 26), LATE: range(191, 201)}
PAIRS = 5
_COMPARED = {"bytes": "bytes stored", "ms": "ms", "characters": "characters to the model"}

_FIRST = """Title: Export fails for account 000
Problem: Since Monday every export of account 000 ends with a time-out after 30 seconds.
Acceptance criteria:
- an export of 10,000 rows ends within 20 seconds
- a failed export says why"""
_NEXT = """Title: Export fails for account {n:03}
Problem: Since Monday every export of account {n:03} ends with a time-out after 30 seconds."""

_WRITTEN = (
    ("sessions", "state, pending, checkpoint", "session_id = :session"),
    ("inbox", "event_id, session_id, origin, kind, body, outcome", "event_id = :event"),
    ("effects", "key, session_id, origin, body", "key LIKE :event || ':%'"),
    ("previews", "preview_id, session_id, draft_hash, sealed, status", "session_id = :session AND status = 'open'"),
    ("model_calls", "event_id, digest, answer", "event_id = :event"),
)
"""The rows that a turn which ends in a new card has written: table, columns of no fixed width, which rows."""


async def _bytes_of(database: Database, event: Event) -> int:
    """The bytes in those columns."""
    found = 0
    async with database.engine.connect() as connection:
        for table, columns, which in _WRITTEN:
            size = " + ".join(f"octet_length({column})" for column in columns.split(", "))
            rows = text(f"SELECT sum({size}) FROM {table} WHERE {which}")
            named = {"event": event.event_id, "session": event.session_id}
            found += (await connection.execute(rows, {name: named[name] for name in rows.compile().params})).scalar_one()
    return found


async def _characters_of(database: Database, event_id: str) -> int:
    async with database.engine.connect() as connection:
        sent = text("SELECT sum(characters) FROM model_calls WHERE event_id = :event")
        return int((await connection.execute(sent, {"event": event_id})).scalar_one())


async def measure() -> dict[str, float]:
    """Takes the turns: of each pair of sessions the younger one's early turns between the older one's late turns."""
    figures: dict[str, float] = {}
    times: dict[int, list[float]] = {EARLY: [], LATE: []}

    async with fresh_database(4) as database, working(database) as store:

        async def take(session_id: str, n: int) -> float:
            said = Reply(text=_NEXT.format(n=n) if n > 1 else _FIRST, by="ann")
            event = Event(event_id=f"{session_id}:{n:03}", session_id=session_id, origin="benchmark", answer=said)
            taken = await store.take(event)
            assert taken.turn.graph
            assert taken.turn.graph.new_card, "every turn of this session shows a new card"
            if n in AROUND:
                figures[f"bytes_{n}"] = await _bytes_of(database, event)
                figures[f"characters_{n}"] = await _characters_of(database, event.event_id)
            return 1000 * taken.seconds

        for pair in range(PAIRS):
            older, younger = f"benchmark:{pair}:older", f"benchmark:{pair}:later"  # names of one length
            for n in range(1, AROUND[LATE].start):
                await take(older, n)
            for n in range(1, AROUND[EARLY].start):
                await take(younger, n)
            for early, late in zip(AROUND[EARLY], AROUND[LATE], strict=True):
                times[EARLY].append(await take(younger, early))
                times[LATE].append(await take(older, late))
    for n, measured in times.items():
        figures[f"ms_{n}"] = statistics.median(measured)
    ratios = {f"growth_{what}_ratio": figures[f"{what}_{LATE}"] / figures[f"{what}_{EARLY}"] for what in _COMPARED}
    return ratios | figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    figures = asyncio.run(measure())
    rows: list[list[object]] = [["", f"turn {EARLY}", f"turn {LATE}", "ratio"]]
    for what, label in _COMPARED.items():
        rows.append([label, figures[f"{what}_{EARLY}"], figures[f"{what}_{LATE}"], figures[f"growth_{what}_ratio"]])
    report(f"{PAIRS} pairs of sessions whose turns replace", rows, figures, as_json=options.json)


if __name__ == "__main__":
    main()
