"""What the model may answer a request by, and what may go wrong with that."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class Answer:
    """An answer of the API's own form."""

    def message(self) -> Json:
        """The message of its only choice."""
        raise NotImplementedError

    def ends(self) -> str:
        """Its finish_reason."""
        return "tool_calls" if self.message().get("tool_calls") else "stop"


def said(content: str | None, **more: Any) -> Json:
    """A message as the API writes it."""
    return {"role": "assistant", "content": content, "refusal": None, "annotations": [], **more}


def called(*calls: tuple[str, str]) -> Json:
    """A message that calls tools, by name and arguments as they are sent."""
    made = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(calls, 1)
    ]
    return said(None, tool_calls=made)


@dataclass(frozen=True)
class Call(Answer):
    """One call of a tool."""

    name: str
    args: Json = field(default_factory=dict)

    def message(self) -> Json:
        return called((self.name, json.dumps(self.args, ensure_ascii=False)))


@dataclass(frozen=True)
class Calls(Answer):
    """Several calls at once."""

    calls: Sequence[Call]

    def message(self) -> Json:
        return called(*((call.name, json.dumps(call.args, ensure_ascii=False)) for call in self.calls))


@dataclass(frozen=True)
class BadArguments(Answer):
    """A call with the arguments exactly as they are given here."""

    arguments: str
    name: str = "update_draft"

    def message(self) -> Json:
        return called((self.name, self.arguments))


@dataclass(frozen=True)
class Partial(Answer):
    """A call whose arguments were cut off, as where the tokens ran out."""

    name: str = "update_draft"
    arguments: str = '{"intent": "information", "operations": [{"op": "set", "field": "ti'

    def message(self) -> Json:
        return called((self.name, self.arguments))

    def ends(self) -> str:
        return "length"


@dataclass(frozen=True)
class Text(Answer):
    """Words instead of a call."""

    text: str

    def message(self) -> Json:
        return said(self.text)


@dataclass(frozen=True)
class Refusal(Answer):
    """The model declines."""

    text: str = "I'm sorry, I can't help with that."

    def message(self) -> Json:
        return {**said(None), "refusal": self.text}


@dataclass(frozen=True)
class Empty(Answer):
    """Neither words nor a call."""

    def message(self) -> Json:
        return said("")


@dataclass(frozen=True)
class Enormous(Answer):
    """So many characters of text."""

    characters: int

    def message(self) -> Json:
        return said("x" * self.characters)

    def ends(self) -> str:
        return "length"


@dataclass(frozen=True)
class After:
    """An answer that comes so many seconds later."""

    seconds: float
    item: "Answer | Fault"


@dataclass(frozen=True)
class Status:
    """An HTTP status; a string is sent as text, all else as JSON, None as an error in the API's form."""

    code: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """That body with the status 200; a string is sent as it is."""

    body: Any
    kind: str = "application/json"


@dataclass(frozen=True)
class Garbage:
    """The status 200, and no JSON."""

    text: str = "<html><title>gateway</title>{not json"
    kind: str = "application/json"


@dataclass(frozen=True)
class GarbageStream:
    """A stream of events, also where none was asked for, that are no JSON."""


@dataclass(frozen=True)
class NoChoices:
    """An answer in the API's form that has no choice to take."""


@dataclass(frozen=True)
class Hang:
    """Nothing at all, until the server is closed."""


@dataclass(frozen=True)
class Drip:
    """The head at once, and then one byte after the other, for ever."""

    seconds: float = 1


@dataclass(frozen=True)
class Reset:
    """The connection is reset once the request is there."""


Fault = After | Status | Raw | Garbage | GarbageStream | NoChoices | Hang | Drip | Reset
Item = Answer | Fault

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(After, BadArguments, Call, Calls, Drip, Empty, Enormous, Garbage, GarbageStream, Hang, NoChoices, Partial, Raw),
        *(Refusal, Reset, Status, Text),
    )
}
"""What a cassette may hold, by name."""
