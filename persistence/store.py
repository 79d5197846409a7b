"""The agent's store on PostgreSQL: accepting events, finding the next turn, and committing it whole."""

import json
from typing import Any

from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.draft import TicketDraft
from agent.ports import Card, Event, Filing, GraphTurn, LostRace, Pending, Snapshot, Ticket, Turn
from agent.protocol import Decision, FilingOutcome
from agent.sealing import SealedTicket, marker
from persistence.approvals import ApprovalStore
from persistence.database import Database
from persistence.tables import Json, effects, filings, model_calls, previews

# The session's row is its lock: whoever adds an event holds it until the commit, so that `seq` is the order of commits.
ACCEPT = text(
    """
    WITH session AS (
        INSERT INTO sessions (session_id, last_seq) VALUES (:session_id, 1)
        ON CONFLICT (session_id) DO UPDATE SET last_seq = sessions.last_seq + 1
        RETURNING last_seq
    )
    INSERT INTO inbox (event_id, session_id, seq, origin, kind, body, at)
    SELECT :event_id, :session_id, last_seq, :origin, :kind, :body, clock_timestamp() FROM session
    ON CONFLICT (event_id) DO NOTHING RETURNING seq
    """
).bindparams(bindparam("body", type_=Json))

NEXT = text(
    """
    SELECT event.event_id, event.origin, event.body, session.turn, session.draft, session.pending, session.checkpoint,
           card.preview_id, card.draft_hash, card.sealed, card.version, card.status
    FROM inbox event JOIN sessions session USING (session_id)
    LEFT JOIN previews card ON card.session_id = event.session_id AND card.status = 'open'
    WHERE event.session_id = :session_id AND event.processed_at IS NULL ORDER BY event.seq LIMIT 1
    """
).columns(body=Json, draft=Json, pending=Json)

# Compare and swap: of two workers that took the same turn, one commits.
ADVANCE = text(
    """
    WITH session AS (
        UPDATE sessions SET turn = turn + 1, draft = coalesce(:draft, draft), checkpoint = coalesce(:checkpoint, checkpoint),
               pending = CASE WHEN :ran THEN :pending ELSE pending END
        WHERE session_id = :session_id AND turn = :turn RETURNING turn
    )
    UPDATE inbox SET processed_at = clock_timestamp(), outcome = :outcome, verdict = :verdict
    WHERE event_id = :event_id AND processed_at IS NULL AND EXISTS (SELECT FROM session)
    """
).bindparams(
    bindparam("draft", type_=Json), bindparam("pending", type_=Json), bindparam("verdict", type_=Json),
    bindparam("checkpoint", type_=postgresql.BYTEA), bindparam("ran", type_=postgresql.BOOLEAN),
)  # fmt: skip


class PostgresStore:
    """`agent.ports.Store` on a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, event: Event) -> bool:
        """One transaction: the event's row and the job that wakes its session."""
        async with self._database.ingest.begin() as connection:
            return await self._accept(connection, event)

    async def _accept(self, connection: AsyncConnection, event: Event) -> bool:
        row = {
            **event.model_dump(include={"event_id", "session_id", "origin"}),
            "kind": event.answer.type,
            "body": event.answer.model_dump(mode="json", exclude_defaults=True) | {"type": event.answer.type},
        }
        new = (await connection.execute(ACCEPT, row)).first() is not None
        if new:
            await self._database.queue.defer_wake(event.session_id, connection)
        return new

    async def next(self, session_id: str) -> Snapshot | None:
        """The session with its oldest open event, and for a click what is known of its card."""
        async with self._database.turns.connect() as connection:
            row = (await connection.execute(NEXT, {"session_id": session_id})).first()
            if row is None:
                return None
            event = Event(event_id=row.event_id, session_id=session_id, origin=row.origin, answer=row.body)
            found: dict[str, Any] = {}
            if isinstance(event.answer, Decision):
                found = await self._clicked(connection, session_id, event.answer)
        return Snapshot(
            event=event,
            turn=row.turn,
            draft=TicketDraft.model_validate(row.draft or {}),
            pending=Pending.model_validate(row.pending) if row.pending else None,
            checkpoint=row.checkpoint,
            open_card=_card(row) if row.preview_id else None,
            **found,
        )

    async def _clicked(self, connection: AsyncConnection, session_id: str, click: Decision) -> dict[str, Any]:
        named = [
            previews.c.session_id == session_id,
            previews.c.draft_hash.startswith(click.draft_hash or "-", autoescape=True),
        ]
        if click.preview_id:
            named.append(previews.c.preview_id == click.preview_id)
        newest = select(previews).where(*named).order_by(previews.c.version.desc(), previews.c.at.desc()).limit(1)
        if (row := (await connection.execute(newest)).first()) is None:
            return {}
        standing = await ApprovalStore(connection).get_approval(session_id, row.draft_hash)
        filed = select(filings.c.key, filings.c.url).where(
            filings.c.session_id == session_id, filings.c.draft_hash == row.draft_hash, filings.c.status == "filed"
        )
        ticket = (await connection.execute(filed)).mappings().first()
        return {
            "clicked": _card(row),
            "standing": standing,
            "ticket": Ticket.model_validate(dict(ticket)) if ticket else None,
        }

    async def commit(self, snapshot: Snapshot, turn: Turn) -> None:
        """All of a turn in one transaction, or LostRace and nothing."""
        event, graph = snapshot.event, turn.graph
        row = {
            "session_id": event.session_id,
            "event_id": event.event_id,
            "turn": snapshot.turn,
            "outcome": turn.outcome,
            "verdict": turn.verdict.model_dump() if turn.verdict else None,
            "ran": graph is not None,
            "draft": graph.draft.model_dump(mode="json") if graph else None,
            "pending": graph.pending.model_dump(mode="json") if graph and graph.pending else None,
            "checkpoint": graph.checkpoint if graph else None,
        }
        async with self._database.turns.begin() as connection:
            if (await connection.execute(ADVANCE, row)).rowcount != 1:
                raise LostRace(event.session_id)
            if graph:
                await self._commit_graph(connection, event, graph)
            if turn.shows:
                shown = [
                    {
                        "key": f"{event.event_id}:{n}",
                        "session_id": event.session_id,
                        "origin": event.origin,
                        "body": body,
                    }
                    for n, body in enumerate(turn.shows)
                ]
                await connection.execute(insert(effects), shown)

    async def _commit_graph(self, connection: AsyncConnection, event: Event, graph: GraphTurn) -> None:
        if graph.closed:
            preview_id, status = graph.closed
            await connection.execute(update(previews).where(previews.c.preview_id == preview_id).values(status=status))
        if card := graph.new_card:
            await ApprovalStore(connection).withdraw_rejection(event.session_id, card.draft_hash)
            sealed = SealedTicket(payload=card.sealed, draft_hash=card.draft_hash).bytes
            row = {**card.model_dump(exclude={"sealed"}), "session_id": event.session_id, "sealed": sealed}
            await connection.execute(insert(previews), row)
        if graph.calls:
            calls = [call.model_dump() for call in graph.calls]
            await connection.execute(postgresql.insert(model_calls).on_conflict_do_nothing(), calls)
        if decision := graph.decision:
            recorded = await ApprovalStore(connection).record_approval(
                decision.session_id,
                decision.draft_hash,
                decision.approved_by,
                decision.status,
                preview_id=decision.preview_id,
                event_id=decision.event_id,
            )
            if not recorded:
                raise RuntimeError(f"{decision.draft_hash} of {decision.session_id} was decided before, yet its card was open")
            if decision.status == "approved":
                await self._intend(connection, event, decision.draft_hash)

    async def _intend(self, connection: AsyncConnection, event: Event, draft_hash: str) -> None:
        row = {
            "session_id": event.session_id,
            "draft_hash": draft_hash,
            "marker": marker(event.session_id, draft_hash),
            "status": "intended",
            "origin": event.origin,
        }
        await connection.execute(insert(filings), row)
        await self._database.queue.defer_file(event.session_id, draft_hash, connection)

    async def begin_filing(self, session_id: str, draft_hash: str) -> Filing | None:
        """Moves the filing to `sent`, committed before anything is sent."""
        this = (filings.c.session_id == session_id) & (filings.c.draft_hash == draft_hash)
        async with self._database.turns.begin() as connection:
            before = (await connection.execute(select(filings).where(this).with_for_update())).one()
            if before.status not in ("intended", "sent"):
                return None
            await connection.execute(update(filings).where(this).values(status="sent", at=func.clock_timestamp()))
            card = (
                previews.c.session_id == session_id,
                previews.c.draft_hash == draft_hash,
                previews.c.status == "approved",
            )
            sealed = (await connection.execute(select(previews.c.sealed).where(*card))).scalar_one()
        return Filing(session_id, draft_hash, sealed, before.marker, before.origin, before.status == "sent")

    async def end_filing(self, filing: Filing, outcome: FilingOutcome) -> None:
        """One transaction: the filing's outcome, and the event that tells its session."""
        this = (filings.c.session_id == filing.session_id) & (filings.c.draft_hash == filing.draft_hash)
        values = outcome.model_dump(include={"status", "key", "url", "reason"})
        event = Event(
            event_id=f"{filing.marker}:{outcome.status}",
            session_id=filing.session_id,
            origin=filing.origin,
            answer=outcome.model_copy(update={"draft_hash": filing.draft_hash}),
        )
        async with self._database.turns.begin() as connection:
            await connection.execute(update(filings).where(this).values(**values, at=func.clock_timestamp()))
            await self._accept(connection, event)


def _card(row: Any) -> Card:
    return Card(
        preview_id=row.preview_id,
        draft_hash=row.draft_hash,
        sealed=json.loads(row.sealed),
        version=row.version,
        status=row.status,
    )
