"""Conversations as files.

A file is JSON lines. The first says what the conversation was held with; then come the events in order, each followed by
what people were shown because of it, in the words of `chat --json`. A file written by hand may leave out any key of what
was shown: only what it names is compared.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator

from agent.draft import CUSTOM, FIELDS
from agent.evaluation import Expected
from agent.ports import Event, ModelCall, Verdict
from agent.protocol import Found
from agent.sealing import Destination

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
