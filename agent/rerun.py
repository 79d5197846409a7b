"""A conversation held again in today's graph, in memory: no database, no network, and no model unless one is asked."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from agent.asking import Unanswered
from agent.checkpoint import TurnSaver
from agent.conversation import Head, Step
from agent.draft import TicketDraft
from agent.graph import build
from agent.interview import NAME as INTERVIEW
from agent.interview import GuidedInterview
from agent.ports import ApprovalRecord, Card, Event, Filing, FilingFacts, ModelCall, Pending, Settled, Snapshot, Turn, Verdict
from agent.protocol import AskRequest, Decision, FilingOutcome, Found, Reply, Settlement, SimilarRequest, from_hitl
from agent.reading import Listener
from agent.sealing import SealedTicket, marker
from agent.trackers import Renderer, Ticket
from agent.turn import Turns


class Run:
    """A conversation that is held again in today's graph, in memory, event by event.

    What was recorded of the model answers, or a `listener` of today does.
    """

    def __init__(self, head: Head, renderers: Mapping[str, Renderer], listener: Listener | None = None) -> None:
        self._recorded, self._found = _Recorded(), Found()
        # that a budget was spent is on record, so there is none
        recorded = Listener(self._recorded, head.questions, guided=not head.overhears, budget=sys.maxsize)
        self._listener = listener or recorded
        graph = build(self._listener, renderers, head.destination, TurnSaver(), looks=True)
        self._turns = Turns(graph, overhears=self._listener.overhears, find=self._find)
        self._session = _Session()

    async def take(self, step: Step) -> Turn:
        """What today's graph makes of the step's event."""
        self._recorded.calls, self._found = [*step.calls], step.found
        snapshot = self._session.snapshot(step.event.model_copy(deep=True), step.verdict)
        turn = await self._turns.take(snapshot, step.verdict)
        self._session.commit(snapshot, turn)
        return turn

    async def _find(self, _: SimilarRequest) -> Found:
        return self._found

    def pressed(self, step: Step) -> Step | None:
        """The step; a button's as of today's question that has the same option, and None if none has."""
        answer = step.event.answer
        if not isinstance(answer, Reply) or not answer.question:
            return step
        request = from_hitl(self._session.pending.request) if self._session.pending else None
        for question in request.questions if isinstance(request, AskRequest) else []:
            if answer.text in question.options:
                bound = answer.model_copy(update={"question": question.id})
                return step.model_copy(update={"event": step.event.model_copy(update={"answer": bound})})
        return None

    @property
    def draft(self) -> TicketDraft:
        """The draft as it stands."""
        return TicketDraft.model_validate(self._session.state.get("draft", {}))

    @property
    def open_card(self) -> Card | None:
        """The card that waits for a decision."""
        return self._session.open_card


class _Recorded(GuidedInterview):
    """Answers as the model did at this event, or fails as it did; without a record the guided interview reads it."""

    calls: list[ModelCall] = Field(default_factory=list)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not self.calls:
            return super()._generate(messages, stop, run_manager, **kwargs)
        call = self.calls.pop(0)
        if call.error:
            raise Unanswered(call.error, again=bool(self.calls) and self.calls[0].model != INTERVIEW)
        return ChatResult(generations=[ChatGeneration(message=AIMessage.model_validate(call.answer))])


@dataclass
class _Session:
    """One session in memory: what the database keeps of it, as far as turns go by it."""

    turn: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    pending: Pending | None = None
    checkpoint: bytes | None = None
    cards: list[Card] = field(default_factory=list)
    approvals: dict[str, ApprovalRecord] = field(default_factory=dict)
    filings: dict[str, Filing] = field(default_factory=dict)

    @property
    def open_card(self) -> Card | None:
        return next((card for card in self.cards if card.status == "open"), None)

    def snapshot(self, event: Event, found: Verdict) -> Snapshot:
        """What a turn goes by; `found` is what was found out when the event was taken."""
        clicked = self._clicked(event.answer) if isinstance(event.answer, Decision) else None
        return Snapshot(
            event=event,
            turn=self.turn,
            state=self.state,
            pending=self.pending,
            checkpoint=self.checkpoint,
            open_card=self.open_card,
            clicked=clicked,
            late=found.late,
            standing=self.approvals.get(clicked.draft_hash) if clicked else None,
            filing=self._filing(event.answer, clicked, found.filing),
        )

    def _filing(self, answer: object, clicked: Card | None, found: FilingFacts | None) -> Filing | None:
        """What it is about: as it was found then, and for an outcome as that says, which is on record before it is told."""
        if found and (filing := self.filings.get(found.draft_hash)):
            return replace(filing, status=found.status, attempt=found.attempt, ticket=found.ticket)
        if isinstance(answer, Decision) and clicked:
            return self.filings.get(clicked.draft_hash)
        if isinstance(answer, FilingOutcome) and (filing := self.filings.get(str(answer.draft_hash))):
            ticket = Ticket(key=answer.key, url=answer.url) if answer.key else None
            self.filings[filing.draft_hash] = replace(filing, status=answer.status, ticket=ticket)
            return self.filings[filing.draft_hash]
        if isinstance(answer, Settlement):
            about = [one for one in self.filings.values() if one.draft_hash.startswith(answer.draft_hash or "")]
            return about[-1] if about else None
        return None

    def _clicked(self, click: Decision) -> Card | None:
        named = [card for card in self.cards if click.draft_hash and card.draft_hash.startswith(click.draft_hash)]
        if len({card.draft_hash for card in named}) > 1:
            return None
        return next((card for card in reversed(named) if click.preview_id in (None, card.preview_id)), None)

    def commit(self, snapshot: Snapshot, turn: Turn) -> None:
        self.turn += 1
        if settled := turn.settled:
            self._settle(settled)
        if (graph := turn.graph) is None:
            return
        self.state, self.pending, self.checkpoint = graph.state, graph.pending, graph.checkpoint
        if graph.closed:
            preview_id, status = graph.closed
            self.cards = [
                card.model_copy(update={"status": status}) if card.preview_id == preview_id else card for card in self.cards
            ]
        if card := graph.new_card:
            if any(card.preview_id == other.preview_id or other.status == "open" for other in self.cards):
                raise ValueError("a card was shown twice, or beside an open one")
            self.cards.append(card)
            if card.draft_hash in self.approvals and self.approvals[card.draft_hash].status == "rejected":
                del self.approvals[card.draft_hash]
        if decision := graph.decision:
            self.approvals[decision.draft_hash] = decision
            if decision.status == "approved":
                self._intend(decision)

    def _intend(self, decision: ApprovalRecord) -> None:
        card = next(card for card in self.cards if card.preview_id == decision.preview_id)
        sealed = SealedTicket(payload=card.sealed).bytes
        named = marker(decision.session_id, decision.draft_hash)
        self.filings[decision.draft_hash] = Filing(
            decision.session_id, decision.draft_hash, sealed, decision, named, "", "intended"
        )

    def _settle(self, settled: Settled) -> None:
        filing = settled.filing
        if settled.to == "withdrawn":
            del self.filings[filing.draft_hash], self.approvals[filing.draft_hash]
            return
        attempt = filing.attempt + (settled.to == "intended")
        self.filings[filing.draft_hash] = replace(filing, status=settled.to, attempt=attempt, ticket=settled.ticket)
