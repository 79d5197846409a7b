"""Accepting an event, beside the least that could keep it: `python -m benchmarks.ingest [--json]`.

- accept: `PostgresStore.accept`, which writes the session's next number, the inbox row and the job, in one transaction;
- plain: one INSERT of a row of the same columns by psycopg, autocommit, into a table of its own with a primary key.

One at a time, in turns, on one server with fsync on, and no worker. Both sides write to the same sessions in the same order.
"""

import argparse
import asyncio
import json
import time

import psycopg

from agent.ports import Event
from agent.protocol import Reply
from benchmarks._measure import fresh_server, percentile, report
from persistence.database import open_database
from persistence.store import PostgresStore

WARM = 200
SAMPLES = 1500
SESSIONS = 50

_TABLE = """
CREATE TABLE plain (
    event_id text PRIMARY KEY, session_id text NOT NULL, seq bigint NOT NULL, origin text NOT NULL, kind text NOT NULL,
    body text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_INSERT = "INSERT INTO plain (event_id, session_id, seq, origin, kind, body) VALUES (%s, %s, %s, %s, %s, %s)"
_SAID = Reply(text="Acceptance criteria:\n- an export of 10,000 rows ends within 20 seconds", by="ann")


async def measure() -> dict[str, list[float]]:
    """The milliseconds of each sample of both sides."""
    times: dict[str, list[float]] = {"accept": [], "plain": []}
    with fresh_server() as dsn:
        async with open_database(dsn) as database, await psycopg.AsyncConnection.connect(dsn, autocommit=True) as plain:
            store = PostgresStore(database)
            await plain.execute(_TABLE)
            for n in range(WARM + SAMPLES):
                event = Event(
                    event_id=f"benchmark:event:{n}",
                    session_id=f"benchmark:{n % SESSIONS}",
                    origin="benchmark",
                    answer=_SAID,
                )
                start = time.perf_counter()
                await store.accept(event)
                accepted = time.perf_counter()
                body = json.dumps(event.answer.model_dump(mode="json"))
                await plain.execute(_INSERT, (event.event_id, event.session_id, n, event.origin, event.answer.type, body))
                inserted = time.perf_counter()
                if n >= WARM:
                    times["accept"].append(1000 * (accepted - start))
                    times["plain"].append(1000 * (inserted - accepted))
    return times


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    times = asyncio.run(measure())
    ms = {f"{side}_p{percent}_ms": percentile(times[side], percent) for side in times for percent in (50, 99)}
    ratios = {f"ingest_p{percent}_ratio": ms[f"accept_p{percent}_ms"] / ms[f"plain_p{percent}_ms"] for percent in (50, 99)}
    rows: list[list[object]] = [["", "p50 ms", "p99 ms"]]
    rows += [[side, ms[f"{side}_p50_ms"], ms[f"{side}_p99_ms"]] for side in times]
    rows.append(["accept / plain", ratios["ingest_p50_ratio"], ratios["ingest_p99_ratio"]])
    report(f"{SAMPLES} events, one at a time", rows, {**ratios, **ms}, as_json=options.json)


if __name__ == "__main__":
    main()
