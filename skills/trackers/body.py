"""The body of a ticket before any markup: the same document for every tracker, which each writes in its own.

What people wrote is text. Of its own markup it may have code in backticks, and addresses; the rest is what it looks like, and
each tracker's writer sees to it that nothing in it calls people, runs a macro, or hides.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.draft import Constraint, TicketDraft
from agent.receipt import Piece, Receipt, sentence

SECTIONS = (
    ("who", "Who"),
    ("what", "What"),
    ("why", "Why"),
    ("problem", "Problem"),
    ("steps", "Steps to reproduce"),
    ("expected", "Expected"),
    ("actual", "Actual"),
    ("environment", "Environment"),
    ("proposed_solution", "Proposed solution"),
    ("acceptance_criteria", "Acceptance criteria"),
    ("constraints", "Constraints"),
    ("dependencies", "Dependencies"),
    ("risks", "Risks"),
    ("open_questions", "Open questions"),
)
"""The draft's fields that make the body, in order, and their headings."""

Line = list[Piece]


@dataclass(frozen=True)
class Heading:
    """A heading."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Lines that stand together."""

    lines: list[Line]


@dataclass(frozen=True)
class Code:
    """Lines that are shown as they are."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list; an item may have several lines."""

    items: list[list[Line]]


@dataclass(frozen=True)
class Rule:
    """A line across."""


Block = Heading | Paragraph | Code | Bullets | Rule

_FENCE = re.compile(r"^```[^\n`]*\n(.*?)(?:\n```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`|(https?://[^\s<>\"'`|\\^{}]+)")
_AFTER_ADDRESS = ".,;:!?)]*_~"
"""What may follow an address, and is not taken for a part of it."""


def document(draft: TicketDraft, more: Mapping[str, str]) -> list[Block]:
    """The body's blocks, empty sections left out; `more` are texts by name that the tracker has no field for."""
    blocks: list[Block] = []
    for field, heading in SECTIONS:
        if value := getattr(draft, field):
            blocks += [Heading(heading), *(text_blocks(value) if isinstance(value, str) else [_bullets(value)])]
    if more:
        blocks += [Heading("Details"), Bullets([_lines(f"{name}: {text}") for name, text in more.items()])]
    if draft.attachments:
        files = [
            " ".join(filter(None, [file.name or file.id, f"(SHA-256 {file.sha256})" if file.sha256 else "", file.url]))
            for file in draft.attachments
        ]
        blocks += [Heading("Attachments"), Bullets([_lines(one) for one in files])]
    return blocks


def receipt_blocks(receipt: Receipt) -> list[Block]:
    """What follows the body once it is approved."""
    return [Rule(), Paragraph([sentence(receipt)])]


def text_blocks(text: str) -> Iterator[Block]:
    """A text's paragraphs and fenced code."""
    at = 0
    for fence in _FENCE.finditer(text):
        yield from _paragraphs(text[at : fence.start()])
        if fence[1].strip():
            yield Code(fence[1])
        at = fence.end()
    yield from _paragraphs(text[at:])


def _paragraphs(text: str) -> Iterator[Block]:
    for part in re.split(r"\n[ \t]*\n", text.strip("\n")):
        if part.strip():
            yield Paragraph(_lines(part))


def _bullets(items: Sequence[str | Constraint]) -> Bullets:
    texts = [item if isinstance(item, str) else ": ".join(filter(None, (item.key, item.value))) for item in items]
    return Bullets([_lines(text) for text in texts])


def _lines(text: str) -> list[Line]:
    return [list(_pieces(line)) for line in text.split("\n")]


def _pieces(line: str) -> Iterator[Piece]:
    at = 0
    for found in _INLINE.finditer(line):
        end, kind, text = found.end(), "code", found[1]
        if found[2]:
            kind, text = "link", found[2].rstrip(_AFTER_ADDRESS)
            end = found.start() + len(text)
        if found.start() > at:
            yield Piece("text", line[at : found.start()])
        yield Piece(kind, text)  # type: ignore[arg-type]
        at = end
    if at < len(line):
        yield Piece("text", line[at:])
