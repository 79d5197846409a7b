"""The agent's store on PostgreSQL: accepting events, finding the next turn, and committing it whole."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString

import sqlalchemy.ext.asyncio
from psycopg import AsyncConnection, AsyncPipeline, DataError
from sqlalchemy import Text, and_, insert, select, type_coerce

from agent.faults import point
from agent.ports import ApprovalRecord, Card, Event, LostRace, Pending, Snapshot, Turn
from agent.protocol import Decision, FilingOutcome, Reply, Settlement
from agent.recording import of_turn
from agent.rules import CARD_DAYS
from agent.sealing import SealedTicket, marker
from persistence.approvals import ApprovalStore
from persistence.audit import appending
from persistence.database import Database
from persistence.filings import find_filing, settle
from persistence.inbox import accept, body_of
from persistence.queue import DEFER_DELIVER, raw, surface_of
from persistence.similar import compared
from persistence.tables import effects, filings, inbox, previews, storable

NEXT = """
    SELECT event.event_id, event.origin, event.body, event.surface,
           session.turn, session.state, session.pending, session.checkpoint,
           card.preview_id, card.draft_hash, card.sealed, card.version, card.status
    FROM inbox event JOIN sessions session USING (session_id)
    LEFT JOIN previews card ON card.session_id = event.session_id AND card.status = 'open'
    WHERE event.session_id = %(session_id)s AND event.processed_at IS NULL ORDER BY event.seq LIMIT 1
"""

# Compare and swap: of two workers that took the same turn, one commits. Tells whether more is waiting; an event that it
# cannot see yet brings a job of its own.
ADVANCE = """
    WITH session AS (
        UPDATE sessions SET turn = turn + 1, state = coalesce(%(state)s, state),
               checkpoint = coalesce(%(checkpoint)s, checkpoint),
               pending = CASE WHEN %(ran)s THEN %(pending)s ELSE pending END
        WHERE session_id = %(session_id)s AND turn = %(turn)s RETURNING turn
    )
    UPDATE inbox event SET processed_at = clock_timestamp(), outcome = %(outcome)s, verdict = %(verdict)s,
           body = coalesce(%(heard)s, body), found = %(found)s
    WHERE event_id = %(event_id)s AND processed_at IS NULL AND EXISTS (SELECT FROM session)
    RETURNING EXISTS (
        SELECT FROM inbox later
        WHERE later.session_id = event.session_id AND later.processed_at IS NULL AND later.seq > event.seq
    ) AS more
"""
# What was said before the agent was called in is read with the event that called it. Should it be delivered only now, it is
# known; should it have been accepted meanwhile, it is not read again.
READ_WITH = """
    WITH session AS (
        UPDATE sessions SET last_seq = last_seq + cardinality(%(ids)s::text[])
        WHERE session_id = %(session_id)s RETURNING last_seq - cardinality(%(ids)s::text[]) AS seq
    )
    INSERT INTO inbox (event_id, session_id, seq, origin, kind, body, at, processed_at, outcome)
    SELECT id, %(session_id)s, seq + n, '', 'reply', %(body)s, clock_timestamp(), clock_timestamp(), 'read before'
    FROM session, unnest(%(ids)s::text[]) WITH ORDINALITY AS read (id, n)
    ON CONFLICT (event_id) DO UPDATE SET processed_at = excluded.processed_at, outcome = excluded.outcome
    WHERE inbox.processed_at IS NULL AND inbox.session_id = excluded.session_id
"""
CLOSE = "UPDATE previews SET status = %(status)s WHERE preview_id = %(preview_id)s"
WITHDRAW_REJECTION = """
    WITH gone AS (
        DELETE FROM approvals WHERE session_id = %(session_id)s AND draft_hash = %(draft_hash)s AND status = 'rejected'
        RETURNING session_id, draft_hash, status, approved_by, preview_id, event_id, name, thread, at
    )
    INSERT INTO approval_history (session_id, draft_hash, status, approved_by, preview_id, event_id, name, thread, at)
    SELECT * FROM gone
"""
SHOW = """
    INSERT INTO previews (preview_id, session_id, draft_hash, sealed, version, status, people)
    VALUES (%(preview_id)s, %(session_id)s, %(draft_hash)s, %(sealed)s, %(version)s, %(status)s, %(people)s)
"""
KEEP_CALL = """
    INSERT INTO model_calls
        (event_id, ordinal, model, digest, characters, answer, error, input_tokens, output_tokens, milliseconds, dropped)
    VALUES (%(event_id)s, %(ordinal)s, %(model)s, %(digest)s, %(characters)s, %(answer)s, %(error)s, %(input_tokens)s,
            %(output_tokens)s, %(milliseconds)s, %(dropped)s)
    ON CONFLICT DO NOTHING
"""
SAY = """
    INSERT INTO effects (key, session_id, origin, body) VALUES (%(key)s, %(session_id)s, %(origin)s, %(body)s)
"""


_Write = tuple[LiteralString, dict[str, Any]]


class PostgresStore:
    """`agent.ports.Store` on a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, event: Event) -> bool:
        """One statement: the event's row and the job that wakes its session."""
        point("event-accepting")
        async with self._database.ingest.connection() as driver:
            accepted = await accept(driver, event)
        point("event-accepted")
        return accepted

    async def next(self, session_id: str) -> Snapshot | None:
        """The session with its oldest open event, and for a click what is known of its card."""
        async with self._database.turns.connection() as driver:
            row = await (await driver.execute(NEXT, {"session_id": session_id})).fetchone()
        if row is None:
            return None
        known = {"event_id": row["event_id"], "session_id": session_id, "origin": row["origin"]}
        found: dict[str, Any] = {}
        try:
            event = Event(**known, surface=json.loads(row["surface"] or "{}"), answer=json.loads(row["body"]))
            if isinstance(event.answer, Decision):
                async with self._database.engine.connect() as connection:
                    found = await self._clicked(connection, event, event.answer)
                if clicked := found.get("clicked"):
                    async with self._database.turns.connection() as driver:
                        found["filing"] = await find_filing(driver, session_id, clicked.draft_hash)
            elif isinstance(event.answer, FilingOutcome | Settlement):
                async with self._database.turns.connection() as driver:
                    found = {"filing": await find_filing(driver, session_id, event.answer.draft_hash)}
        except (ValueError, DataError, sqlalchemy.exc.DataError):  # of another version, or a text no database can hold
            event, found = Event(**known, answer=Reply()), {"unreadable": True}
        return Snapshot(
            event=event,
            turn=row["turn"],
            state=json.loads(row["state"] or "{}"),
            pending=Pending.model_validate_json(row["pending"]) if row["pending"] else None,
            checkpoint=row["checkpoint"],
            open_card=_card(row) if row["preview_id"] else None,
            **found,
        )

    async def _clicked(
        self, connection: sqlalchemy.ext.asyncio.AsyncConnection, event: Event, click: Decision
    ) -> dict[str, Any]:
        session_id = event.session_id
        named = [
            previews.c.session_id == session_id,
            previews.c.draft_hash.startswith(click.draft_hash or "-", autoescape=True),
        ]
        if click.preview_id:
            named.append(previews.c.preview_id == click.preview_id)
        hashes = (await connection.scalars(select(previews.c.draft_hash).where(*named).distinct().limit(2))).all()
        if len(hashes) != 1:  # a short hash that two tickets share names neither
            return {}
        since = select(inbox.c.at - timedelta(days=CARD_DAYS)).where(inbox.c.event_id == event.event_id).scalar_subquery()
        body = type_coerce(effects.c.body, Text)  # JSON that PostgreSQL would not read: it may hold what no text of its own can
        this = body.startswith('{"kind":"preview"'), body.contains('"preview_id":"' + previews.c.preview_id + '"')
        shown = select(effects.c.id).where(effects.c.session_id == session_id, effects.c.at >= since, *this).exists()
        newest = (
            select(previews, and_(previews.c.at < since, ~shown).label("late"))
            .where(*named)
            .order_by(previews.c.at.desc())
            .limit(1)
        )
        row = (await connection.execute(newest)).one()
        standing = await ApprovalStore(connection).get_approval(session_id, row.draft_hash)
        return {"clicked": _card(dict(row._mapping)), "late": row.late, "standing": standing}

    async def commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        """All of a turn in one transaction, or LostRace and nothing. Says whether the session has more events waiting."""
        event, graph = snapshot.event, turn.graph
        row = {
            "session_id": event.session_id,
            "event_id": event.event_id,
            "turn": snapshot.turn,
            "outcome": turn.outcome,
            "heard": body_of(turn.heard) if turn.heard else None,
            "verdict": _json(turn.verdict.model_dump()) if turn.verdict else None,
            "ran": graph is not None,
            "state": _json(graph.state) if graph else None,
            "pending": _json(graph.pending.model_dump(mode="json")) if graph and graph.pending else None,
            "checkpoint": graph.checkpoint if graph else None,
            "found": _json(graph.found.model_dump()) if graph and graph.found else None,
        }
        writes, log = list(_writes(event, turn)), appending(of_turn(snapshot, turn))
        point("turn-committing")
        decision, settled = graph.decision if graph else None, turn.settled
        if decision or settled:
            async with self._database.engine.connect() as connection, connection.begin() as transaction:
                driver = await raw(connection)
                async with driver.pipeline() as pipeline:
                    more = await _advance(driver, pipeline, row, writes)
                if decision:
                    await self._decide(connection, decision)
                if graph and graph.intends:
                    assert snapshot.open_card
                    await self._intend(connection, event, snapshot.open_card)
                if settled:
                    await settle(driver, settled, event.origin)
                    if settled.to == "intended":
                        await self._database.queue.defer_file(event.session_id, settled.filing.draft_hash, connection)
                async with driver.pipeline():  # the log is locked no longer than the commit takes
                    await _send(driver, log)
                    point("approval-written" if decision else "settlement-written")
                    await transaction.commit()
            point("approval-committed" if decision else "settlement-committed")
        else:
            async with self._database.turns.connection() as driver, driver.pipeline() as pipeline, driver.transaction():
                more = await _advance(driver, pipeline, row, [*writes, *log])
                point("turn-written")
            point("turn-committed")
        return more

    async def _decide(self, connection: sqlalchemy.ext.asyncio.AsyncConnection, decision: ApprovalRecord) -> None:
        recorded = await ApprovalStore(connection).record_approval(
            decision.session_id,
            decision.draft_hash,
            decision.approved_by,
            decision.status,
            preview_id=decision.preview_id,
            event_id=decision.event_id,
            name=decision.name,
            thread=decision.thread,
        )
        if not recorded:
            raise RuntimeError(f"{decision.draft_hash} of {decision.session_id} was decided before, yet its card was open")

    async def _intend(self, connection: sqlalchemy.ext.asyncio.AsyncConnection, event: Event, card: Card) -> None:
        draft_hash = card.draft_hash
        row = {
            "session_id": event.session_id,
            "draft_hash": draft_hash,
            "marker": marker(event.session_id, draft_hash),
            "status": "intended",
            "origin": event.origin,
            **compared(SealedTicket(payload=card.sealed, draft_hash=draft_hash).bytes),
        }
        await connection.execute(insert(filings), row)
        await self._database.queue.defer_file(event.session_id, draft_hash, connection)


async def _advance(
    driver: AsyncConnection[Any], pipeline: AsyncPipeline, row: dict[str, Any], writes: Sequence[_Write]
) -> bool:
    advanced = await driver.execute(ADVANCE, row)
    await pipeline.sync()
    if (waiting := await advanced.fetchone()) is None:
        raise LostRace(row["session_id"])
    await _send(driver, writes)
    return bool(waiting["more"] if isinstance(waiting, dict) else waiting[0])


async def _send(driver: AsyncConnection[Any], writes: Sequence[_Write]) -> None:
    """Sends statements together, without waiting for each."""
    for statement, values in writes:
        await driver.execute(statement, values)


def _writes(event: Event, turn: Turn) -> Iterator[_Write]:
    """The statements that commit a turn but for its decision and the log, in order: a card is closed before another opens."""
    session_id = event.session_id
    if turn.heard and (ids := [past.event_id for past in turn.heard.thread if past.event_id != event.event_id]):
        yield READ_WITH, {"session_id": session_id, "ids": ids, "body": body_of(Reply())}
    if graph := turn.graph:
        if graph.closed:
            preview_id, status = graph.closed
            yield CLOSE, {"preview_id": preview_id, "status": status}
        if card := graph.new_card:
            yield WITHDRAW_REJECTION, {"session_id": session_id, "draft_hash": card.draft_hash}
            sealed = SealedTicket(payload=card.sealed, draft_hash=card.draft_hash).bytes
            said = graph.state.get("draft", {}).get("evidence", [])
            people = [graph.state.get("requester", ""), *(one.get("author", "") for one in said)]
            known = {"session_id": session_id, "sealed": sealed, "people": _json([*dict.fromkeys(people)])}
            yield SHOW, {**card.model_dump(exclude={"sealed"}), **known}
        for call in graph.calls:
            texts = {"model": storable(call.model), "error": storable(call.error), "answer": _json(call.answer)}
            yield KEEP_CALL, {**call.model_dump(), **texts}
    for n, body in enumerate(turn.shows):
        yield SAY, {"key": f"{event.event_id}:{n}", "session_id": session_id, "origin": event.origin, "body": _json(body)}
    if turn.shows and surface_of(session_id) == "slack":
        yield DEFER_DELIVER, {"session_id": session_id}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _card(row: Mapping[str, Any]) -> Card:
    kept = {name: row[name] for name in ("preview_id", "draft_hash", "version", "status")}
    return Card(**kept, sealed=json.loads(row["sealed"]))
