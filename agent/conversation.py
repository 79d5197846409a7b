"""Conversations as files, and their replay through today's graph: no database, no network, and no model unless one is asked.

A file is JSON lines. The first says what the conversation was held with; then come the events in order, each followed by
what people were shown because of it, in the words of `chat --json`. A file written by hand may leave out any key of what
was shown: only what it names is compared.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import BaseModel, Field, ValidationError, field_validator

from agent.asking import Unanswered
from agent.checkpoint import TurnSaver
from agent.draft import CUSTOM, FIELDS, TicketDraft
from agent.evaluation import Expected
from agent.graph import build
from agent.interview import NAME as INTERVIEW
from agent.interview import GuidedInterview
from agent.ports import ApprovalRecord, Card, Event, Filing, FilingFacts, ModelCall, Pending, Settled, Snapshot, Turn, Verdict
from agent.protocol import AskRequest, Decision, FilingOutcome, Found, Reply, Settlement, SimilarRequest, from_hitl
from agent.reading import Listener
from agent.sealing import Destination, SealedTicket, marker
from agent.trackers import Renderer, Ticket
from agent.turn import Turns

FORMAT = 1


class BadConversation(Exception):
    """A file that is no conversation; the text says where and what to do."""


class Head(BaseModel):
    """The first line: how the conversation was held."""

    conversation: int = FORMAT
    about: str = ""
    session_id: str = "terminal:replay"
    questions: int = 1
    overhears: bool = False
    """A model listened; else the guided interview."""
    destination: Destination = Field(default_factory=Destination)
    expected: dict[str, Expected] = Field(default_factory=dict)
    """What the draft is to hold, by field (`agent.evaluation`)."""
    never: list[str] = Field(default_factory=list)
    """Words that are to be nowhere in it."""

    @field_validator("expected")
    @classmethod
    def _fields(cls, expected: dict[str, Expected]) -> dict[str, Expected]:
        if unknown := [name for name in expected if name not in FIELDS and not name.startswith(CUSTOM)]:
            raise ValueError(f"there is no field {unknown[0]!r}")
        return expected


class Step(BaseModel):
    """An event as it was processed: the verdict on it, the model's recorded answers, and what was shown."""

    event: Event
    verdict: Verdict = Field(default_factory=Verdict)
    found: Found = Field(default_factory=Found)
    calls: list[ModelCall] = Field(default_factory=list)
    shows: list[dict[str, Any]] = Field(default_factory=list)


class Conversation(BaseModel):
    """A whole conversation."""

    head: Head
    steps: list[Step]


def dump(conversation: Conversation) -> Iterator[str]:
    """The conversation's lines."""
    wished = {name for name in ("expected", "never") if not getattr(conversation.head, name)}
    yield json.dumps(conversation.head.model_dump(mode="json", by_alias=True, exclude=wished))
    for step in conversation.steps:
        event = step.event.model_dump(mode="json", include={"event_id", "answer"}, exclude_defaults=True)
        line: dict[str, Any] = {"event": event | {"answer": {"type": step.event.answer.type, **event["answer"]}}}
        if step.verdict != Verdict():
            line["verdict"] = step.verdict.model_dump(exclude_defaults=True)
        if step.found != Found():
            line["found"] = step.found.model_dump(exclude_defaults=True)
        if step.calls:
            line["calls"] = [call.model_dump(exclude_defaults=True) for call in step.calls]
        yield json.dumps(line)
        for show in step.shows:
            yield json.dumps(show)


def load(path: Path) -> Conversation:
    """Reads a file. Raises BadConversation, naming the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadConversation(f"{path} cannot be read ({reason}): name a file that signoff export wrote.") from None
    return parse(lines, str(path))


def parse(lines: Sequence[str], path: str) -> Conversation:
    """Reads the lines of a file of this name. Raises BadConversation, naming the line."""
    head, steps = None, list[Step]()
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
            if head is None:
                if value["conversation"] != FORMAT:
                    raise ValueError(f"format {value['conversation']} is not one this version reads")
                head = Head.model_validate(value)
            elif "event" in value:
                named = {"event_id": f"event-{len(steps) + 1}", **value["event"], "session_id": head.session_id}
                steps.append(Step.model_validate({**value, "event": named}))
            else:
                value["kind"]
                steps[-1].shows.append(value)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            told = isinstance(error, ValueError) and not isinstance(error, ValidationError)
            what = str(error) if told else "it is no line of a conversation"
            raise BadConversation(
                f"{path}, line {number} cannot be read ({what}): export it again, or mend the line."
            ) from None
    if head is None:
        raise BadConversation(f"{path} is empty: name a file that signoff export wrote.")
    return Conversation(head=head, steps=steps)


@dataclass(frozen=True)
class Difference:
    """Where today's graph first does otherwise: the step (from 1), and what was shown then and now (None: nothing)."""

    step: int
    recorded: dict[str, Any] | None
    today: dict[str, Any] | None


class Run:
    """A conversation that is held again in today's graph, in memory, event by event.

    What was recorded of the model answers, or a `listener` of today does.
    """

    def __init__(self, head: Head, renderers: Mapping[str, Renderer], listener: Listener | None = None) -> None:
        self._recorded, self._found = _Recorded(), Found()
        self._listener = listener or Listener(self._recorded, head.questions, guided=not head.overhears)
        graph = build(self._listener, renderers, head.destination, TurnSaver(), looks=True)
        self._turns = Turns(graph, overhears=self._listener.overhears, find=self._find)
        self._session = _Session()

    async def take(self, step: Step) -> Turn:
        """What today's graph makes of the step's event."""
        self._recorded.calls, self._found = [*step.calls], step.found
        snapshot = self._session.snapshot(step.event.model_copy(deep=True), step.verdict.filing)
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


async def run(
    conversation: Conversation, renderers: Mapping[str, Renderer]
) -> AsyncIterator[tuple[Step, list[dict[str, Any]]]]:
    """Runs the conversation's events through today's graph; gives each with what it shows."""
    running = Run(conversation.head, renderers)
    for step in conversation.steps:
        yield step, (await running.take(step)).shows


async def replay(conversation: Conversation, renderers: Mapping[str, Renderer]) -> Difference | None:
    """The first difference between what was shown then and what today's graph shows; None if there is none."""
    number = 0
    async for step, today in run(conversation, renderers):
        number += 1
        if difference := _first_difference(number, step.shows, today):
            return difference
    return None


@dataclass(frozen=True)
class Drafted:
    """A draft, the replies that were read for it, and how often the model that was to read gave no answer."""

    draft: TicketDraft
    replies: list[Reply]
    unanswered: int


async def drafted(conversation: Conversation, renderers: Mapping[str, Renderer], listener: Listener | None = None) -> Drafted:
    """What this listener makes of a conversation's first ticket; without one, what was recorded.

    Only replies are taken: clicks and outcomes are about the drafts of those days. The ticket ends where it was approved.
    """
    running, replies, unanswered = Run(conversation.head, renderers, listener), list[Reply](), 0
    for step in _first_ticket(conversation.steps):
        if not isinstance(step.event.answer, Reply) or not (pressed := running.pressed(step)):
            continue
        replies.append(pressed.event.answer.model_copy(update={"event_id": step.event.event_id}))
        turn = await running.take(pressed)
        unanswered += bool(turn.graph and any(call.error for call in turn.graph.calls))
    return Drafted(running.draft, replies, unanswered)


def _first_ticket(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps up to the approval under which a ticket was filed first, or up to where it was linked."""
    end = len(steps)
    for number, step in enumerate(steps):
        answer = step.event.answer
        taken = {show.get("status") for show in step.shows if show.get("kind") == "decision"}
        if isinstance(answer, Decision) and answer.same_as and "rejected" in taken:
            return steps[:number]
        if isinstance(answer, Decision) and "approved" in taken:
            end = number
        if isinstance(answer, FilingOutcome) and answer.status in ("filed", "left"):
            break
    return steps[:end]


def _first_difference(step: int, recorded: Sequence[dict[str, Any]], today: Sequence[dict[str, Any]]) -> Difference | None:
    for position in range(max(len(recorded), len(today))):
        then = recorded[position] if position < len(recorded) else None
        now = today[position] if position < len(today) else None
        if then is None or now is None or any(now.get(key) != value for key, value in then.items()):
            return Difference(step, then, now)
    return None


@dataclass(frozen=True)
class Reread:
    """What a listener of today fills in otherwise, at which step (from 1) that counts; or why it did not read a message."""

    step: int
    field: str = ""
    recorded: Sequence[str] = ()
    today: Sequence[str] = ()
    unread: str = ""


async def reread(
    conversation: Conversation, renderers: Mapping[str, Renderer], listener: Listener
) -> AsyncIterator[Reread | None]:
    """Has a listener read the conversation anew, and compares the drafts when a card is decided and at the end.

    Gives None after each event, and what was found before. Clicks and outcomes are taken as about the card that stands in
    the place of the one they were about.
    """
    recorded, today = Run(conversation.head, renderers), Run(conversation.head, renderers, listener)
    instead, told = dict[str, Card](), list[tuple[str, list[str], list[str]]]()
    for number, step in enumerate(conversation.steps, 1):
        if isinstance(step.event.answer, Decision):
            for found in _otherwise(recorded.draft, today.draft, told):
                yield Reread(number, *found)
        await recorded.take(step)
        turn = await today.take(_about(step, instead))
        if recorded.open_card and today.open_card:
            instead[recorded.open_card.draft_hash] = today.open_card
        for call in turn.graph.calls if turn.graph else []:
            if call.error:
                yield Reread(number, unread=call.error)
        yield None
    for found in _otherwise(recorded.draft, today.draft, told):
        yield Reread(len(conversation.steps), *found)


def _otherwise(
    recorded: TicketDraft, today: TicketDraft, told: list[tuple[str, list[str], list[str]]]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """The fields that hold something else, those left out that were told before."""
    custom = sorted({*recorded.custom, *today.custom})
    for field_name in (*FIELDS, *(CUSTOM + name for name in custom)):
        found = field_name, recorded.items(field_name), today.items(field_name)
        if found[1] != found[2] and found not in told:
            told.append(found)
            yield found


def _about(step: Step, instead: Mapping[str, Card]) -> Step:
    """The step with its click or outcome about the card that stands in the place of the one it was about."""
    named = getattr(step.event.answer, "draft_hash", None)
    card = next((card for known, card in instead.items() if named and known.startswith(named)), None)
    if card is None:
        return step
    bound = {"draft_hash": card.draft_hash}
    if getattr(step.event.answer, "preview_id", None):
        bound["preview_id"] = card.preview_id
    event = step.event.model_copy(update={"answer": step.event.answer.model_copy(update=bound)})
    filing = step.verdict.filing and step.verdict.filing.model_copy(update={"draft_hash": card.draft_hash})
    return step.model_copy(update={"event": event, "verdict": step.verdict.model_copy(update={"filing": filing})})


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

    def snapshot(self, event: Event, found: FilingFacts | None) -> Snapshot:
        """What a turn goes by; `found` is what was found of the filing when the event was taken."""
        clicked = self._clicked(event.answer) if isinstance(event.answer, Decision) else None
        return Snapshot(
            event=event,
            turn=self.turn,
            state=self.state,
            pending=self.pending,
            checkpoint=self.checkpoint,
            open_card=self.open_card,
            clicked=clicked,
            standing=self.approvals.get(clicked.draft_hash) if clicked else None,
            filing=self._filing(event.answer, clicked, found),
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
