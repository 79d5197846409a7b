"""What a terminal is shown of its session: rows that it reads from a cursor of its own, never jobs that another may take."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.ports import Pending
from persistence.tables import Json

PRESENT = 5_960_742
"""The class of the advisory locks that terminals hold while they run; the other half of the key is their origin's hash."""

UNDER_WAY = "(status IN ('intended', 'sent') OR (status = 'unknown' AND asked_at IS NULL))"
"""A filing that something will be told of without anybody's doing."""

WAITS = "(status = 'intended' AND due_at > clock_timestamp() + interval '5 seconds')"
"""One that the tracker wants a pause for, which people were told."""

# What this session owes to terminals: answers not yet printed, and what events and filings of theirs will lead to.
OWED = text(
    f"""
    SELECT DISTINCT origin FROM (
        SELECT origin FROM effects WHERE session_id = :session_id AND done_at IS NULL
        UNION ALL SELECT origin FROM inbox WHERE session_id = :session_id AND processed_at IS NULL
        UNION ALL SELECT origin FROM filings WHERE session_id = :session_id AND {UNDER_WAY}
    ) owed WHERE NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = {PRESENT}
        AND objid::bigint::bit(32)::int = hashtext(origin)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    """
)
ROWS = text(
    """
    SELECT id, origin, body FROM effects WHERE session_id = :session_id
    AND (id > :cursor OR (done_at IS NULL AND origin = ANY(:origins))) ORDER BY id
    """
).columns(body=Json)
DONE = text("UPDATE effects SET done_at = clock_timestamp() WHERE id = ANY(:ids) AND done_at IS NULL")
SETTLED = text(
    f"""
    SELECT NOT EXISTS (SELECT FROM inbox WHERE session_id = :session_id AND processed_at IS NULL)
       AND NOT EXISTS (
           SELECT FROM filings WHERE session_id = :session_id AND {UNDER_WAY} AND (:to_the_end OR NOT {WAITS})
       )
    """
)
STANDING = text(
    """
    SELECT (SELECT pending FROM sessions WHERE session_id = :session_id) AS pending,
           (SELECT body FROM effects WHERE session_id = :session_id AND body LIKE '{"kind":"filed"%'
            ORDER BY id DESC LIMIT 1) AS filed,
           (SELECT body FROM effects WHERE session_id = :session_id AND body LIKE '{"kind":"unsettled"%' AND EXISTS (
                SELECT FROM filings WHERE session_id = :session_id AND draft_hash = body::json ->> 'draft_hash'
                AND attempt = (body::json ->> 'attempt')::int AND status IN ('failed', 'unknown')
            ) ORDER BY id DESC LIMIT 1) AS unsettled
    """
).columns(pending=Json, filed=Json, unsettled=Json)


@dataclass(frozen=True)
class Shown:
    """One thing to show; `mine` if it answers this terminal, or one that died before it could print it."""

    id: int
    body: dict[str, Any]
    mine: bool


@dataclass(frozen=True)
class Standing:
    """Where a session stands: what it waits for, the ticket filed last, and what is to be settled of a filing."""

    pending: Pending | None
    filed: dict[str, Any] | None
    unsettled: dict[str, Any] | None


class Feed:
    """A terminal's view of one session. `origin` names the terminal; its events carry it."""

    def __init__(self, engine: AsyncEngine, session_id: str) -> None:
        self.origin = uuid.uuid4().hex
        self._engine, self._session = engine, {"session_id": session_id}
        self._inherited: list[str] = []  # origins of terminals that died before they printed all their answers
        self._unprinted: list[str] = []  # those of them whose old answers are still to be read
        self._cursor = 0

    @asynccontextmanager
    async def present(self, dsn: str) -> AsyncIterator[None]:
        """While this lasts others see that the terminal is there; it takes over what dead ones of its session were owed."""
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (PRESENT, self.origin))
            async with self._engine.connect() as reading:
                newest = text("SELECT coalesce(max(id), 0) FROM effects WHERE session_id = :session_id")
                self._cursor = await reading.scalar(newest, self._session) or 0
                self._inherited = self._unprinted = list((await reading.scalars(OWED, self._session)).all())
            yield

    async def read(self) -> list[Shown]:
        """What came since the last call, in order."""
        async with self._engine.connect() as connection:
            wanted = {**self._session, "cursor": self._cursor, "origins": self._unprinted}
            rows = (await connection.execute(ROWS, wanted)).all()
        self._cursor, self._unprinted = max([self._cursor, *(row.id for row in rows)]), []
        return [Shown(row.id, row.body, row.origin in (self.origin, *self._inherited)) for row in rows]

    async def printed(self, shown: list[Shown]) -> None:
        """Puts on record that what was meant for this terminal has been printed."""
        if ids := [one.id for one in shown if one.mine]:
            async with self._engine.begin() as connection:
                await connection.execute(DONE, {"ids": ids})

    async def settled(self, *, to_the_end: bool = True) -> bool:
        """Whether nothing more will come of what was accepted so far; else pauses that a tracker wants are not waited for."""
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(SETTLED, {**self._session, "to_the_end": to_the_end}))

    async def standing(self) -> Standing:
        """Where the session stands, for somebody who comes back to it."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(STANDING, self._session)).one()
        return Standing(Pending.model_validate(row.pending) if row.pending else None, row.filed, row.unsettled)
