"""Accepting events: the inbox's row and the job that wakes its session, in one statement."""

import json
from typing import Any

from psycopg import AsyncConnection

from agent.ports import Event
from agent.protocol import Decision, FilingOutcome, Reply, Settlement
from persistence.queue import DEFER_WAKE, surface_of

# The session's row is its lock: whoever adds an event holds it until the commit, so that `seq` is the order of commits.
ACCEPT = f"""
    WITH session AS (
        INSERT INTO sessions (session_id, last_seq)
        SELECT %(session_id)s, 1 WHERE NOT EXISTS (SELECT FROM inbox WHERE event_id = %(event_id)s)
        ON CONFLICT (session_id) DO UPDATE SET last_seq = sessions.last_seq + 1
        RETURNING last_seq
    ), event AS (
        INSERT INTO inbox (event_id, session_id, seq, origin, kind, body, surface, at)
        SELECT %(event_id)s, %(session_id)s, last_seq, %(origin)s, %(kind)s, %(body)s, %(surface)s, clock_timestamp()
        FROM session
        ON CONFLICT (event_id) DO NOTHING RETURNING seq
    )
    SELECT seq, {DEFER_WAKE} FROM event
"""


async def accept(driver: AsyncConnection[Any], event: Event) -> bool:
    """Makes an event durable and wakes its session, once the caller's transaction commits; False if it is known already."""
    row = {
        **event.model_dump(include={"event_id", "session_id", "origin"}),
        "queue": surface_of(event.session_id),
        "kind": event.answer.type,
        "body": body_of(event.answer),
        "surface": json.dumps(event.surface, separators=(",", ":")) if event.surface else None,
    }
    return (await (await driver.execute(ACCEPT, row)).fetchone()) is not None


def body_of(answer: Reply | Decision | FilingOutcome | Settlement) -> str:
    """An answer as the inbox keeps it."""
    return json.dumps(answer.model_dump(mode="json", exclude_defaults=True) | {"type": answer.type}, separators=(",", ":"))
