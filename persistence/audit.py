"""The audit log on PostgreSQL: rows are appended in the transaction that makes them true, and read in their order.

Whoever appends holds one lock until the commit, because each row has the hash of the one before it. So it is taken last: while
it is held nothing else is waited for.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row

from agent.audit import NOTHING, Entry, Head, Row
from persistence.database import Database

APPEND: LiteralString = "SELECT audit_append(%(sessions)s::text[], %(events)s::text[], %(kinds)s::text[], %(bodies)s::text[])"
AT: LiteralString = """
    coalesce(
        to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || CASE WHEN at < '0001-01-01' THEN ' BC' ELSE '' END,
        at::text
    )
"""
"""A time as it is hashed, whatever somebody made of it."""

ROWS: LiteralString = f"SELECT seq, {AT} AS at, session_id, event_id, kind, body, previous, hash FROM audit"
FIRST = "SELECT coalesce(min(seq), (SELECT max(seq) + 1 FROM audit), 1) FROM audit WHERE at >= %(since)s::timestamptz"
HEAD = """
    SELECT count(*) AS count, coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), %(nothing)s) AS head,
           coalesce((SELECT hash FROM audit WHERE seq < %(first)s ORDER BY seq DESC LIMIT 1), %(nothing)s) AS before
    FROM audit WHERE seq >= %(first)s
"""


def appending(entries: Sequence[Entry]) -> list[tuple[LiteralString, dict[str, Any]]]:
    """The statement that appends these entries, to be the last of its transaction; none if there are none."""
    if not entries:
        return []
    values = {
        "sessions": [entry.session_id for entry in entries],
        "events": [entry.event_id for entry in entries],
        "kinds": [entry.kind for entry in entries],
        "bodies": [entry.text for entry in entries],
    }
    return [(APPEND, values)]


async def append(driver: AsyncConnection[Any], *entries: Entry) -> None:
    """Appends entries; the last thing that the caller's transaction does."""
    for statement, values in appending(entries):
        await driver.execute(statement, values)


class PostgresAudit:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def rows(self, since: str | None = None) -> AsyncIterator[tuple[Head, AsyncIterator[Row]]]:
        """The rows from a time on, one by one, all of one moment; before them what they are to come to."""
        async with self._database.turns.connection() as driver, driver.transaction():
            await driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            first = 1
            if since:
                [first] = (await (await driver.execute(FIRST, {"since": since})).fetchone() or {}).values()
            known: Any = await (await driver.execute(HEAD, {"first": first, "nothing": NOTHING})).fetchone()
            async with driver.cursor("audit", row_factory=class_row(Row)) as cursor:
                await cursor.execute(
                    f"{ROWS} WHERE %(all)s OR seq >= %(first)s ORDER BY seq", {"all": not since, "first": first}
                )
                yield Head(first=first, **known), aiter(cursor)

    async def of_session(self, session_id: str) -> list[Row]:
        """The rows of a session."""
        async with self._database.turns.connection() as driver, driver.cursor(row_factory=class_row(Row)) as cursor:
            await cursor.execute(f"{ROWS} WHERE session_id = %(session_id)s ORDER BY seq", {"session_id": session_id})
            return await cursor.fetchall()
