"""A session's past as the inbox has it: every processed event, with what was decided, recorded and shown."""

from collections import defaultdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.conversation import Step
from agent.ports import Event, Verdict
from agent.protocol import Found
from persistence.tables import effects, inbox, model_calls


async def read_steps(engine: AsyncEngine, session_id: str) -> list[Step]:
    """The session's processed events in order; empty if there is no such session."""
    left_out = ("unheard", "read before")  # nothing came of the one, and the other is part of the event that it is read with
    mine = inbox.c.session_id == session_id, inbox.c.processed_at.is_not(None), inbox.c.outcome.not_in(left_out)
    async with engine.connect() as connection:
        rows = (await connection.execute(select(inbox).where(*mine).order_by(inbox.c.seq))).all()
        shown = (
            await connection.execute(select(effects).where(effects.c.session_id == session_id).order_by(effects.c.id))
        ).all()
        called = (
            await connection.execute(
                select(model_calls)
                .join(inbox, inbox.c.event_id == model_calls.c.event_id)
                .where(*mine)
                .order_by(model_calls.c.event_id, model_calls.c.ordinal)
            )
        ).mappings()
        calls: dict[str, list[Any]] = defaultdict(list)
        for call in called:
            calls[call["event_id"]].append(dict(call))
    shows: dict[str, list[Any]] = defaultdict(list)
    for row in shown:
        shows[row.key.rpartition(":")[0]].append(row.body)
    return [
        Step(
            event=Event(event_id=row.event_id, session_id=session_id, answer=row.body),
            verdict=Verdict.model_validate(row.verdict or {}),
            found=Found.model_validate(row.found or {}),
            calls=calls[row.event_id],
            shows=shows[row.event_id],
        )
        for row in rows
    ]
