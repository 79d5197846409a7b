"""Having messages read: by one call of the model, a second one if its answer cannot be used, and else by the interview.

What the interview cannot read of what was meant for the model is kept, and goes along when the model is asked next.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from agent.asking import PATIENCE, Asker, Unanswered
from agent.draft import TicketDraft, clean
from agent.faults import point
from agent.interview import NAME as INTERVIEW
from agent.interview import GuidedInterview
from agent.listening import (
    ANSWER_LIMIT,
    NEW_CHARACTERS,
    REPLY_LIMIT,
    Heard,
    Intent,
    Unusable,
    again,
    characters_of,
    custom_fields,
    heard_in,
    newest,
    reads,
    request_for,
    sources_for,
)
from agent.ports import ModelCall
from agent.protocol import Reply
from agent.state import State
from skills.update_draft import Changed, Ground, named, update_draft

QUESTIONS = 3
"""Questions asked at a time, where the listener can match several answers."""

BUDGET = 400_000
"""Tokens that the model may take for one conversation, what it is sent and what it answers together."""

UNREAD = 20
"""Messages that are kept while the model does not answer; of more the newest."""

CHARACTERS_A_TOKEN = 4
"""By which tokens are reckoned where a provider does not count them."""

TAKEN_OVER = "The model does not answer ({why}), so I read this as a guided interview."
SPENT = "This conversation has used up what the model may take for it, so from here on I am a guided interview."
LEFT_OUT = "I left out {number} change{s} of the model's: without words that say so, against what somebody said, or impossible."
UNREADABLE = "I keep what I could not place, and read it when the model answers; a label such as `Problem: ...` places it now."
CUT = "I read the newest {read} messages here; the {left} before them are too many."
SAYS = "The model says: {reply}"

TOKENS_LIMIT = 2**31 - 1
"""Tokens that one call is put down with at the most, whatever the provider counts."""

_MARKUP = re.compile(r"[*~`|<>\[\]]|(?<!\w)_|_(?!\w)|:[\w+-]+:")
_LINK = re.compile(r"\S*://\S*|\bwww\.\S+|\bmailto:\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Listener:
    """Who reads the messages: a chat model, and what it is capable of."""

    model: BaseChatModel
    questions: int = QUESTIONS
    """How many questions at a time it can match answers to."""
    guided: bool = False
    """It is the guided interview: it cannot tell talk from orders, and is no model that has to be watched."""
    patience: float = PATIENCE
    """Seconds that an answer may take."""
    budget: int = BUDGET
    name: str = ""
    """The model, as the record of its calls names it."""
    asker: Asker = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asker", Asker(self.model, [update_draft], self.patience))

    @property
    def overhears(self) -> bool:
        """It can make sense of what people say to each other; else only the requester and who speaks to it are read."""
        return not self.guided

    @property
    def crowded(self) -> bool:
        """As many messages are read by the model as may be at once."""
        return self.asker.crowded


def interview() -> Listener:
    """The guided interview, which matches an answer to one question at a time, and takes words for what they are labelled."""
    return Listener(GuidedInterview(), questions=1, guided=True)


@dataclass
class Reading:
    """What new messages come to."""

    draft: TicketDraft
    calls: list[ModelCall]
    intent: Intent = "information"
    said: list[str] = field(default_factory=list)
    """What is to be said to who spoke to the agent."""
    operated: bool = False
    """Changes were asked for."""
    answered: str = ""
    """What the model says to a question or to small talk."""
    unread: list[Reply] = field(default_factory=list)
    taken_over: str = ""
    """Why the interview read them in the model's place."""
    missed: int = 0
    """Messages that were too many to be kept unread."""
    spent: int = 0
    spent_told: bool = False
    """People know that nothing is left to spend."""


class Reader:
    """Reads for one graph."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._interview = listener, GuidedInterview()

    async def read(self, state: State, new: Sequence[Reply], event_id: str) -> Reading:
        """What the messages change in the draft; they are taken in together, the newest last."""
        reading = Reading(state.draft, [*state.calls], spent=state.spent, spent_told=state.spent_told)
        if self._listener.guided:
            for reply in new:
                await self._guided(self._listener.model.ainvoke, state, reply, event_id, reading)
            return reading
        waiting = [*state.unread, *new]
        batch = _fitting(waiting)
        try:
            heard = await self._heard(state, batch, event_id, reading)
        except Unanswered as error:
            reading.taken_over = str(error)
            await self._take_over(state, new, event_id, reading)
            return reading
        dropped = self._apply(reading, heard, state, batch, contested=True)
        reading.intent, reading.answered = heard.intent, _plain(heard.reply, [one.text for one in batch])
        if left := state.missed + len(waiting) - len(batch):
            reading.said.append(CUT.format(read=len(batch), left=left))
        reading.calls[-1] = reading.calls[-1].model_copy(update={"dropped": dropped})
        if dropped:
            reading.said.append(LEFT_OUT.format(number=dropped, s="s" * (dropped > 1)))
        return reading

    def _apply(self, reading: Reading, heard: Heard, state: State, new: Sequence[Reply], *, contested: bool) -> int:
        """Applies what was heard; gives how many changes were thrown away."""
        only = new[0].event_id if len(new) == 1 else ""
        ground = Ground(
            sources=sources_for(state.messages, new),
            asked=[question.field for question in state.asking],
            answers=[one.event_id for one in new if not one.quoted],
            custom=custom_fields(state),
            contested=contested,
        )
        given = {
            **heard.model_dump(exclude={"operations"}),
            "operations": named(heard.operations, only),
            "draft": reading.draft,
            "ground": ground,
        }
        changed: Changed = update_draft.invoke(given)
        reading.operated = reading.operated or any(one.op != "nothing" for one in heard.operations)
        reading.draft = changed.draft
        reading.said += changed.problems
        return changed.dropped

    async def _heard(self, state: State, batch: Sequence[Reply], event_id: str, reading: Reading) -> Heard:
        request = request_for(state, batch)
        try:
            return await self._used(request, event_id, reading)
        except (Unusable, Unanswered) as error:
            if isinstance(error, Unanswered) and not error.again:
                raise
            request = again(request, str(error))
        try:
            return await self._used(request, event_id, reading)
        except Unusable as error:
            raise Unanswered("its answer could not be used, twice") from error

    async def _used(self, request: list[BaseMessage], event_id: str, reading: Reading) -> Heard:
        answer = await self._asked(request, event_id, reading)
        try:
            return heard_in(answer)
        except Unusable:
            reading.calls[-1] = reading.calls[-1].model_copy(update={"unread": "unusable"})
            raise

    async def _asked(self, request: list[BaseMessage], event_id: str, reading: Reading) -> AIMessage:
        began, call = time.monotonic(), _begun(request, event_id, len(reading.calls), self._listener.name)
        try:
            if reading.spent >= self._listener.budget and not reading.calls:  # what is begun is brought to its end
                raise Unanswered(SPENT)
            point("model-asking")
            answer = await self._listener.asker.ask(request)
            point("model-answered")
        except Unanswered as error:
            why = {"error": str(error), "unread": "spent" if str(error) == SPENT else ""}
            reading.calls.append(call.model_copy(update={**why, "milliseconds": _since(began)}))
            raise
        reading.calls.append(_ended(call, answer, _since(began)))
        reading.spent += reading.calls[-1].input_tokens + reading.calls[-1].output_tokens
        return answer

    async def _take_over(self, state: State, new: Sequence[Reply], event_id: str, reading: Reading) -> None:
        """The interview reads what it would be told without a model; what that changes nothing by is kept for the model."""
        spent = reading.taken_over == SPENT
        unplaced = []
        for reply in new:
            before = reading.draft
            if reads(reply, state.requester, overhears=False) and not reply.quoted:
                await self._guided(self._interview.ainvoke, state, reply, event_id, reading, say=spent)
            if reading.draft is before:
                unplaced.append(reply)
        if spent:  # no model will read what it could not place
            reading.said = [*([] if reading.spent_told else [SPENT]), *reading.said]
            reading.spent_told = True
            return
        waiting = [*state.unread, *unplaced]
        reading.unread = _fitting(waiting)[-UNREAD:]
        reading.missed = state.missed + len(waiting) - len(reading.unread)
        reading.said.insert(0, TAKEN_OVER.format(why=reading.taken_over))
        if unplaced and unplaced[-1] is new[-1]:
            reading.said.append(UNREADABLE)

    async def _guided(self, ask: Any, state: State, reply: Reply, event_id: str, reading: Reading, *, say: bool = True) -> None:
        request = request_for(state.model_copy(update={"draft": reading.draft}), [reply])
        call = _begun(request, event_id, len(reading.calls), INTERVIEW)
        answer = cast(AIMessage, await ask(request))
        heard = Heard.model_validate(answer.tool_calls[0]["args"])
        reading.intent = heard.intent
        reading.said += [heard.reply] if heard.reply and say else []
        self._apply(reading, heard, state, [reply], contested=False)
        reading.calls.append(_ended(call, answer, 0))


def _fitting(replies: Sequence[Reply]) -> list[Reply]:
    """The newest that fit into one request, and never none."""
    return newest(replies, NEW_CHARACTERS, lambda one: len(one.text), at_least=1)


def _plain(reply: str, texts: Sequence[str]) -> str:
    """What a model says, as words and nothing else: no markup or emoji that looks like ours, no link that nobody sent."""
    said = clean(reply)[0].strip()[:REPLY_LIMIT]
    said = _LINK.sub(lambda found: found[0] if any(found[0] in text for text in texts) else "(a link)", said)
    return _MARKUP.sub("", said).strip()


def _begun(request: Sequence[BaseMessage], event_id: str, ordinal: int, model: str) -> ModelCall:
    text = "\n".join(str(message.content) for message in request)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return ModelCall(event_id=event_id, ordinal=ordinal, digest=digest, characters=len(text), model=model)


def _ended(call: ModelCall, answer: AIMessage, milliseconds: int) -> ModelCall:
    used = answer.usage_metadata
    sent = _counted(used and used["input_tokens"], call.characters)
    came = _counted(used and used["output_tokens"], characters_of(answer))
    counted = {"input_tokens": sent, "output_tokens": came, "milliseconds": milliseconds}
    return call.model_copy(update={"answer": _kept(answer).model_dump(exclude_defaults=True), **counted})


def _counted(tokens: object, characters: int) -> int:
    """The tokens that a provider counted, if that can be; else by their characters."""
    if not isinstance(tokens, int) or tokens <= 0:  # a client hands on whatever stands there
        return characters // CHARACTERS_A_TOKEN
    return min(tokens, TOKENS_LIMIT)


def _kept(answer: AIMessage) -> AIMessage:
    """What of an answer is put on record: what was read of it; of one that is too long, enough for it to be too long again."""
    if characters_of(answer) > ANSWER_LIMIT:
        return AIMessage(str(answer.text or answer.tool_calls or answer.invalid_tool_calls)[: ANSWER_LIMIT + 1])
    return AIMessage(answer.text, tool_calls=answer.tool_calls, invalid_tool_calls=answer.invalid_tool_calls)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
