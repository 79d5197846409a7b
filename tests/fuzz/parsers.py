"""The parsers of what comes from outside, each with its inputs and with what it may raise: anything else is a finding."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from langchain_core.messages import AIMessage

from agent.conversation import BadConversation, dump, parse
from agent.listening import Unusable, heard_in
from agent.operations import apply
from agent.protocol import Unreadable, read_answer
from persistence.inbox import body_of
from slack_adapter import inbound
from slack_adapter.forms import Edited, read_comment
from slack_adapter.guard import Refused, check_body
from slack_adapter.settling import read_there
from slack_adapter.setup_form import read_setup
from tests.fuzz import seeds
from tests.fuzz.mutating import as_bytes, edited, mutated

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Parser:
    """What reads an input, and what makes one."""

    name: str
    make: Callable[[random.Random], Any]
    read: Callable[[Any], object]
    raises: tuple[type[Exception], ...] = ()

    def one(self, rng: random.Random) -> None:
        """One input. What it raises is a finding."""
        self.takes(self.make(rng))

    def takes(self, given: Any) -> bool:
        """Reads one; whether it was taken."""
        try:
            self.read(given)
        except self.raises:
            return False
        return True


# --- Slack ---------------------------------------------------------------------------------------------------------------


def slack_body(rng: random.Random) -> tuple[str, bytes]:
    """A body with its type."""
    if rng.random() < 0.15:
        fields = mutated(seeds.COMMAND, rng)
        given = {str(name): str(value) for name, value in fields.items()} if isinstance(fields, dict) else {"payload": "x"}
        return FORM, urlencode(given, errors="surrogatepass").encode()
    data = as_bytes(mutated(rng.choice(seeds.payloads()), rng, seeds.payloads()), rng)
    return (FORM, urlencode({"payload": data}).encode()) if rng.random() < 0.5 else ("application/json", data)


def read_body(given: tuple[str, bytes]) -> object:
    """As the server does before and while it makes it durable."""
    kind, data = given
    check_body(kind, data)
    payload = _payload(kind, data)
    came = inbound.read(payload, "UBOT", "T1")
    if came is None:
        return None
    if isinstance(came.taken, inbound.Errand):
        json.dumps(came.taken.body).encode()
    else:
        body_of(came.taken.answer).encode()
        json.dumps(came.taken.surface).encode()
    came.key.encode()
    assert "\x00" not in came.key
    return came


def _payload(kind: str, data: bytes) -> Any:
    from urllib.parse import parse_qs

    if kind == "application/json":
        return json.loads(data)
    form = {name: values[-1] for name, values in parse_qs(data.decode(), keep_blank_values=True).items()}
    return json.loads(form["payload"]) if "payload" in form else form


def value(rng: random.Random) -> Any:
    """A button's value."""
    chosen = rng.choice(seeds.VALUES)
    return edited(chosen, rng) if rng.random() < 0.8 else mutated([chosen], rng)


def read_value(given: Any) -> object:
    """As a click's."""
    for one in given if isinstance(given, list) else [given]:
        if found := inbound.parse_value(one):
            assert len(found.parts) == 3
            assert inbound.button_value(found.session_id, found.digest, found.key) == one
        inbound.attempt_of(one)
    return None


def view(rng: random.Random) -> Any:
    """A form that comes back, as the guard lets it through."""
    changed = mutated(rng.choice(seeds.views()), rng, seeds.views())
    if isinstance(changed, dict) and isinstance(kept := changed.get("private_metadata"), str) and rng.random() < 0.4:
        try:
            changed["private_metadata"] = json.dumps(mutated(json.loads(kept), rng))
        except ValueError:
            changed["private_metadata"] = edited(kept, rng)
    return changed


def read_view(given: Any) -> object:
    """As each of our forms."""
    who = {"type": "view_submission", "user": {"id": "U1ANN"}, "team": {"id": "T1"}, "view": given}
    data = json.dumps(who).encode("utf-8", "surrogatepass")
    check_body("application/json", data)
    given = json.loads(data)["view"]
    taken = False
    for read in (_read_edit, read_comment, read_there, read_setup):
        try:
            read(given)
            taken = True
        except ValueError:
            continue
    if not taken:
        raise ValueError("none of ours")
    return None


def _read_edit(given: Any) -> None:
    edited_form = Edited(given)
    try:
        operations, conflicts = edited_form.operations(seeds.DRAFT)
        for one in (*operations, *conflicts):
            apply(seeds.DRAFT, [one], {})
    except ValueError as error:  # the form was taken, so nobody catches it
        raise AssertionError("a form that was taken could not be read") from error


# --- Answers, files, models ----------------------------------------------------------------------------------------------


def answer(rng: random.Random) -> Any:
    """An answer to a gate, and the gate."""
    changed = mutated([rng.choice(seeds.answers())], rng, seeds.answers())
    return rng.choice(seeds.requests()), changed[0] if isinstance(changed, list) and changed else changed


def read_any(given: Any) -> object:
    """It never raises, and what it gives can be kept."""
    request, raw = given
    found = read_answer(raw, request)
    assert found.event_id
    if isinstance(found, Unreadable):
        assert found.problem
    return found


def lines(rng: random.Random) -> list[str]:
    """The lines of a file to replay."""
    given = list(rng.choice(seeds.conversations()))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(given))
        match rng.randrange(5):
            case 0:
                given[at] = edited(given[at], rng)
            case 1:
                given.insert(at, given[at])
            case 2 if len(given) > 1:
                del given[at]
            case _:
                try:
                    changed = mutated(json.loads(given[at]), rng)
                except (ValueError, RecursionError):  # garbled, or nested already
                    continue
                given[at] = as_bytes(changed, rng).decode("utf-8", "replace").replace("\n", " ")
    return given


def read_lines(given: list[str]) -> object:
    """It is a conversation, which can be written again, or BadConversation."""
    conversation = parse(given, "a file")
    for line in dump(conversation):
        json.loads(line)
    return conversation


def model_answer(rng: random.Random) -> Any:
    """The call in an answer of a model."""
    message = rng.choice(seeds.model_answers())["choices"][0]["message"]
    return mutated(json.loads(message["tool_calls"][0]["function"]["arguments"]), rng, most=2)


def read_heard(given: Any) -> object:
    """As the reader does, once the client has taken it."""
    if not isinstance(given, dict):
        raise Unusable("no object")
    return heard_in(AIMessage("", tool_calls=[{"name": "update_draft", "args": given, "id": "c1"}]))


PARSERS = (
    Parser("Slack bodies", slack_body, read_body, (Refused,)),
    Parser("button values", value, read_value),
    Parser("modal values", view, read_view, (Refused, ValueError)),
    Parser("answers to gates", answer, read_any),
    Parser("replay files", lines, read_lines, (BadConversation,)),
    Parser("calls of a model", model_answer, read_heard, (Unusable,)),
)
