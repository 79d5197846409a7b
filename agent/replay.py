"""Replaying conversations: what today's graph shows otherwise, and what today's model makes of them."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.conversation import Conversation, Step
from agent.draft import CUSTOM, FIELDS, TicketDraft
from agent.interview import NAME as INTERVIEW
from agent.ports import Card, Turn
from agent.protocol import Decision, FilingOutcome, Reply
from agent.reading import Listener
from agent.rerun import Run
from agent.trackers import Renderer


@dataclass(frozen=True)
class Difference:
    """Where today's graph first does otherwise: the step (from 1), and what was shown then and now (None: nothing)."""

    step: int
    recorded: dict[str, Any] | None
    today: dict[str, Any] | None


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
        if (pressed := today.pressed(_about(step, instead))) is None:
            yield None  # what it answers was not asked this time
            continue
        turn = await today.take(pressed)
        if recorded.open_card and today.open_card:
            instead[recorded.open_card.draft_hash] = today.open_card
        if why := _unread(turn, guided=listener.guided):
            yield Reread(number, unread=why)
        yield None
    for found in _otherwise(recorded.draft, today.draft, told):
        yield Reread(len(conversation.steps), *found)


def _unread(turn: Turn, *, guided: bool) -> str:
    """Why the interview read the event's message in the model's place; empty if the model did, or there was none to read."""
    calls = turn.graph.calls if turn.graph else []
    if guided or not calls or (calls[-1].model != INTERVIEW and not calls[-1].error):
        return ""
    return next((call.error for call in reversed(calls) if call.error), "its answer could not be used, twice")


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
        if not isinstance(answer := step.event.answer, Reply) or not (pressed := running.pressed(step)):
            continue
        replies.append(answer.model_copy(update={"event_id": step.event.event_id}, deep=True))
        turn = await running.take(pressed)
        unanswered += bool(_unread(turn, guided=listener.guided if listener else not conversation.head.overhears))
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
