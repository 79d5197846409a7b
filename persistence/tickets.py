"""The table behind the local tracker."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, cast, func, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.words import LONGEST, telling
from persistence.tables import comments, tickets
from skills.trackers.local import Stored

SEARCH = text(
    """
    SELECT project || '-' || number, said ->> 'title' FROM (
        SELECT *, to_tsvector('simple', left(concat(said ->> 'title', ' ', said ->> 'body'), :longest)) AS words,
               to_tsquery('simple', :words) AS wanted
        FROM (
            SELECT *, convert_from(sealed, 'UTF8')::json AS said
            FROM tickets WHERE project = :project ORDER BY filed_at DESC LIMIT :newest
        ) newest
    ) ticket WHERE words @@ wanted ORDER BY ts_rank(words, wanted) DESC, filed_at DESC LIMIT 10
    """
)

NEWEST = 2000
"""Tickets of a project that are looked through."""

WORDS = 30
"""Words that are asked for."""

LOCK = 5_960_741
"""The class of the advisory locks under which tickets are numbered; the other half of the key is the project's hash."""


@dataclass(frozen=True)
class StoredTicket:
    """A ticket of the local tracker: the sealed bytes as they were filed."""

    key: str
    draft_hash: str
    sealed: bytes
    filed_at: datetime
    receipt: dict[str, Any] | None = None


class PostgresTickets:
    """`skills.trackers.local.TicketTable`, and what lists it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def insert(self, marker: str, sealed: bytes, receipt: Mapping[str, Any]) -> str:
        """The key of the marker's ticket, made now under the project's next number if there is none."""
        project = json.loads(sealed)["project"]
        async with self._engine.begin() as connection:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(:class, hashtext(:project))"), {"class": LOCK, "project": project}
            )
            if (number := await connection.scalar(select(tickets.c.number).where(tickets.c.marker == marker))) is None:
                highest = select(func.coalesce(func.max(tickets.c.number), 0)).where(tickets.c.project == project)
                number = (await connection.scalar(highest) or 0) + 1
                draft_hash = hashlib.sha256(sealed).hexdigest()
                row = {
                    "marker": marker,
                    "project": project,
                    "number": number,
                    "draft_hash": draft_hash,
                    "sealed": sealed,
                    "receipt": dict(receipt),
                }
                await connection.execute(insert(tickets), row)
        return f"{project}-{number}"

    async def find(self, *, marker: str | None = None, key: str | None = None) -> Stored | None:
        """The ticket with this marker or key."""
        name = tickets.c.project + "-" + cast(tickets.c.number, Text)
        wanted = tickets.c.marker == marker if marker else func.lower(name) == (key or "").lower()
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(name.label("key"), tickets).where(wanted))).first()
        return Stored(row.key, row.marker, row.sealed, row.receipt) if row else None

    async def search(self, project: str, text: str) -> list[tuple[str, str]]:
        """Keys and titles of tickets that share a telling word with the text, those with most of them first."""
        if not (words := telling(text)[:WORDS]):
            return []
        values = {"project": project, "words": " | ".join(words), "newest": NEWEST, "longest": LONGEST}
        async with self._engine.connect() as connection:
            return [(key, title) for key, title in await connection.execute(SEARCH, values)]

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """Adds a comment, unless there is one with this id."""
        row = {"id": comment_id, "key": key, "author": author, "text": text}
        async with self._engine.begin() as connection:
            await connection.execute(postgresql.insert(comments).values(row).on_conflict_do_nothing())

    async def comments(self, key: str) -> list[tuple[str, datetime, str]]:
        """A ticket's comments, the oldest first: who, when, and what."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(comments).where(comments.c.key == key).order_by(comments.c.at))
        return [(row.author, row.at, row.text) for row in rows]

    async def all(self) -> list[StoredTicket]:
        """Every ticket, the oldest first."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(tickets).order_by(tickets.c.filed_at, tickets.c.number))
        return [
            StoredTicket(f"{row.project}-{row.number}", row.draft_hash, row.sealed, row.filed_at, row.receipt) for row in rows
        ]
