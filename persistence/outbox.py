"""Effects on their way to a surface, and the cards they are about: `agent.surfaces.Outbox` on a `Database`."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from agent.faults import point
from agent.sealing import diff
from agent.surfaces import CardView, Effect, Posted
from persistence.database import Database
from persistence.queue import BEHIND_A_FAILURE, DEFER_DELIVER
from persistence.tables import Json

DUE = f"""
    SELECT id, key, session_id, origin, body, attempts, at FROM effects effect
    WHERE session_id = %(session_id)s AND done_at IS NULL AND due_at <= clock_timestamp() AND NOT {BEHIND_A_FAILURE} ORDER BY id
"""
WAIT = f"""
    SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float AS seconds FROM effects effect
    WHERE session_id = %(session_id)s AND done_at IS NULL AND NOT {BEHIND_A_FAILURE}
"""
BEGIN = "UPDATE effects SET attempts = attempts + 1 WHERE id = %(id)s"
DONE = "UPDATE effects SET done_at = clock_timestamp(), problem = nullif(%(problem)s, '') WHERE id = ANY(%(ids)s)"
LATER = """
    UPDATE effects SET due_at = clock_timestamp() + make_interval(secs => %(seconds)s), attempts = attempts + %(failed)s::int
    WHERE id = ANY(%(ids)s)
"""

SEND = f"""
    WITH new AS (
        INSERT INTO effects (key, session_id, origin, body) VALUES (%(key)s, %(session_id)s, %(origin)s, %(body)s)
        ON CONFLICT (key) DO NOTHING RETURNING id
    )
    SELECT id, ({DEFER_DELIVER}) FROM new
"""

# The newest card, and all that stand somewhere; `before` is the card of the same ticket that people saw before this one.
CARDS = """
    SELECT card.preview_id, card.draft_hash, card.version, card.sealed, card.status,
           card.people, card.message, card.digest, card.posted_at,
           before.sealed AS before, decided.approved_by AS decided_by, decided.at AS decided_at,
           click.body AS click, click.verdict,
           filing.status AS filing, filing.key, filing.url, filing.reason, coalesce(filing.attempt, 1) AS attempt,
           coalesce(filing.asked_at IS NOT NULL, false) AS asked, session.state,
           extract(epoch FROM clock_timestamp() - coalesce(first.at, card.at))::float AS age,
           (SELECT count(*) FROM inbox WHERE inbox.session_id = card.session_id AND at > card.posted_at
              AND (surface LIKE '{"kind":"mention"%%' OR surface LIKE '{"kind":"message"%%'))
           + (SELECT count(DISTINCT regexp_replace(key, ':[0-9]+$', '')) FROM effects  -- what an event leads to is one message
              WHERE effects.session_id = card.session_id AND done_at > card.posted_at AND problem IS NULL
              AND body ~ '^{"kind":"(say|question|similar|filed|errand","kind_of":"commented)"') AS below
    FROM previews card JOIN sessions session USING (session_id)
    LEFT JOIN LATERAL (
        SELECT sealed, at FROM previews WHERE session_id = card.session_id AND at < card.at AND shown_at IS NOT NULL
        AND at > coalesce(
            (SELECT max(at) FROM previews WHERE session_id = card.session_id AND at < card.at AND status = 'approved'),
            '-infinity'
        ) ORDER BY at DESC LIMIT 1
    ) before ON true
    LEFT JOIN LATERAL (
        SELECT min(at) AS at FROM previews
        WHERE session_id = card.session_id AND at <= card.at AND at > coalesce(before.at, '-infinity')
    ) first ON true
    LEFT JOIN LATERAL (
        SELECT approved_by, at, event_id FROM approvals WHERE session_id = card.session_id AND preview_id = card.preview_id
        UNION ALL
        SELECT approved_by, at, event_id FROM approval_history
        WHERE session_id = card.session_id AND preview_id = card.preview_id
    ) decided ON true
    LEFT JOIN inbox click ON click.event_id = decided.event_id AND card.status = 'rejected'
    LEFT JOIN approvals approval ON approval.session_id = card.session_id AND approval.preview_id = card.preview_id
    LEFT JOIN filings filing ON filing.session_id = approval.session_id AND filing.draft_hash = approval.draft_hash
    WHERE card.session_id = %(session_id)s AND (card.message IS NOT NULL OR card.preview_id = (
        SELECT preview_id FROM previews WHERE session_id = %(session_id)s ORDER BY at DESC LIMIT 1
    )) ORDER BY card.at DESC
"""
TAKE_PLACE = """
    UPDATE previews SET message = NULL
    WHERE session_id = %(session_id)s AND preview_id <> %(preview_id)s AND message IS NOT NULL
    AND message::jsonb -> 'ts' ?| %(ts)s
"""
SHOWN = """
    UPDATE previews SET message = %(message)s, digest = %(digest)s,
           shown_at = CASE WHEN %(whole)s THEN coalesce(shown_at, clock_timestamp()) ELSE shown_at END,
           posted_at = CASE WHEN %(moved)s THEN clock_timestamp() ELSE coalesce(posted_at, %(posted_at)s) END
    WHERE preview_id = %(preview_id)s
"""
POSTED_AT = """
    SELECT max(posted_at) AS at FROM previews
    WHERE session_id = %(session_id)s AND message::jsonb -> 'ts' ?| %(ts)s
"""
UNDELIVERED = text(
    "SELECT session_id, body, problem, done_at FROM effects WHERE problem IS NOT NULL ORDER BY id DESC LIMIT :limit"
).columns(body=Json)


class PostgresOutbox:
    """Delivery's rows; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, session_id: str) -> list[Effect]:
        """What is to be delivered now, in order."""
        rows = await self._rows(DUE, {"session_id": session_id})
        return [Effect.model_validate({**row, "body": json.loads(row["body"])}) for row in rows]

    async def wait(self, session_id: str) -> float | None:
        """The seconds until the next effect of the session is due; None if none is open."""
        [row] = await self._rows(WAIT, {"session_id": session_id})
        return None if row["seconds"] is None else max(0.0, row["seconds"])

    async def begin(self, effect: Effect) -> None:
        """Counts the attempt."""
        await self._write(BEGIN, {"id": effect.id})

    async def done(self, effects: Sequence[Effect], problem: str = "") -> None:
        """They are delivered; or with a problem: they never will be."""
        await self._write(DONE, {"ids": [effect.id for effect in effects], "problem": problem})

    async def later(self, effects: Sequence[Effect], seconds: float, *, failed: bool = False) -> None:
        """They are due again after so many seconds. `failed`: that counts as a try, and what comes after them waits."""
        await self._write(LATER, {"ids": [effect.id for effect in effects], "seconds": seconds, "failed": failed})

    async def send(self, key: str, session_id: str, origin: str, body: dict[str, Any]) -> bool:
        """A new effect and the job that delivers it, in one statement."""
        row = {"key": key, "session_id": session_id, "origin": origin, "body": json.dumps(body, separators=(",", ":"))}
        point("errand-accepting")
        async with self._database.ingest.connection() as driver:
            sent = (await (await driver.execute(SEND, row)).fetchone()) is not None
        point("errand-accepted")
        return sent

    async def cards(self, session_id: str) -> list[CardView]:
        """The newest card and every other that still stands somewhere, the newest first."""
        rows = await self._rows(CARDS, {"session_id": session_id})
        return [_view(session_id, row, newest=not n) for n, row in enumerate(rows)]

    async def shown(self, card: CardView, posted: Posted | None, digest: str, *, moved: bool) -> None:
        """What now stands where; the place is this card's from now on."""
        values = {
            "session_id": card.session_id,
            "preview_id": card.preview_id,
            "ts": posted.ts if posted else [],
            "message": posted.model_dump_json() if posted else None,
            "digest": digest,
            "moved": moved,
            "whole": digest != "",
        }
        async with self._database.turns.connection() as driver, driver.transaction():
            place = await (await driver.execute(POSTED_AT, values)).fetchone()
            await driver.execute(TAKE_PLACE, values)
            await driver.execute(SHOWN, {**values, "posted_at": place["at"] if place else None})
        point("card-recorded")

    async def undelivered(self, limit: int = 20) -> list[dict[str, Any]]:
        """What could never be delivered, the newest first: session_id, body, problem, done_at."""
        async with self._database.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(UNDELIVERED, {"limit": limit})).mappings()]

    async def _rows(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        async with self._database.turns.connection() as driver:
            return await (await driver.execute(statement, values)).fetchall()

    async def _write(self, statement: Any, values: dict[str, Any]) -> None:
        async with self._database.turns.connection() as driver:
            await driver.execute(statement, values)


PLAIN = ("preview_id", "draft_hash", "version", "status", "age", "below", "attempt", "asked")
MARKS = ("unanswered", "not_said", "unsaid", "conflicts", "unread")
"""What an open card shows beside what would be filed; the session's state has it."""

TEXTS = ("decided_by", "filing", "key", "url", "reason", "digest")


def _view(session_id: str, row: dict[str, Any], *, newest: bool) -> CardView:
    state, sealed = json.loads(row["state"] or "{}"), json.loads(row["sealed"])
    people = json.loads(row["people"] or "[]")
    known: dict[str, Any] = {name: row[name] for name in PLAIN} | {name: row[name] or "" for name in TEXTS}
    if newest and row["status"] == "open":
        preview = state.get("preview") or {}
        known |= {name: preview[name] for name in MARKS if name in preview}
        known["evidence"] = state.get("draft", {}).get("evidence", [])
    if row["click"] and json.loads(row["click"]).get("same_as"):
        known["linked"] = json.loads(row["verdict"] or "{}").get("ticket")
    return CardView(
        session_id=session_id,
        sealed=sealed,
        since=diff(json.loads(row["before"]), sealed) if row["before"] else [],
        requester=people[0] if people else "",
        people=people,
        posted=Posted.model_validate_json(row["message"]) if row["message"] else None,
        posted_at=row["posted_at"],
        decided_at=row["decided_at"],
        **known,
    )
