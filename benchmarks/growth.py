"""Turn 200 beside turn 20 of one session: `python -m benchmarks.growth [--json]`.

The session begins with a complete ticket; then each message replaces title and problem by others of the same length, so
that nothing said adds to the ticket. Ids are of one length as well. Compared are

- bytes: the columns of every row that the turn wrote (session, inbox, effects, preview, model call), as sent to the server;
- milliseconds from before the event is accepted to after its commit, the median of the ten turns around it (noise);
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
SESSION = "benchmark:growth"

_FIRST = """Title: Export fails for account 000
Problem: Since Monday every export of account 000 ends with a time-out after 30 seconds.
Acceptance criteria:
- an export of 10,000 rows ends within 20 seconds
- a failed export says why"""
_NEXT = """Title: Export fails for account {n:03}
Problem: Since Monday every export of account {n:03} ends with a time-out after 30 seconds."""

_WRITTEN = {
    "sessions": "SELECT row FROM sessions row WHERE session_id = :session",
    "inbox": "SELECT row FROM inbox row WHERE event_id = :event",
    "effects": "SELECT row FROM effects row WHERE key LIKE :event || ':%'",
    "previews": "SELECT row FROM previews row WHERE session_id = :session AND status = 'open'",
    "model_calls": "SELECT row FROM model_calls row WHERE event_id = :event",
}
"""The rows that a turn which ends in a new card has written, by table."""


async def _bytes_of(database: Database, event_id: str) -> int:
    """The sum over all columns of those rows; bytea counts as its bytes, everything else as its text."""
    found = 0
    async with database.turns.connect() as connection:
        for rows in _WRITTEN.values():
            size = text(f"SELECT sum(octet_length(value)) FROM ({rows}) found, json_each_text(to_json(found.row)) WHERE value IS NOT NULL")
            found += (await connection.execute(size, {"event": event_id, "session": SESSION})).scalar_one()
    return found


async def _characters_of(database: Database, event_id: str) -> int:
    async with database.turns.connect() as connection:
        sent = text("SELECT sum(characters) FROM model_calls WHERE event_id = :event")
        return int((await connection.execute(sent, {"event": event_id})).scalar_one())


async def measure() -> dict[str, float]:
    """Takes the turns, one after the other."""
    times: dict[int, float] = {}
    figures: dict[str, float] = {}
    async with fresh_database(4) as database, working(database) as store:
        for n in range(1, LATE + 1):
            said = _NEXT.format(n=n) if n > 1 else _FIRST
            event = Event(
                event_id=f"{SESSION}:{n:03}", session_id=SESSION, origin="benchmark", answer=Reply(text=said, by="ann")
            )
            taken = await store.take(event)
            assert taken.turn.graph and taken.turn.graph.new_card, "every turn of this session shows a new card"
            times[n] = 1000 * taken.seconds
            if n in AROUND:
                figures[f"bytes_{n}"] = await _bytes_of(database, event.event_id)
                figures[f"characters_{n}"] = await _characters_of(database, event.event_id)
    for n, around in AROUND.items():
        figures[f"ms_{n}"] = statistics.median(times[turn] for turn in around)
    ratios = {f"growth_{what}_ratio": figures[f"{what}_{LATE}"] / figures[f"{what}_{EARLY}"] for what in ("bytes", "ms", "characters")}
    return ratios | figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    figures = asyncio.run(measure())
    rows: list[list[object]] = [["", f"turn {EARLY}", f"turn {LATE}", "ratio"]]
    for what, label in (("bytes", "bytes stored"), ("ms", "ms"), ("characters", "characters to the model")):
        rows.append([label, figures[f"{what}_{EARLY}"], figures[f"{what}_{LATE}"], figures[f"growth_{what}_ratio"]])
    report(f"One session of {LATE} turns that replace", rows, figures, as_json=options.json)


if __name__ == "__main__":
    main()
