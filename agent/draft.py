"""The draft of a ticket: what the people in a session have said so far, by field. It changes by `agent.operations` alone."""

import hashlib
import json
import re
import unicodedata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.templates import FIELDS_OF

TITLE_LIMIT = 255
"""Characters in a title; the strictest of the trackers (Jira) sets it."""

TEXT_LIMIT = 20_000
"""Characters in one message, and in one text field."""

ISSUE_TYPES = ("story", "bug", "task")
LONG = ("problem", "proposed_solution", "expected", "actual", "environment", "who", "what", "why")
"""Texts that may have several lines."""

TEXTS = ("title", *LONG, "issue_type", "priority", "assignee", "epic_id")
LISTS = ("steps", "acceptance_criteria", "constraints", "dependencies", "risks", "open_questions", "labels")
FIELDS = (*TEXTS, *LISTS)
CUSTOM = "custom."
"""A custom field is named `custom.NAME`."""

NAME_LIMIT = 100
"""Characters in the name of a custom field."""

ITEMS_LIMIT = 200
"""Items in a list."""

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_COLON = re.compile(r"((?<!\d):|:(?!\d))")
_LINE_ENDS = re.compile("\r\n|\r|\u2028|\u2029")
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0")


class Constraint(BaseModel):
    """A limit the solution must keep, such as `latency: under 200 ms`."""

    key: str = ""
    value: str = ""
    status: Literal["agreed", "conflict"] = "agreed"

    @classmethod
    def of(cls, text: str) -> "Constraint":
        """As people write it: what stands before a colon names it, unless that is the colon of a time."""
        key, colon, value = ([*_COLON.split(text, maxsplit=1), "", ""])[:3]
        return cls(key=key.strip(), value=value.strip()) if colon else cls(value=text)


class Evidence(BaseModel):
    """Who said what a field holds: the quote stands at `start` in the text of message `message`."""

    field: str = ""
    value: str = ""
    """The value or item that it says; empty: the quote itself."""
    quote: str = ""
    author: str = ""
    message: str = ""
    start: int = 0
    permalink: str = ""
    changed: Literal["", "edited", "deleted"] = ""
    """What became of the message since; its words may no longer stand there."""


class Unsaid(BaseModel):
    """A value that a model gave and that no message says."""

    field: str
    value: str


class Conflict(BaseModel):
    """What different people said of one field; the draft holds the first until somebody decides."""

    field: str
    sides: list[Evidence]


class Attachment(BaseModel):
    """A file of the conversation that is filed with the ticket, named by its id and by the SHA-256 of its bytes."""

    id: str
    name: str = ""
    sha256: str = ""
    """Empty if the file could not be read; then only its id is sealed."""
    url: str = ""


class TicketDraft(BaseModel):
    """What the people in a session have said so far, by field. Changed only through `agent.operations.apply`."""

    model_config = ConfigDict(revalidate_instances="always")

    title: str = ""
    problem: str = ""
    steps: list[str] = Field(default_factory=list)
    expected: str = ""
    actual: str = ""
    environment: str = ""
    who: str = ""
    what: str = ""
    why: str = ""
    proposed_solution: str = ""
    acceptance_criteria: list[str] = Field(default_factory=list)
    constraints: list[Constraint] = Field(default_factory=list)
    dependencies: list[str] = Field(default_factory=list)
    risks: list[str] = Field(default_factory=list)
    open_questions: list[str] = Field(default_factory=list)
    issue_type: Literal["story", "bug", "task"] = "story"
    priority: str = ""
    labels: list[str] = Field(default_factory=list)
    assignee: str = ""
    epic_id: str = ""
    custom: dict[str, str] = Field(default_factory=dict)
    attachments: list[Attachment] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    unsaid: list[Unsaid] = Field(default_factory=list)
    conflicts: list[Conflict] = Field(default_factory=list)
    skipped: list[str] = Field(default_factory=list)
    """Fields that people left open on purpose."""
    version: int = 0

    def missing(self) -> list[str]:
        """The fields without which a ticket is not ready, in the order to ask for them."""
        wanted = ["problem", "title"] + (["acceptance_criteria"] if self.issue_type == "story" else [])
        return [field for field in wanted if not getattr(self, field)]

    def not_said(self) -> list[str]:
        """The fields of its type's template that hold nothing; none while nobody has chosen the type."""
        if self.issue_type == "story" and not any(one.field == "issue_type" for one in self.evidence):
            return []
        return [name for name in FIELDS_OF[self.issue_type] if not getattr(self, name) and name not in self.skipped]

    def items(self, field: str) -> list[str]:
        """What a field holds, as the texts that evidence and marks are about; empty if it holds nothing."""
        if field.startswith(CUSTOM):
            value: Any = self.custom.get(field.removeprefix(CUSTOM), "")
        else:
            value = getattr(self, field, "")
        items = value if isinstance(value, list) else [value] if value else []
        return [item if isinstance(item, str) else shown(item) for item in items if isinstance(item, str | Constraint)]

    def digest(self, field: str) -> str:
        """A short name for what the field holds now, by which a form tells whether it was changed meanwhile."""
        value = self.custom.get(field.removeprefix(CUSTOM), "") if field.startswith(CUSTOM) else self.model_dump()[field]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]

    def content(self) -> dict[str, Any]:
        """Everything that a tracker could be sent: the draft without what is only known about it."""
        return self.model_dump(exclude={"evidence", "unsaid", "conflicts", "skipped", "version"})

    def filled(self) -> dict[str, Any]:
        """What a card shows beside the title and the type: each field that holds something."""
        return {name: value for name, value in self.content().items() if value and name not in ("title", "issue_type")}


def shown(item: str | Constraint) -> str:
    """An item as people write it."""
    return item if isinstance(item, str) else f"{item.key}: {item.value}" if item.key else item.value


def first_line(text: str) -> str:
    """The first line that says something, as a title may be proposed from it: cut at a word if it is too long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_LIMIT else line[: TITLE_LIMIT + 1].rsplit(" ", 1)[0][:TITLE_LIMIT]


def clean(text: str) -> tuple[str, int]:
    """The text in NFC without what a reader cannot see, and how many characters were taken out.

    Out go a terminal's escape sequences, control characters (but newline and tab), bidi controls, invisible letters and
    separators, tags and lone surrogates: they make a card show other than what is filed. Line ends become `\\n`; joiners
    and the two selectors that scripts and emoji need stay.
    """
    text = _LINE_ENDS.sub("\n", text)
    kept = "".join(character for character in _ESCAPES.sub("", text) if not _invisible(character))
    return unicodedata.normalize("NFC", kept), len(text) - len(kept)


def _invisible(character: str) -> bool:
    if character in "\n\t\u200c\u200d\ufe0e\ufe0f":
        return False
    hidden = character in _INVISIBLE_LETTERS or "\u180b" <= character <= "\u180f" or "\ufe00" <= character <= "\ufe0d"
    return hidden or "\U000e0000" <= character <= "\U000e0fff" or unicodedata.category(character) in ("Cc", "Cf", "Cs")
