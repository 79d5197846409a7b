"""Leaving out of a conversation who and what it is about, and the proof that it is still the same conversation.

Each person, place, link, address, key and secret is replaced by one word wherever it stands, so that a quote is still found
in its message. Then both are replayed: at each event the redacted one must ask, show and decide what the other does, but for
those words, and nothing that was replaced may be left.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from langchain_core.messages import AIMessage

from agent.conversation import Conversation, Head, Step, dump, parse
from agent.draft import CUSTOM, FIELDS, TicketDraft, clean
from agent.identifying import Kind, signs
from agent.ports import Event, ModelCall, Turn, Verdict
from agent.protocol import Decision, Found, Reply
from agent.replacing import PLAIN, Words, normal
from agent.replay import replay
from agent.rerun import Run
from agent.trackers import Renderer

PEOPLE = ("by", "to", "approved_by", "author", "assignee", "requester", "who_decides")
"""Keys under which somebody is named."""

EVENTS = ("event_id", "about", "message", "from")
"""Keys under which an event is named."""

RAW = ("kind", "type", "op", "status", "act", "tracker", "row")
"""Keys whose values are words of ours."""

UNREAD = ("additional_kwargs", "response_metadata", "usage_metadata")
"""Keys of a model's answer that nothing goes by; they are left out."""

_ESCAPE = re.compile(r"\\(?=[^\w\s])")
_HASHES = ("preview_id", "draft_hash", "id")


class NotTheSame(Exception):
    """The redacted conversation is not proven to be the same one; the text says in a sentence where it is not."""


@dataclass(frozen=True)
class Redacted:
    """The conversation without what was replaced, and how many things of each kind were."""

    conversation: Conversation
    counts: dict[Kind, int]


async def redacted(conversation: Conversation, renderers: Mapping[str, Renderer]) -> Redacted:
    """The conversation with everything replaced that tells who and what it is about. Raises NotTheSame."""
    if difference := await replay(conversation, renderers):
        raise NotTheSame(
            f"It does not replay today as it was recorded (event {difference.step}), so there is nothing to hold another to: "
            "see what signoff replay says of it."
        )
    before = await _turns(conversation, renderers)
    redactor = _Redactor(_learned(conversation, before), _events_of(conversation))
    head = redactor.head(conversation.head)
    player, steps = Run(head, renderers), []
    for step, turn in zip(conversation.steps, before, strict=True):
        told = redactor.step(step, turn, head.session_id)
        now = await player.take(told)
        redactor.hashes.learn(turn, now)
        steps.append(told.model_copy(update={"shows": now.shows, "calls": _with_digests(told.calls, now)}))
    after = Conversation(head=head, steps=steps)
    await _prove(redactor, before, after, renderers)
    return Redacted(after, redactor.words.counts())


async def _turns(conversation: Conversation, renderers: Mapping[str, Renderer]) -> list[Turn]:
    player = Run(conversation.head, renderers)
    return [await player.take(step) for step in conversation.steps]


def _with_digests(calls: list[ModelCall], turn: Turn) -> list[ModelCall]:
    """The calls with the digests of what the model would have been sent for the redacted messages."""
    made = turn.graph.calls if turn.graph else []
    return [
        call.model_copy(update=now.model_dump(include={"digest", "characters", "dropped"}) if now else {"digest": ""})
        for call, now in zip_longest(calls, made)
        if call
    ]


# --- What is replaced ----------------------------------------------------------------------------------------------------


def _learned(conversation: Conversation, turns: list[Turn]) -> Words:
    words, answers = Words(), [step.event.answer for step in conversation.steps]
    replies = [reply for answer in answers if isinstance(answer, Reply) for reply in _with_thread(answer)]
    everything: list[Any] = [json.loads(line) for line in dump(conversation)]
    everything += [[turn.shows, turn.graph and turn.graph.state] for turn in turns]
    for key, value in _strings(everything):
        if key in PEOPLE:
            words.person(value)
    for step in conversation.steps:
        if step.verdict.name and isinstance(step.event.answer, Decision):
            words.person(step.verdict.name, step.event.answer.by)
    for edit in _operations(conversation, turns):
        if edit.get("field") == "assignee":
            for name in _texts(edit.get("value")):
                words.person(name)
    _learn_places(words, conversation.head)
    for key, value in _strings(everything):
        if key == "project":
            words.project(value)
        if key in ("key", "same_as", "epic_id"):
            words.ticket(value)
    for reply in replies:
        for file in reply.files:
            words.file(file.id, file.name, file.sha256)
    sources = [reply.text for reply in replies] + [value for reply in replies for edit in reply.edits for value in edit.value]
    said = [normal(text) for text in sources]
    for ticket in (ticket for step in conversation.steps for ticket in step.found.tickets):
        if not any(normal(ticket.title) in text for text in said):  # else they are people's own words
            words.title(ticket.title)
    for text in sources:
        words.read(text)
    shown = [turn.graph.pending.request for turn in turns if turn.graph and turn.graph.pending]
    words.cut([text for one in (_operations(conversation, turns), shown) for _, text in _strings([*one])], sources)
    for key, value in _strings(everything):
        if key not in (*RAW, *EVENTS, *_HASHES, "digest", "model", "session_id"):
            words.read(value)
    return words


def _learn_places(words: Words, head: Head) -> None:
    team, *rest = head.session_id.split(":")
    if len(rest) == 2:  # Slack's: workspace, channel and the message that began it
        words.session(head.session_id, f"{words.place(team)}:{words.place(rest[0])}:1000000000.000001")
    else:
        name = head.session_id.removeprefix("terminal:")
        words.session(head.session_id, "terminal:session-1")
        if len(name) > 5 and re.search(r"[\W\d_]", name):
            words.session(name, "session-1")


def _with_thread(reply: Reply) -> list[Reply]:
    return [*(past for one in reply.thread for past in _with_thread(one)), reply]


def _operations(conversation: Conversation, turns: list[Turn]) -> list[dict[str, Any]]:
    """The changes that forms and models asked for, as JSON has them."""
    found = [call["args"] for answer in _answers(conversation, turns) for call in answer.get("tool_calls") or []]
    found += [step.event.answer.model_dump() for step in conversation.steps if isinstance(step.event.answer, Reply)]
    listed = [args.get("operations", args.get("edits")) for args in found if isinstance(args, dict)]
    return [one for operations in listed if isinstance(operations, list) for one in operations if isinstance(one, dict)]


def _answers(conversation: Conversation, turns: list[Turn]) -> list[dict[str, Any]]:
    calls = [call for step in conversation.steps for call in step.calls]
    return [call.answer for call in [*calls, *(call for turn in turns if turn.graph for call in turn.graph.calls)]]


def _events_of(conversation: Conversation) -> dict[str, str]:
    """A new id for each event: those of the conversation by their order, and then those of messages before it."""
    replies = [reply for step in conversation.steps if isinstance(reply := step.event.answer, Reply)]
    ids = [step.event.event_id for step in conversation.steps]
    ids += [past.event_id for reply in replies for past in _with_thread(reply)] + [reply.about for reply in replies]
    return {event_id: f"event-{number}" for number, event_id in enumerate(dict.fromkeys(filter(None, ids)), 1)}


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each string in JSON with the key that it stands under; keys themselves, too, but for those of ours."""
    match value:
        case str():
            yield key, value
        case Mapping():
            for name, item in value.items():
                if name in UNREAD:
                    continue
                if name not in PLAIN:
                    yield "", name
                yield from _strings(item, name)
        case list() | tuple():
            for item in value:
                yield from _strings(item, key)


def _texts(value: Any) -> list[str]:
    return [text for _, text in _strings(value)]


# --- Replacing it --------------------------------------------------------------------------------------------------------


@dataclass
class _Hashes:
    """What follows from the words that were replaced: hashes of cards, ids of questions, digests of fields."""

    known: dict[str, str] = field(default_factory=dict)
    digests: dict[tuple[str, str], str] = field(default_factory=dict)

    def learn(self, before: Turn, now: Turn) -> None:
        """Those of one turn."""
        if not (before.graph and now.graph):
            return
        pending = [graph.pending.request if graph.pending else None for graph in (before.graph, now.graph)]
        for (key, old), (_, new) in zip(_strings(pending[0]), _strings(pending[1]), strict=False):
            if key in _HASHES and re.fullmatch("[0-9a-f]{12,64}", old):
                self.known.setdefault(old, new)
        old_draft, new_draft = (TicketDraft.model_validate(graph.state.get("draft", {})) for graph in (before.graph, now.graph))
        customs = zip(old_draft.custom, new_draft.custom, strict=False)
        for old, new in [*((name, name) for name in FIELDS), *((CUSTOM + one, CUSTOM + other) for one, other in customs)]:
            self.digests.setdefault((old, old_draft.digest(old)), new_draft.digest(new))

    def replace(self, text: str) -> str:
        """The text with each of them, whole or its beginning, replaced by as much of the new one."""

        def new(found: re.Match[str]) -> str:
            return next((new[: len(found[0])] for old, new in self.known.items() if old.startswith(found[0])), found[0])

        return re.sub(r"(?<![0-9A-Za-z])[0-9a-f]{8,64}(?![0-9A-Za-z])", new, text)


class _Redactor:
    """Replaces in one conversation."""

    def __init__(self, words: Words, events: dict[str, str]) -> None:
        self.words, self.events, self.hashes = words, events, _Hashes()
        self._calls = 0

    def head(self, head: Head) -> Head:
        """The first line."""
        return Head.model_validate(self.value(head.model_dump(mode="json", by_alias=True)) | {"about": self.text(head.about)})

    def step(self, step: Step, turn: Turn, session_id: str) -> Step:
        """An event, with the answers that its model and its trackers gave."""
        answer = self.value(step.event.answer.model_dump(mode="json"))
        for edit, given in zip(answer.get("edits", []), getattr(step.event.answer, "edits", []), strict=True):
            edit["over"] = self.hashes.digests.get((given.field, given.over), "0" * len(given.over))
        made = turn.graph.calls if turn.graph else []
        recorded = step.calls or made  # so that what was read of the words is not read anew of other words
        calls = [self._call(call, now) for call, now in zip_longest(recorded, made[: len(recorded)])]
        return Step(
            event=Event(event_id=self.events[step.event.event_id], session_id=session_id, answer=answer),
            verdict=Verdict.model_validate(self.value(step.verdict.model_dump(mode="json"))),
            found=Found.model_validate(self.value(step.found.model_dump(mode="json"))),
            calls=calls,
        )

    def value(self, value: Any, key: str = "") -> Any:
        """JSON with everything replaced."""
        match value:
            case str():
                return self._string(value, key)
            case Mapping():
                return {name if name in PLAIN else self.text(name): self.value(item, name) for name, item in value.items()}
            case list() | tuple():
                return [self.value(item, key) for item in value]
        return value

    def text(self, text: str) -> str:
        """A text with everything replaced."""
        return self.words.replace(self.hashes.replace(text))

    def _string(self, value: str, key: str) -> str:
        if key in RAW:
            return value
        event_id, colon, part = value.rpartition(":")
        if key in EVENTS and value in self.events:
            return self.events[value]
        if key in EVENTS and event_id in self.events and part == "setting":  # what a place starts with, as if it were said
            return self.events[event_id] + colon + part
        return self.words.person_of(value) if key in PEOPLE else self.text(value)

    def _call(self, call: ModelCall, made: ModelCall | None) -> ModelCall:
        """A call of the model; what its provider told beside the answer is left out."""
        used = (made or call).model_dump(include={"input_tokens", "output_tokens"})
        event_id = self.events.get(call.event_id, "")
        known: dict[str, Any] = {"event_id": event_id, "error": self.text(call.error), "answer": {}, **used}
        if call.answer:
            message = AIMessage.model_validate(call.answer)
            known["answer"] = {
                "type": "ai",
                "content": self.text(str(message.text)),
                "tool_calls": [
                    {"name": self.text(one["name"]), "args": self.value(one["args"]), "id": self._called()}
                    for one in message.tool_calls
                ],
                "invalid_tool_calls": [  # read by nobody but for its length
                    {
                        "name": self.text(one["name"] or ""),
                        "args": "x" * len(one["args"] or ""),
                        "id": self._called(),
                        "error": "",
                    }
                    for one in message.invalid_tool_calls
                ],
                "usage_metadata": {**used, "total_tokens": sum(used.values())},
            }
        return call.model_copy(update=known)

    def _called(self) -> str:
        self._calls += 1
        return f"call-{self._calls}"


# --- The proof -----------------------------------------------------------------------------------------------------------


async def _prove(redactor: _Redactor, before: list[Turn], after: Conversation, renderers: Mapping[str, Renderer]) -> None:
    """Raises NotTheSame unless the redacted conversation goes as the other does, and holds nothing of what was replaced."""
    alike = _Alike(redactor)
    written = parse([*dump(after)], "what was written")
    for number, (turn, step, now) in enumerate(zip(before, written.steps, await _turns(written, renderers), strict=True), 1):
        made = [one.digest for one in now.graph.calls] if now.graph else []
        if [one.digest for one in step.calls if one.digest] != made[: len(step.calls)]:
            raise NotTheSame(f"At event {number} the redacted conversation asks the model something else when it is replayed.")
        if now.shows != step.shows or turn.outcome != now.outcome or not alike(_seen(turn), _seen(now)):
            raise NotTheSame(f"At event {number} the redacted conversation does not come to the same as the recorded one.")
    if len(set(redactor.hashes.known.values())) < len(redactor.hashes.known):
        raise NotTheSame("Two cards of the conversation would be one without what was replaced.")
    if kind := _left(redactor.words, after):
        raise NotTheSame(f"Something of what was to be replaced is left: {kind}.")


def _seen(turn: Turn) -> dict[str, Any]:
    """What a turn came to, as far as people, the tracker and the next turns see it."""
    graph = turn.graph
    pending, draft = (graph.pending and graph.pending.request, graph.state.get("draft")) if graph else (None, None)
    if draft and draft.get("evidence"):  # it names the value only where its quote is spelled otherwise
        draft = draft | {
            "evidence": [{"value": ""} | one | {"value": one.get("value") or one["quote"]} for one in draft["evidence"]]
        }
    decided = graph.decision.model_dump(include={"status", "draft_hash", "approved_by"}) if graph and graph.decision else None
    return {"shows": turn.shows, "request": pending, "draft": draft, "decision": decided, "closed": graph and graph.closed}


class _Alike:
    """Whether one value is another but for the words that were replaced. It goes by the words, not by how they were put."""

    def __init__(self, redactor: _Redactor) -> None:
        self._redactor = redactor
        self._originals: dict[str, list[str]] = {}
        for word in redactor.words:
            self._originals.setdefault(word.put, []).append(word.pattern)
        for name, put in redactor.words.people.items():
            self._originals.setdefault(put, []).append(re.escape(name))
        for event_id, put in redactor.events.items():
            self._originals.setdefault(put, []).append(re.escape(event_id))
        puts = "|".join(re.escape(put) for put in sorted(self._originals, key=len, reverse=True))
        self._puts = re.compile(rf"({puts})(?!\d)" if puts else "(?!)")

    def __call__(self, before: Any, now: Any, key: str = "") -> bool:
        match before, now:
            case str(), str():
                plain = [_ESCAPE.sub("", text) for text in (before, now)]  # trackers' markup escapes what stands in words
                return before == now or self._strings(before, now) or self._strings(*plain)
            case Mapping(), Mapping():
                pairs = zip(before.items(), now.items(), strict=False)
                return len(before) == len(now) and all(
                    self(one, other) and self(item, new, one) for (one, item), (other, new) in pairs
                )
            case list() | tuple(), list() | tuple():
                return len(before) == len(now) and all(self(one, other, key) for one, other in zip(before, now, strict=True))
        return key == "start" or before == now  # a quote stands where the words before it end

    def _strings(self, before: str, now: str) -> bool:
        known = self._redactor.hashes.replace(clean(before)[0])
        parts = self._puts.split(clean(now)[0])
        expected = [
            re.escape(part) if n % 2 == 0 else f"(?i:{'|'.join([*self._originals[part], re.escape(part)])})"
            for n, part in enumerate(parts)
        ]
        return re.fullmatch("".join(expected), known) is not None


def _left(words: Words, after: Conversation) -> str:
    """The kind of something that is still there; empty if nothing is."""
    lines = [json.loads(line) for line in dump(after)]
    texts = [clean(text)[0] for line in lines for key, text in _strings(line) if key not in RAW]
    said = [clean(text)[0] for line in lines if "kind" not in line for key, text in _strings(line) if key not in RAW]
    everything, inputs = "\n".join(texts), "\n".join(said)  # what is shown follows from what came in, and has words of ours
    puts = {word.put.casefold() for word in words}
    ours = re.compile("|".join(map(re.escape, sorted(puts, key=len, reverse=True))) or "(?!)", re.IGNORECASE)
    for word in words:
        if len(word.original) < 4 or any(normal(word.original) in put for put in puts):
            continue
        if re.search(word.pattern, inputs if word.whole else everything, re.IGNORECASE):
            return word.kind
    for text in texts:
        for sign in signs(text):
            found = text[sign.start : sign.end]
            known = ours.search(found) or any(found.casefold() in put for put in puts)
            if not known and words.says_something(found) and found in _signed(ours.sub("\N{WHITE SQUARE}", text)):
                return sign.kind
    return ""


def _signed(text: str) -> set[str]:
    """All that a text tells by its form; asked without our words, lest one of them make a secret of what follows it."""
    return {text[sign.start : sign.end] for sign in signs(text)}
