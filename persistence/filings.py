"""The filings on PostgreSQL: `agent.ports.Ledger`, what a person's word does to them, and what an operator is shown of them.

Times are the database's: a filing is due by its clock, whatever the clocks of those who work on it say.
"""

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy import text

from agent.faults import point
from agent.ports import ApprovalRecord, Event, Filing, LostRace, Settled
from agent.protocol import FilingOutcome
from agent.recording import of_filing
from agent.rules import MOVES, STEPS, Effect, Row, Step, first
from agent.trackers import Ticket
from persistence.audit import append
from persistence.database import Database
from persistence.inbox import accept
from persistence.queue import DEFER_DELIVER, surface_of

COLUMNS = """
    filing.session_id, filing.draft_hash, filing.marker, filing.status, filing.origin, filing.attempt, filing.looks,
    filing.key, filing.url, filing.reason, filing.asked_at IS NOT NULL AS asked, filing.doubted, filing.at,
    extract(epoch FROM clock_timestamp() - filing.since)::float AS age,
    coalesce(filing.due_at <= clock_timestamp(), false) AS due, preview.sealed,
    approval.approved_by, approval.preview_id, approval.event_id, approval.name, approval.thread, approval.at AS decided_at
"""
FROM = """
    filings filing JOIN approvals approval USING (session_id, draft_hash)
    JOIN previews preview ON preview.preview_id = approval.preview_id
"""
THIS = "session_id = %(session_id)s AND draft_hash = %(draft_hash)s"
BEGIN = f"""
    SELECT {COLUMNS} FROM {FROM} WHERE filing.session_id = %(session_id)s AND filing.draft_hash = %(draft_hash)s
    FOR UPDATE OF filing
"""


def _rows(move: str) -> list[Row]:
    return [row for row in MOVES if row.when.get("move") == move]


def _states(row: Row) -> Sequence[Any]:
    states: Any = row.when["filing"]
    return states if isinstance(states, tuple) else (states,)


def _to(move: str) -> str:
    """The state that a move leads to, by the rows of `MOVES`, in SQL."""
    leads = [f"WHEN '{state}' THEN '{row.then}'" for row in _rows(move) for state in _states(row)]
    return f"CASE status {' '.join(leads)} END"


def _may(move: str) -> str:
    """Which filing it is, and whether it may move so by these rows, in SQL."""
    ways = [
        f"status = '{state}'" + (" AND attempt = %(attempt)s" if row.when.get("current") else "")
        for row in _rows(move)
        for state in _states(row)
    ]
    return f"{THIS} AND ({' OR '.join(ways)})"


def _has(move: str, effect: Effect) -> bool:
    return any(effect in row.effects for row in _rows(move))


SENT = f"UPDATE filings SET status = {_to('send')}, at = clock_timestamp(), due_at = NULL WHERE {_may('send')}"
PUT_OFF = f"""
    UPDATE filings SET status = {_to("put off")},
           looks = looks + (status <> 'sent')::int, due_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE {_may("put off")} RETURNING status
"""
LOST = f"""
    UPDATE filings SET status = {_to("lose")}, doubted = doubted OR {_has("lose", "doubt")},
           reason = %(reason)s, looks = 0, at = clock_timestamp(),
           due_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE {_may("lose")} RETURNING marker
"""
FILED = f"""
    UPDATE filings SET status = {_to("file")}, key = %(key)s, url = %(url)s, reason = NULL, looks = 0, at = clock_timestamp(),
           due_at = CASE WHEN %(linked)s THEN NULL ELSE clock_timestamp() END
    WHERE {_may("file")} RETURNING marker
"""
FAILED = f"""
    UPDATE filings SET status = {_to("fail")}, reason = %(reason)s, at = clock_timestamp(), due_at = NULL
    WHERE {_may("fail")} RETURNING marker
"""
ASKED = f"""
    UPDATE filings SET status = {_to("ask")}, reason = %(reason)s, at = clock_timestamp(), asked_at = clock_timestamp(),
           doubted = doubted OR {_has("ask", "doubt")}, due_at = clock_timestamp() + interval '1 minute'
    WHERE {_may("ask")} RETURNING marker
"""
REST = f"UPDATE filings SET due_at = NULL WHERE {THIS} AND attempt = %(attempt)s AND status IN ('filed', 'unknown')"

AGAIN = f"""
    UPDATE filings SET status = {_to("again")}, attempt = attempt + 1, since = clock_timestamp(), due_at = clock_timestamp(),
           looks = 0, reason = NULL, asked_at = NULL, origin = %(origin)s, at = clock_timestamp()
    WHERE {_may("again")} RETURNING marker
"""
LEFT = f"""
    UPDATE filings SET status = {_to("leave")}, due_at = NULL, at = clock_timestamp()
    WHERE {_may("leave")} RETURNING marker
"""
WITHDRAWN = f"""
    WITH filing AS (
        DELETE FROM filings WHERE {_may("withdraw")} RETURNING marker
    ), approval AS (
        DELETE FROM approvals WHERE {THIS} AND EXISTS (SELECT FROM filing)
        RETURNING session_id, draft_hash, status, approved_by, preview_id, event_id, name, thread, at
    ), kept AS (
        INSERT INTO approval_history (session_id, draft_hash, status, approved_by, preview_id, event_id, name, thread, at)
        SELECT * FROM approval
    )
    SELECT marker FROM filing
"""
OF_SESSION = f"""
    SELECT {COLUMNS} FROM {FROM} WHERE filing.session_id = %(session_id)s
    AND (%(draft_hash)s::text IS NULL OR starts_with(filing.draft_hash, %(draft_hash)s)) ORDER BY filing.since DESC LIMIT 1
"""
LISTED = text(f"""
    SELECT {COLUMNS} FROM {FROM} WHERE filing.status = ANY(CAST(:statuses AS text[])) OR CAST(:statuses AS text[]) IS NULL
    ORDER BY filing.since
""")  # fmt: skip
BY_KEY = text(
    f"SELECT {COLUMNS} FROM {FROM} WHERE filing.status = 'filed' AND (lower(filing.key) = lower(:key) OR filing.url = :key)"
)

BY_MARKER = text(f"SELECT {COLUMNS} FROM {FROM} WHERE starts_with(filing.marker, :beginning)")
SAY = """
    INSERT INTO effects (key, session_id, origin, body) VALUES (%(key)s, %(session_id)s, %(origin)s, %(body)s)
    ON CONFLICT (key) DO NOTHING
"""

log = logging.getLogger(__name__)


class PostgresFilings:
    """The ledger of filings; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, session_id: str, draft_hash: str) -> Filing | None:
        """What is to be done for a filing now; one that was intended is on record as sent when this returns."""
        this = {"session_id": session_id, "draft_hash": draft_hash}
        async with self._transaction() as driver:
            row: Any = await (await driver.execute(BEGIN, this)).fetchone()
            if row is None or (step := first(STEPS, Step(row["status"], row["due"]))).then == "rest":
                return None
            filing = filing_of(row)
            if "mark" in step.effects:
                await driver.execute(SENT, this)
                sealed = json.loads(filing.sealed)
                await append(driver, of_filing(filing, "sent", where=f"{sealed['tracker']} {sealed['project']}"))
        return filing

    async def put_off(self, filing: Filing, seconds: float, told: str = "") -> None:
        """Due again after so many seconds; a sending is only intended again. `told` is what people are to hear of it."""
        async with self._transaction() as driver:
            found: Any = await (await driver.execute(PUT_OFF, {**_this(filing), "seconds": seconds})).fetchone()
            if told:
                await _say(driver, f"{filing.marker}:{filing.attempt}:{filing.age:.3f}", filing, told)
            if found and found["status"] == "intended":
                await append(driver, of_filing(filing, "not sent", reason=told))

    async def lost(self, filing: Filing, reason: str, seconds: float) -> None:
        """Its outcome is unknown from now on; it is first looked for after so many seconds."""
        async with self._transaction() as driver:
            if await (await driver.execute(LOST, {**_this(filing), "reason": reason, "seconds": seconds})).fetchone():
                await append(driver, of_filing(filing, "unknown", reason=reason))

    async def end(self, filing: Filing, outcome: FilingOutcome) -> bool:
        """One transaction: the filing's outcome, and the event that tells its session; False if it had another already."""
        outcome = outcome.model_copy(update={"draft_hash": filing.draft_hash, "attempt": filing.attempt})
        event = Event(
            event_id=f"{filing.marker}:{_named(filing.approval.event_id)}:{filing.attempt}:{outcome.status}",
            session_id=filing.session_id,
            origin=filing.origin,
            answer=outcome,
        )
        move, statement = {"filed": ("file", FILED), "failed": ("fail", FAILED), "unknown": ("ask", ASKED)}[outcome.status]
        values = outcome.model_dump(include={"key", "url", "reason"})
        async with self._transaction() as driver:
            ended = await (await driver.execute(statement, {**_this(filing), **values})).fetchone()
            point("filing-ending")
            if ended and _has(move, "tell") and not await accept(driver, event):
                raise RuntimeError(f"{event.event_id} was told before, and would be told to nobody")
            late = not ended and outcome.key and await self._is_another(driver, filing, outcome.key)
            if late:
                said = f"{outcome.key} was made for this ticket, too, by an attempt whose answer came late: delete it."
                await _say(driver, f"{filing.marker}:too:{outcome.key}", filing, f"{said} {outcome.url}")
            if ended or late:
                await append(driver, of_filing(filing, "made twice" if late else outcome.status, event.event_id, **values))
        if not ended:
            log.warning("%s came out as %s %s, after its outcome was on record", filing.marker, outcome.status, outcome.key)
        return ended is not None

    async def filed_as(self, session_id: str, key: str) -> Filing | None:
        """The filing of a session that became the ticket of this key."""
        return next((filing for filing in await self.of_key(key) if filing.session_id == session_id), None)

    async def rest(self, filing: Filing) -> None:
        """Nothing more is to be done for it, unless somebody says so."""
        async with self._database.turns.connection() as driver:
            await driver.execute(REST, _this(filing))

    async def listed(self, statuses: Sequence[str] | None) -> list[dict[str, Any]]:
        """The filings in these states (None: all), the oldest first: the ledger's columns."""
        async with self._database.engine.connect() as connection:
            rows = await connection.execute(LISTED, {"statuses": list(statuses) if statuses else None})
            return [dict(row) for row in rows.mappings()]

    async def of_marker(self, beginning: str) -> list[Filing]:
        """The filings whose markers begin like this."""
        async with self._database.engine.connect() as connection:
            rows = await connection.execute(BY_MARKER, {"beginning": beginning})
            return [filing_of(dict(row)) for row in rows.mappings()]

    async def of_key(self, key: str) -> list[Filing]:
        """The filings that became a ticket of this key, in any tracker."""
        async with self._database.engine.connect() as connection:
            return [filing_of(dict(row)) for row in (await connection.execute(BY_KEY, {"key": key})).mappings()]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection[Any]]:
        """What is not waited for is sent together: the log is locked no longer than the commit takes."""
        async with self._database.turns.connection() as driver, driver.pipeline(), driver.transaction():
            yield driver

    async def _is_another(self, driver: AsyncConnection[Any], filing: Filing, key: str) -> bool:
        found = await find_filing(driver, filing.session_id, filing.draft_hash)
        return found is not None and found.ticket is not None and found.ticket.key != key


async def find_filing(driver: AsyncConnection[Any], session_id: str, draft_hash: str | None) -> Filing | None:
    """A session's filing of this hash (all of it, or the beginning that people see); without one its newest."""
    values = {"session_id": session_id, "draft_hash": draft_hash}
    row: Any = await (await driver.execute(OF_SESSION, values)).fetchone()
    return filing_of(row) if row else None


async def settle(driver: AsyncConnection[Any], settled: Settled, origin: str) -> None:
    """Puts a person's word on a filing on record. Raises LostRace if it is not as that person saw it any more."""
    ticket = settled.ticket or Ticket(key="", url="")
    values = {**_this(settled.filing), "origin": origin, "key": ticket.key, "url": ticket.url}
    statement = {"intended": AGAIN, "filed": FILED, "left": LEFT, "withdrawn": WITHDRAWN}[settled.to]
    if (await (await driver.execute(statement, values)).fetchone()) is None:
        raise LostRace(settled.filing.session_id)


async def _say(driver: AsyncConnection[Any], key: str, filing: Filing, said: str) -> None:
    """Tells the session something that no event of its own leads to."""
    body = json.dumps({"kind": "say", "text": said}, separators=(",", ":"))
    await driver.execute(SAY, {"key": key, "session_id": filing.session_id, "origin": filing.origin, "body": body})
    if surface_of(filing.session_id) == "slack":
        await driver.execute(DEFER_DELIVER, {"session_id": filing.session_id})


def _named(event_id: str) -> str:
    """A short name for an event: approvals of the same ticket, one after the other was withdrawn, are told apart by it."""
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _this(filing: Filing) -> dict[str, Any]:
    return {
        "session_id": filing.session_id,
        "draft_hash": filing.draft_hash,
        "attempt": filing.attempt,
        "linked": not filing.approval.thread,
    }


def filing_of(row: dict[str, Any]) -> Filing:
    """A filing from the ledger's columns."""
    same = ("session_id", "draft_hash", "sealed", "marker", "origin", "status", "attempt", "age", "looks", "asked", "doubted")
    approval = ("session_id", "draft_hash", "approved_by", "preview_id", "event_id", "name", "thread", "decided_at")
    return Filing(
        **{name: row[name] for name in same},
        reason=row["reason"] or "",
        approval=ApprovalRecord.model_validate({"status": "approved", **{name: row[name] for name in approval}}),
        ticket=Ticket(key=row["key"], url=row["url"] or "") if row["key"] else None,
    )
