"""One turn: an event is judged, taken through the graph, and becomes everything that is committed together.

Pure but for the model: it reads a `Snapshot` and returns a `Turn`. The shell runs it on PostgreSQL, replay in memory.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from agent.checkpoint import TurnSaver, UnreadableCheckpoint
from agent.graph import Graph
from agent.ports import ApprovalRecord, Card, CardStatus, GraphTurn, Pending, Snapshot, Turn, Verdict
from agent.protocol import (
    AskRequest,
    Click,
    Decision,
    FileRequest,
    FilingOutcome,
    PreviewRequest,
    Reply,
    Request,
    from_hitl,
    judge,
)
from agent.sealing import diff
from agent.state import Approval, State, to_message

STRICT = "__pregel_strict_resume"
"""LangGraph's own key: an answer to an interrupt that is not pending raises instead of being dropped."""


class Turns:
    """Takes turns on one compiled graph, any number at a time."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._saver = cast(TurnSaver, graph.checkpointer)

    async def take(self, snapshot: Snapshot, verdict: Verdict) -> Turn:
        """What the snapshot's event comes to. The verdict counts for clicks only."""
        answer = snapshot.event.answer
        match answer:
            case Decision():
                return await self._click(snapshot, answer, verdict)
            case FilingOutcome():
                if not _waits_for(snapshot, answer):
                    return Turn(outcome="ignored")
                graph, says = await self._run(snapshot, answer)
                return Turn(outcome=answer.status, shows=[*_outcome_shown(answer), *says], graph=graph)
            case Reply():
                graph, shows = await self._run(snapshot, answer)
                return Turn(outcome="replied", shows=shows, graph=graph)

    async def _click(self, snapshot: Snapshot, click: Decision, verdict: Verdict) -> Turn:
        card, standing = snapshot.clicked, snapshot.standing
        row = judge(
            Click(
                act=click.type,
                allowed=verdict.allowed,
                card=card.status if card else "none",
                standing=standing.status if standing else "none",
            )
        )
        shown = _judged(row.name, snapshot, click, verdict)
        decision: dict[str, Any] = {"kind": "decision", "status": row.then, **shown}
        if card is None or row.then not in ("approved", "rejected"):
            return Turn(outcome=row.then, shows=[decision], verdict=verdict)
        bound = click.model_copy(update={"draft_hash": card.draft_hash, "preview_id": card.preview_id})
        graph, shows = await self._run(snapshot, bound)
        return Turn(outcome=row.then, shows=[decision, *shows], verdict=verdict, graph=graph)

    async def _run(self, snapshot: Snapshot, answer: Reply | Decision | FilingOutcome) -> tuple[GraphTurn, list[dict[str, Any]]]:
        """Resumes the pending interrupt by its id, or starts afresh; gives the session after it, and what to show."""
        answer = answer.model_copy(update={"event_id": snapshot.event.event_id})
        try:
            with self._saver.attempt(snapshot.checkpoint) as thread_id:
                config: RunnableConfig = {"configurable": {"thread_id": thread_id, STRICT: True}}
                waiting = snapshot.pending.interrupt_id if snapshot.pending else None
                if snapshot.checkpoint is None and snapshot.turn:
                    rebuilt = await self._graph.ainvoke(_rebuilt(snapshot), config, durability="exit", version="v2")
                    waiting = rebuilt.interrupts[0].id if rebuilt.interrupts else None
                if waiting:
                    given: Any = Command(resume={waiting: answer.model_dump(mode="json")})
                else:
                    given = {"messages": [to_message(answer)] if isinstance(answer, Reply) else []}
                result = await self._graph.ainvoke(given, config, durability="exit", version="v2")
                checkpoint = self._saver.stored(thread_id)
        except UnreadableCheckpoint:
            return await self._run(replace(snapshot, checkpoint=None), answer)
        state = cast(State, result.value)
        pending = None
        if result.interrupts:
            [interrupt] = result.interrupts
            pending = Pending(interrupt_id=interrupt.id, request=interrupt.value)
        return _after(snapshot, answer, state, pending, checkpoint)


def _after(
    snapshot: Snapshot, answer: Reply | Decision | FilingOutcome, state: State, pending: Pending | None, checkpoint: bytes
) -> tuple[GraphTurn, list[dict[str, Any]]]:
    event = snapshot.event
    said = [
        {"kind": "say", "text": str(message.text)}
        for message in state.messages
        if isinstance(message, AIMessage) and message.text and str(message.id).startswith(f"{event.event_id}:")
    ]
    request = from_hitl(pending.request) if pending else None
    before, new_card, closed, shows = snapshot.open_card, None, None, said
    if isinstance(request, AskRequest):
        shows = [*said, {"kind": "question", "questions": [question.model_dump() for question in request.questions]}]
    if isinstance(request, PreviewRequest):
        if before is None or before.preview_id != request.preview_id:
            card = request.model_dump(include={"preview_id", "draft_hash", "sealed", "version"})
            new_card = Card.model_validate(card)
        if new_card or state.show:
            shows = [*said, preview_shown(event.session_id, request)]
    if before and not (isinstance(request, PreviewRequest) and before.preview_id == request.preview_id):
        closed = (before.preview_id, _fate(answer, request))
    decision = None
    if isinstance(answer, Decision) and before:
        decision = ApprovalRecord(
            session_id=event.session_id,
            draft_hash=before.draft_hash,
            status="approved" if answer.type == "approve" else "rejected",
            approved_by=answer.by,
            preview_id=before.preview_id,
            event_id=event.event_id,
        )
    calls = [call for call in state.calls if call.event_id == event.event_id]
    return GraphTurn(checkpoint, state.draft, pending, new_card, closed, decision, calls), shows


def _fate(answer: Reply | Decision | FilingOutcome, request: Request | None) -> CardStatus:
    if isinstance(answer, Decision):
        return "approved" if isinstance(request, FileRequest) else "rejected"
    return "superseded"


def preview_shown(session_id: str, request: PreviewRequest) -> dict[str, Any]:
    """The card as people are shown it."""
    return {"kind": "preview", "session_id": session_id, **request.model_dump(mode="json")}


def pending_shown(session_id: str, pending: Pending | None) -> list[dict[str, Any]]:
    """What a session waits for, as people were shown it: for somebody who comes back."""
    match from_hitl(pending.request) if pending else None:
        case AskRequest() as request:
            return [{"kind": "question", "questions": [question.model_dump() for question in request.questions]}]
        case PreviewRequest() as request:
            return [preview_shown(session_id, request)]
    return []


def _outcome_shown(outcome: FilingOutcome) -> list[dict[str, Any]]:
    if outcome.status == "filed":
        return [{"kind": "filed", "key": outcome.key, "url": outcome.url, "draft_hash": outcome.draft_hash}]
    if outcome.status == "failed":
        return [{"kind": "say", "text": f"The ticket was not filed: {outcome.reason} The approval stands."}]
    return [{"kind": "say", "text": "Nobody can tell whether the ticket was filed: look in the tracker before anything else."}]


def _waits_for(snapshot: Snapshot, outcome: FilingOutcome) -> bool:
    request = from_hitl(snapshot.pending.request) if snapshot.pending else None
    return isinstance(request, FileRequest) and request.draft_hash == outcome.draft_hash


def _judged(name: str, snapshot: Snapshot, click: Decision, verdict: Verdict) -> dict[str, Any]:
    """What a person is told about their click: who decided, on which hash, what changed since, and a sentence."""
    card, now, standing = snapshot.clicked, snapshot.open_card, snapshot.standing
    changes = diff(card.sealed, now.sealed) if card and now and now.preview_id != card.preview_id else []
    filed = f" It is filed as {snapshot.ticket.key}." if snapshot.ticket else ""
    who = standing.approved_by if standing and name in ("decided", "discarded") else click.by
    where = f"The open card is {now.draft_hash[:8]}." if now else "No card is open now."
    texts = {
        "forbidden": f"{click.by} may not decide here: {verdict.why}",
        "unknown": f"No card {click.draft_hash or ''} was shown in this session, so nothing was decided. {where}",
        "decided": f"Already approved by {who}.{filed}",
        "approve": f"Approved by {who}.",
        "reject": f"Rejected by {who}." + (f" Reason: {click.reason}" if click.reason else ""),
        "discarded": f"Already rejected by {who}. {where}",
        "stale": f"Nothing was decided: that card is no longer current. {_told(changes)}{where}",
    }
    draft_hash = card.draft_hash if card else click.draft_hash or ""
    diffs = [change.model_dump() for change in changes]
    return {"by": who, "draft_hash": draft_hash, "diff": diffs, "text": texts[name]}


def _told(changes: Sequence[Any]) -> str:
    return f"Changed since: {', '.join(change.field for change in changes)}. " if changes else ""


def _rebuilt(snapshot: Snapshot) -> dict[str, Any]:
    """The state of a session that has no readable checkpoint: its draft, and the approval it waits under."""
    state: dict[str, Any] = {"draft": snapshot.draft, "event_id": f"{snapshot.event.event_id}:rebuilt"}
    request = from_hitl(snapshot.pending.request) if snapshot.pending else None
    if isinstance(request, FileRequest):
        state["approval"] = Approval(
            preview_id=request.preview_id, draft_hash=request.draft_hash, by=request.approved_by
        )
    if isinstance(request, PreviewRequest):
        state["preview"] = request
    return state
