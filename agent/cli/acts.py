"""What a line in the terminal means: a message, an act on a card, or something for the terminal itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.draft import CUSTOM, FIELDS, LISTS, Unsaid, clean
from agent.interview import LABELS
from agent.operations import Operation, on_mark
from agent.protocol import Decision, Reply, Settlement

LINE_LIMIT = 1_000_000
"""Characters of a line that are taken at all."""

KEY_LIMIT = 300
"""Characters of a ticket's key or address."""

HELP = (
    "Type what the ticket is about. /approve [HASH] files the card shown last, or the one with that hash; /reject [reason] "
    "discards it; /edit field=value changes a field (\\n between the items of a list); /show shows the card; /quit ends. "
    "/confirm N and /drop N are about what a card marks as said by nobody; /same KEY says that it is that ticket. "
    "For a ticket that was not filed, or in doubt: /there KEY names it, /again files it again, /leave leaves it. "
    f"Fields: {', '.join(FIELDS)}, {CUSTOM}NAME."
)


@dataclass(frozen=True)
class Say:
    """The terminal answers by itself."""

    text: str


@dataclass(frozen=True)
class Mark:
    """What the card shown last marks as said by nobody: it is so, or it is taken out. `numbers`: empty for all of it."""

    op: Literal["confirm", "remove"]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Quit:
    """The conversation is left; it can be continued."""


def parse(line: str, speaker: str) -> Reply | Decision | Settlement | Mark | Say | Quit:
    """What a line means. A decision on "the card shown last" still lacks its hash."""
    if len(line) > LINE_LIMIT:
        return Say(f"That line has {len(line):,} characters and was not sent; {LINE_LIMIT:,} can be.")
    if not line.startswith("/"):
        return Reply(text=line, by=speaker)
    act, _, rest = line.partition(" ")
    rest = rest.strip()
    match act:
        case "/approve":
            if rest and not re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", rest.lower()):
                return Say(f"{rest[:70]!r} is no hash: give the 8 characters that the card shows, or all 64.")
            return Decision(type="approve", draft_hash=rest.lower() or None, by=speaker)
        case "/reject":
            return Decision(type="reject", reason=clean(rest)[0], by=speaker)
        case "/edit":
            return _edit(line, rest, speaker)
        case "/there":
            if not rest:
                return Say("Write /there KEY, such as /there OPS-12: the ticket is read, and taken if it is the one approved.")
            return Settlement(act="there", key=clean(rest)[0][:KEY_LIMIT], by=speaker)
        case "/same":
            if not rest:
                return Say("Write /same KEY, such as /same OPS-12: that ticket is linked, and nothing is filed.")
            return Decision(type="reject", same_as=clean(rest)[0][:KEY_LIMIT], by=speaker)
        case "/confirm" | "/drop":
            if not re.fullmatch(r"all|\d{1,3}([ ,]+\d{1,3})*", rest):
                return Say(f"Write {act} and the number on the card, such as {act} 1, or {act} all.")
            numbers = () if rest == "all" else tuple(int(number) for number in re.findall(r"\d+", rest))
            return Mark("confirm" if act == "/confirm" else "remove", numbers)
        case "/again":
            return Settlement(act="again", by=speaker)
        case "/leave":
            return Settlement(act="leave", by=speaker)
        case "/show":
            return Reply(text="show", show=True, by=speaker)
        case "/help":
            return Say(HELP)
        case "/quit":
            return Quit()
    known = "/approve, /reject, /edit, /show, /confirm, /drop, /same, /there, /again, /leave, /help, /quit"
    return Say(f"There is no {clean(act)[0][:40]}: use {known}, or a space before text.")


def _values(field: str, value: str) -> list[str]:
    if field == "labels":
        return re.split("[,\n]", value)
    return value.split("\n") if field in LISTS else [value]


def _edit(line: str, rest: str, speaker: str) -> Reply | Say:
    field, equals, value = rest.partition("=")
    if not equals or not field.strip():
        return Say("Write /edit field=value, such as /edit title=Export fails in Safari.")
    field = field.strip()
    if not field.startswith(CUSTOM):  # a custom field's name is the tracker's own, and stays as it is typed
        field = LABELS.get(field.lower().replace("_", " "), field.lower().replace(" ", "_"))
    operation = Operation(field=field, value=_values(field, value))
    return Reply(text=line, by=speaker, edits=[operation])


def on_marks(mark: Mark, card: Mapping[str, Any] | None, speaker: str) -> Reply | Say:
    """What an act on a card's marks asks for, by the card that was shown."""
    unsaid = (card or {}).get("unsaid") or []
    numbers = mark.numbers or tuple(range(1, len(unsaid) + 1))
    if not unsaid:
        return Say("The card marks nothing." if card else "There is no card yet, and so no mark: answer the question first.")
    if any(not 0 < number <= len(unsaid) for number in numbers):
        return Say(f"The card marks {len(unsaid)}, so there is no such number: /show shows it again.")
    marks = [Unsaid.model_validate(unsaid[number - 1]) for number in numbers]
    word = "confirm" if mark.op == "confirm" else "drop"
    text = "\n".join(f"{word} {one.field}: {one.value}" for one in marks)
    return Reply(text=text, by=speaker, edits=[on_mark(mark.op, one) for one in marks])
