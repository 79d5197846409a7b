"""One turn: an event is judged, taken through the graph, and becomes everything that is committed together.

Pure but for the model: it reads a `Snapshot` and returns a `Turn`. The shell runs it on PostgreSQL, replay in memory.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from agent import shows
from agent.checkpoint import TurnSaver, UnreadableCheckpoint
from agent.draft import TEXT_LIMIT, TicketDraft, clean
from agent.graph import Graph
from agent.listening import reads
from agent.ports import ApprovalRecord, Card, CardStatus, GraphTurn, Pending, Settled, Snapshot, Turn, Verdict
from agent.protocol import (
    Decision,
    FileRequest,
    FilingOutcome,
    Found,
    PreviewRequest,
    Reply,
    Settlement,
    SimilarRequest,
    from_hitl,
)
from agent.rules import Click, Effect, Row, Settling, judge, settle
from agent.sealing import SHORT
from agent.state import State, to_message

Resumed = Reply | Decision | FilingOutcome | Settlement

Find = Callable[[SimilarRequest], Awaitable[Found]]
"""Looks for tickets that may be the same; it does not fail, and says what it could not look at."""

BEGUN = "The next ticket is begun here already: mention me, and say what it needs."

NO_VERDICT = Verdict()

STALE = judge(Click(act="approve", allowed=True, card="superseded"))
"""What a click comes to whose card has turned out not to be the one that waits."""

STRICT = "__pregel_strict_resume"
"""LangGraph's own key: an answer to an interrupt that is not pending raises instead of being dropped."""


class Turns:
    """Takes turns on one compiled graph, any number at a time."""

    def __init__(self, graph: Graph, *, overhears: bool = True, find: Find | None = None) -> None:
        self._graph, self._overhears, self._find = graph, overhears, find or _nothing
        self._saver = cast(TurnSaver, graph.checkpointer)

    async def take(self, snapshot: Snapshot, verdict: Verdict) -> Turn:
        """What the snapshot's event comes to. The verdict counts for clicks only."""
        answer = snapshot.event.answer
        match answer:
            case Decision():
                return await self._click(snapshot, answer, verdict)
            case FilingOutcome():
                if _is_old(snapshot, answer):
                    return Turn(outcome="ignored")
                if not _waits_for(snapshot, answer.draft_hash):
                    return (
                        Turn(answer.status, shows.outcome(answer, snapshot)) if _is_news(snapshot, answer) else Turn("ignored")
                    )
                graph, said = await self._run(snapshot, answer)
                shown = shows.outcome(answer, snapshot)
                if snapshot.filing and graph.state.get("approval") is None:
                    return Turn(answer.status, [*shown, *said], graph=graph, settled=Settled(snapshot.filing, "withdrawn"))
                return Turn(outcome=answer.status, shows=[*shown, *said], graph=graph)
            case Settlement():
                return await self._settle(snapshot, answer, verdict)
            case Reply():
                if not self.reads(snapshot, answer):
                    return Turn(outcome="overheard")
                if answer.anew and not State.model_validate(snapshot.state).over:
                    return Turn(outcome="begun", shows=[shows.private(answer.by, BEGUN)])
                requester = snapshot.state.get("requester") or answer.by
                answer.thread = [past for past in answer.thread if reads(past, requester, overhears=self._overhears)]
                graph, shown = await self._run(snapshot, answer)
                return Turn(outcome="replied", shows=shown, graph=graph)

    def reads(self, snapshot: Snapshot, reply: Reply) -> bool:
        """Whether the reply is read at all, before it is known what belongs to it."""
        return reads(reply, snapshot.state.get("requester", ""), overhears=self._overhears)

    async def _click(self, snapshot: Snapshot, click: Decision, verdict: Verdict) -> Turn:
        click = click.model_copy(update={"by": clean(click.by)[0], "reason": clean(click.reason)[0][:TEXT_LIMIT]})
        snapshot, row = judged(snapshot, click, verdict, linked=not click.same_as or verdict.ticket is not None)
        card, verdict = snapshot.clicked, _kept_with(verdict, snapshot)
        told = [shows.decision(row, snapshot, click, verdict)] if "answer" in row.effects else []
        if card is None or "run" not in row.effects:
            again = shows.doubt(snapshot) if row.name == "doubted" else []
            return Turn(outcome=row.then, shows=[*told, *again], verdict=verdict)
        known = {"draft_hash": card.draft_hash, "preview_id": card.preview_id, "late": verdict.late}
        graph, shown = await self._run(snapshot, click.model_copy(update=known), verdict, row.effects)
        if graph.decision is None:  # it expired, or could not be restored as it was: a new one stands, and nothing is decided
            row = STALE if "record" in row.effects else row
            told = [shows.decision(row, replace(snapshot, open_card=graph.new_card), click, verdict)]
        return Turn(outcome=row.then, shows=[*told, *shown], verdict=verdict, graph=graph)

    async def _settle(self, snapshot: Snapshot, said: Settlement, verdict: Verdict) -> Turn:
        said = said.model_copy(update={"by": clean(said.by)[0]})
        filing, verdict = snapshot.filing, _kept_with(verdict, snapshot)
        row = settle(
            Settling(
                act=said.act,
                allowed=verdict.allowed,
                filing=filing.status if filing else "none",
                current=filing is not None and said.attempt in (None, filing.attempt),
                proven=verdict.ticket is not None,
            )
        )
        told = shows.settlement(row, snapshot, said, verdict) if "answer" in row.effects else []
        if filing is None or "settle" not in row.effects:
            return Turn(outcome=row.then, shows=told, verdict=verdict)
        settled = Settled(filing, row.then, verdict.ticket if row.then == "filed" else None)  # type: ignore[arg-type]
        resumed: Resumed = said.model_copy(update={"draft_hash": filing.draft_hash, "becomes": row.then})
        if ticket := settled.ticket:
            resumed = FilingOutcome(status="filed", draft_hash=filing.draft_hash, key=ticket.key, url=ticket.url)
            told = [shows.filed(resumed)]
        if "run" not in row.effects or not _waits_for(
            snapshot, filing.draft_hash
        ):  # the conversation went on: what it left is settled all the same
            return Turn(outcome=row.then, shows=told, verdict=verdict, settled=settled)
        graph, shown = await self._run(snapshot, resumed)
        return Turn(outcome=row.then, shows=[*told, *shown], verdict=verdict, graph=graph, settled=settled)

    async def _run(
        self, snapshot: Snapshot, answer: Resumed, verdict: Verdict = NO_VERDICT, effects: Sequence[Effect] = ()
    ) -> tuple[GraphTurn, list[dict[str, Any]]]:
        """Resumes the pending interrupt by its id, or starts afresh; gives the session after it, and what to show."""
        answer = answer.model_copy(update={"event_id": snapshot.event.event_id})
        try:
            with self._saver.attempt(snapshot.checkpoint) as thread_id:
                config: RunnableConfig = {"configurable": {"thread_id": thread_id, STRICT: True}}
                waiting = snapshot.pending.interrupt_id if snapshot.pending else None
                lost: Any = snapshot.state if snapshot.checkpoint is None else {}
                if waiting and lost:
                    rebuilt, _ = await self._invoked(_at_decide(lost, answer), config)
                    waiting, lost = rebuilt.interrupts[0].id if rebuilt.interrupts else None, {}
                if waiting:
                    given: Any = Command(resume={waiting: answer.model_dump(mode="json")})
                else:
                    given = {**lost, "messages": [to_message(answer)] if isinstance(answer, Reply) else []}
                result, found = await self._invoked(given, config)
                checkpoint = self._saver.stored(thread_id)
        except UnreadableCheckpoint:
            return await self._run(replace(snapshot, checkpoint=None), answer, verdict, effects)
        state = result.value
        pending = None
        if result.interrupts:
            [interrupt] = result.interrupts
            pending = Pending(interrupt_id=interrupt.id, request=interrupt.value)
        graph, shown = _after(snapshot, answer, state, pending, checkpoint, verdict, effects)
        if found and found.tickets and graph.new_card:
            shown.insert(len(shown) - 1, shows.similar(graph.new_card, found))
        return replace(graph, found=found), shown

    async def _invoked(self, given: Any, config: RunnableConfig) -> tuple[Any, Found | None]:
        """The graph's result. What it asks to be looked up on the way is looked up at once, and is part of the same turn."""
        result, found = await self._graph.ainvoke(given, config, durability="exit", version="v2"), None
        while result.interrupts and isinstance(request := from_hitl(result.interrupts[0].value), SimilarRequest):
            found = (await self._find(request)).model_copy(update={"event_id": result.value.event_id})
            answer: Command[Any] = Command(resume={result.interrupts[0].id: found.model_dump(mode="json")})
            result = await self._graph.ainvoke(answer, config, durability="exit", version="v2")
        return result, found


def judged(snapshot: Snapshot, click: Decision, verdict: Verdict, *, linked: bool) -> tuple[Snapshot, Row]:
    """What the click comes to, and the snapshot, without the card if the click does not name it."""
    card = snapshot.clicked
    if card and click.draft_hash not in (card.draft_hash, card.draft_hash[:SHORT]):  # as the card shows it, or the whole
        snapshot = replace(snapshot, clicked=None, late=False, standing=None, filing=None)
        card = None
    row = judge(
        Click(
            act=click.type,
            allowed=verdict.allowed,
            card=card.status if card else "none",
            standing=snapshot.standing.status if snapshot.standing else "none",
            left=snapshot.filing is not None and snapshot.filing.status == "left",
            linked=linked,
            late=snapshot.late,
        )
    )
    return snapshot, row


async def _nothing(_: SimilarRequest) -> Found:
    return Found()


def _after(
    snapshot: Snapshot,
    answer: Resumed,
    state: State,
    pending: Pending | None,
    checkpoint: bytes,
    verdict: Verdict,
    effects: Sequence[Effect],
) -> tuple[GraphTurn, list[dict[str, Any]]]:
    event = snapshot.event
    kept = state.model_dump(mode="json", exclude={"messages", "calls"}, exclude_defaults=True)
    shown = [
        shows.say(str(message.text))
        for message in state.messages
        if isinstance(message, AIMessage) and message.text and str(message.id).startswith(f"{event.event_id}:")
    ]
    request = from_hitl(pending.request) if pending else None
    asked = from_hitl(snapshot.pending.request) if snapshot.pending else None
    before, new_card, closed = snapshot.open_card, None, None
    same = isinstance(request, PreviewRequest) and before is not None and before.preview_id == request.preview_id
    if isinstance(request, PreviewRequest) and not same:
        new_card = Card.model_validate(request.model_dump(include={"preview_id", "draft_hash", "sealed", "version"}))
    if state.quiet and not new_card:
        shown = []
    elif state.show or not (same or (request == asked and _is_overheard(answer, state))):
        shown += shows.waiting(event.session_id, pending, getattr(answer, "by", ""), again=same)
    if same and not state.show and isinstance(request, PreviewRequest) and isinstance(asked, PreviewRequest):
        shown += shows.marks(getattr(answer, "by", ""), asked, request)
    if before and not same:
        closed = (before.preview_id, _fate(answer, before, state) if "close" in effects else "superseded")
    if isinstance(answer, Reply) and answer.amends and kept.get("draft") != snapshot.state.get("draft"):
        shown = [shows.marked(answer)]
    if isinstance(answer, Reply) and (late := _contested(answer, snapshot.state)):
        shown = [show for show in shown if show["kind"] != "say"] + [shows.contested(answer, late)]
    decision = None
    if isinstance(answer, Decision) and before and "record" in effects and _decided(answer, before, state):
        decision = ApprovalRecord(
            session_id=event.session_id,
            draft_hash=before.draft_hash,
            status="approved" if answer.type == "approve" else "rejected",
            approved_by=answer.by,
            preview_id=before.preview_id,
            event_id=event.event_id,
            name=clean(verdict.name)[0],
            thread=verdict.thread,
        )
    calls = [call for call in state.calls if call.event_id == event.event_id]
    intends = decision is not None and "intend" in effects
    return GraphTurn(checkpoint, kept, pending, new_card, closed, decision, intends, calls), shown


def _is_overheard(answer: Resumed, state: State) -> bool:
    """Whether people talk to each other, who need not be asked the very same again."""
    return isinstance(answer, Reply) and not answer.addressed and answer.by != state.requester


def _contested(edit: Reply, state: dict[str, Any]) -> list[str]:
    """The fields that were not what the edit was to replace."""
    draft = TicketDraft.model_validate(state.get("draft", {}))
    return [one.field for one in edit.edits if one.over and one.over != draft.digest(one.field)]


def _decided(decision: Decision, card: Card, state: State) -> bool:
    """Whether the graph took the decision on this card; what it did not take is not committed."""
    if decision.type == "approve":
        return state.approval is not None and state.approval.preview_id == card.preview_id
    return state.rejected_hash == card.draft_hash


def _fate(answer: Resumed, card: Card, state: State) -> CardStatus:
    if isinstance(answer, Decision) and _decided(answer, card, state):
        return "approved" if answer.type == "approve" else "rejected"
    return "expired" if isinstance(answer, Decision) and answer.late else "superseded"


def _waits_for(snapshot: Snapshot, draft_hash: str | None) -> bool:
    request = from_hitl(snapshot.pending.request) if snapshot.pending else None
    return isinstance(request, FileRequest) and request.draft_hash == draft_hash


def _kept_with(verdict: Verdict, snapshot: Snapshot) -> Verdict:
    """The verdict with what was found of the filing, if there is one, and whether a click came too late."""
    filing = snapshot.filing.facts if snapshot.filing else None
    return verdict.model_copy(update={"filing": filing, "late": snapshot.late})


def _is_old(snapshot: Snapshot, outcome: FilingOutcome) -> bool:
    """Whether it is no longer so: a person's word was taken before it, and led to another attempt."""
    if snapshot.filing is None or outcome.status == "filed":
        return False
    return outcome.attempt != snapshot.filing.attempt or outcome.status != snapshot.filing.status


def _is_news(snapshot: Snapshot, outcome: FilingOutcome) -> bool:
    """Whether it is about a filing that the conversation left in doubt, and went on."""
    known = snapshot.state.get("outcome") or {}
    current = snapshot.filing is not None and snapshot.filing.status == outcome.status
    return current and (known.get("draft_hash"), known.get("status")) != (
        outcome.draft_hash,
        outcome.status,
    )


def _at_decide(state: dict[str, Any], answer: Resumed) -> Any:
    """Input that takes a session without a checkpoint to the gate it waited at: nothing is said, only decided anew."""
    asking = {question.get("field") for question in state.get("asking", [])}  # asked again, and that is not counted
    asked = {name: times - (name in asking) for name, times in state.get("asked", {}).items()}
    return {**state, "event_id": f"{answer.event_id}:rebuilt", "asked": asked, "unheard": True, "show": False}
