"""Looking at sessions from outside a turn: `agent.surfaces.Sessions` and `Places` on a `Database`."""

import json
from typing import Any

from sqlalchemy import select, text

from agent.audit import Entry
from agent.ports import Pending
from agent.surfaces import Posted, Standing
from persistence.audit import append
from persistence.database import Database
from persistence.tables import Json, inbox, places

OF_EVENT = "SELECT session_id FROM inbox WHERE event_id = %s"
EXISTS = "SELECT FROM sessions WHERE session_id = %s"
WAITING_IN = """
    SELECT session_id FROM sessions WHERE starts_with(session_id, %s) AND (pending IS NOT NULL OR turn = 0)
    ORDER BY at DESC LIMIT 1
"""
STANDING = """
    SELECT session.session_id, session.state, session.pending, newest.message
    FROM sessions session
    LEFT JOIN LATERAL (
        SELECT message FROM previews WHERE previews.session_id = session.session_id AND message IS NOT NULL
        ORDER BY at DESC LIMIT 1
    ) newest ON true
"""
ONE = text(STANDING + "WHERE session.session_id = :session_id").columns(state=Json, pending=Json, message=Json)
UNSETTLED = text(
    STANDING
    + "WHERE starts_with(session.session_id, :team || ':') AND session.pending IS NOT NULL ORDER BY session.at DESC LIMIT 200"
).columns(state=Json, pending=Json, message=Json)
WITH_OPEN_CARD = "SELECT session_id FROM previews WHERE status = 'open' AND starts_with(session_id, %s) ORDER BY session_id"


class PostgresSessions:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exists(self, session_id: str) -> bool:
        """Whether anything was ever accepted for it."""
        async with self._database.ingest.connection() as driver:
            return (await (await driver.execute(EXISTS, [session_id])).fetchone()) is not None

    async def standing(self, session_id: str) -> Standing | None:
        """Where it stands; None if it never began."""
        return next(iter(await self._standings(ONE, session_id=session_id)), None)

    async def of_event(self, event_id: str) -> str | None:
        """The id of the session that an event belongs to; None if it was never accepted."""
        async with self._database.ingest.connection() as driver:
            row = await (await driver.execute(OF_EVENT, [event_id])).fetchone()
        return str(row["session_id"]) if row else None

    async def answer(self, session_id: str, event_id: str) -> dict[str, Any] | None:
        """What an event of a session said as it was accepted, such as a form that came a moment too late."""
        this = (inbox.c.session_id == session_id) & (inbox.c.event_id == event_id)
        async with self._database.engine.connect() as connection:
            return await connection.scalar(select(inbox.c.body).where(this))

    async def waiting_in(self, team: str, channel: str) -> str | None:
        """The id of the newest session of a channel that waits for somebody, or has yet to begin."""
        async with self._database.ingest.connection() as driver:
            row = await (await driver.execute(WAITING_IN, [f"{team}:{channel}:"])).fetchone()
        return str(row["session_id"]) if row else None

    async def unsettled(self, team: str) -> list[Standing]:
        """The newest 200 sessions of a workspace that wait for somebody, the newest first."""
        return await self._standings(UNSETTLED, team=team)

    async def with_open_card(self, team: str, channels: str) -> list[str]:
        """The ids of the sessions that wait for a decision, in the channels whose id begins like this."""
        async with self._database.ingest.connection() as driver:
            rows = await (await driver.execute(WITH_OPEN_CARD, [f"{team}:{channels}"])).fetchall()
        return [str(row["session_id"]) for row in rows]

    async def _standings(self, query: Any, **values: str) -> list[Standing]:
        async with self._database.engine.connect() as connection:
            rows = (await connection.execute(query, values)).all()
        return [
            Standing(
                session_id=row.session_id,
                state=row.state or {},
                pending=Pending.model_validate(row.pending) if row.pending else None,
                posted=Posted.model_validate(row.message) if row.message else None,
            )
            for row in rows
        ]


SETTLE = """
    INSERT INTO places (place, setting, changed_by) VALUES (%(place)s, %(setting)s, %(changed_by)s)
    ON CONFLICT (place) DO UPDATE SET setting = excluded.setting, changed_by = excluded.changed_by, at = clock_timestamp()
"""


class PostgresPlaces:
    """The settings of channels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, place: str) -> dict[str, Any]:
        """Its settings; empty if it has none."""
        async with self._database.engine.connect() as connection:
            return await connection.scalar(select(places.c.setting).where(places.c.place == place)) or {}

    async def write(self, place: str, setting: dict[str, Any], changed_by: str) -> None:
        """Puts its settings in the place of what it had, and on record who did: they say who may approve."""
        row = {"place": place, "setting": json.dumps(setting, separators=(",", ":")), "changed_by": changed_by}
        async with self._database.turns.connection() as driver, driver.transaction():
            await driver.execute(SETTLE, row)
            await append(driver, Entry(place, "", "configured", {"by": changed_by, "setting": setting}))
