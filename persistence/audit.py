"""The audit log on PostgreSQL: rows are appended in the transaction that makes them true, and read in their order.

Whoever appends holds one lock until the commit, because each row has the hash of the one before it. So it is taken last: while
it is held nothing else is waited for.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from agent.audit import LIMIT, NOTHING, Entry, Head, Row
from agent.recording import recorded
from agent.sealing import SHORT
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

BEGUN = "coalesce((SELECT at - interval '1 second' FROM audit ORDER BY seq LIMIT 1), '-infinity')"
"""Since when there is a log; what happened before is not in it. Its first row is the last thing that its transaction wrote."""

EVENTS = f"""
    SELECT session_id, event_id FROM inbox
    WHERE processed_at >= {BEGUN} AND outcome NOT IN ('overheard', 'ignored') AND NOT EXISTS (
        SELECT FROM audit WHERE audit.session_id = inbox.session_id AND audit.event_id = inbox.event_id
    ) ORDER BY processed_at
"""
CARDS = f"""
    SELECT session_id, draft_hash, encode(sha256(sealed), 'hex') AS digest, shown.preview_id IS NOT NULL AS shown
    FROM previews LEFT JOIN (
        SELECT session_id, substring(body FROM '"preview_id":"([^"]*)"') AS preview_id,
               substring(body FROM '"draft_hash":"([^"]*)"') AS draft_hash
        FROM audit WHERE kind = 'previewed'
    ) AS shown USING (session_id, preview_id, draft_hash)
    WHERE at >= {BEGUN} AND (shown.preview_id IS NULL OR encode(sha256(sealed), 'hex') <> draft_hash) ORDER BY at
"""
DECISIONS = f"""
    SELECT decided.*, array_remove(array_agg(audit.body), NULL) AS bodies FROM (
        SELECT session_id, event_id, draft_hash, preview_id, approved_by, name, thread, status, at FROM approvals
        UNION SELECT session_id, event_id, draft_hash, preview_id, approved_by, name, thread, status, at FROM approval_history
    ) AS decided LEFT JOIN audit ON audit.kind = 'decided' AND audit.session_id = decided.session_id
                                 AND audit.event_id = decided.event_id
    WHERE decided.at >= {BEGUN} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY decided.at
"""
PLACES = f"""
    SELECT place, changed_by, setting, newest.body FROM places LEFT JOIN LATERAL (
        SELECT body FROM audit WHERE session_id = place AND kind = 'configured' ORDER BY seq DESC LIMIT 1
    ) AS newest ON true WHERE at >= {BEGUN} ORDER BY at
"""
FILINGS = f"""
    SELECT filings.session_id, draft_hash, status, coalesce(key, '') AS key, coalesce(url, '') AS url,
           array_remove(array_agg(audit.body), NULL) AS bodies
    FROM filings LEFT JOIN audit ON audit.kind = status AND audit.session_id = filings.session_id
    WHERE filings.at >= {BEGUN} AND status <> 'intended' GROUP BY 1, 2, 3, 4, 5, filings.at ORDER BY filings.at
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

    async def disagreements(self) -> list[str]:
        """What the other tables say since the log began, and the log does not, a sentence each."""
        found = list[str]()
        async with self._database.turns.connection() as driver, driver.transaction():
            await driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for statement, told in (
                (EVENTS, _event),
                (CARDS, _card),
                (DECISIONS, _decision),
                (FILINGS, _filing),
                (PLACES, _place),
            ):
                async with driver.cursor("others", row_factory=dict_row) as cursor:
                    await cursor.execute(statement)
                    found += [sentence async for row in cursor if (sentence := told(row))]
        return found[:LIMIT] + [f"And so on: {len(found) - LIMIT:,} more."] * (len(found) > LIMIT)

    async def of_session(self, session_id: str) -> list[Row]:
        """The rows of a session."""
        async with self._database.turns.connection() as driver, driver.cursor(row_factory=class_row(Row)) as cursor:
            await cursor.execute(f"{ROWS} WHERE session_id = %(session_id)s ORDER BY seq", {"session_id": session_id})
            return await cursor.fetchall()


def _event(row: dict[str, Any]) -> str:
    return f"Event {row['event_id']} of {row['session_id']} was processed, and no row is about it."


def _card(row: dict[str, Any]) -> str:
    card = f"ard {row['draft_hash'][:SHORT]} of {row['session_id']}"
    return (
        f"What c{card} holds does not belong to its hash." if row["shown"] else f"C{card} is in no row as one that was shown."
    )


def _decision(row: dict[str, Any]) -> str:
    known = {name: row[name] or "" for name in ("draft_hash", "preview_id", "name", "thread")} | {"by": row["approved_by"]}
    statuses = ("approved",) if row["status"] == "approved" else ("rejected", "linked")
    if any(body.get("status") in statuses and _says(body, known) for body in _bodies(row)):
        return ""
    card = f"card {row['draft_hash'][:SHORT]} of {row['session_id']}"
    return f"No row says that {row['approved_by']} {row['status']} {card}, as the table of decisions does."


def _filing(row: dict[str, Any]) -> str:
    known = {"draft_hash": row["draft_hash"]} | ({"key": row["key"], "url": row["url"]} if row["status"] == "filed" else {})
    if any(_says(body, known) for body in _bodies(row)):
        return ""
    status = f"{row['status']}{' as ' * bool(row['key'])}{row['key']}"
    return (
        f"No row says that card {row['draft_hash'][:SHORT]} of {row['session_id']} is {status}, as the table of filings does."
    )


def _place(row: dict[str, Any]) -> str:
    known = {"by": row["changed_by"], "setting": _read(row["setting"])}
    if any(_says(body, known) for body in _bodies({"bodies": [row["body"] or ""]})):
        return ""
    return f"No row says that {row['changed_by']} settled what holds in {row['place']}, as the table of settings does."


def _bodies(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for body in row["bodies"]:
        known = _read(body)
        if isinstance(known, dict):
            yield known


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # somebody edited it
        return None


def _says(body: dict[str, Any], known: dict[str, Any]) -> bool:
    return all((recorded(one) if isinstance(one, str) else one) == body.get(name, "") for name, one in known.items())
