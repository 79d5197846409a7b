"""The draft of a ticket, and the one way it changes: operations that name a field, a value and whose words say so."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TITLE_LIMIT = 255
"""Characters in a title; the strictest of the trackers (Jira) sets it."""

TEXT_LIMIT = 20_000
"""Characters in one message, and in one text field."""

ISSUE_TYPES = ("story", "bug", "task")
TEXTS = ("title", "problem", "proposed_solution", "issue_type", "priority", "assignee", "epic_id")
LISTS = ("acceptance_criteria", "constraints", "dependencies", "risks", "open_questions", "labels")
FIELDS = (*TEXTS, *LISTS)
CUSTOM = "custom."
"""A custom field is named `custom.NAME`."""

NAME_LIMIT = 100
"""Characters in the name of a custom field."""


_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_LINE_ENDS = re.compile("\r\n|\r|\u2028|\u2029")
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0")


class DraftError(ValueError):
    """An operation that cannot be applied; its text is one sentence for the person who asked for it."""


class Constraint(BaseModel):
    """A limit the solution must keep, such as `latency: under 200 ms`."""

    key: str = ""
    value: str = ""
    status: Literal["agreed", "conflict"] = "agreed"


class Evidence(BaseModel):
    """Who said what a field holds: the quote stands at `start` in the text of message `message`."""

    field: str = ""
    quote: str = ""
    author: str = ""
    message: str = ""
    start: int = 0
    permalink: str = ""
    changed: Literal["", "edited", "deleted"] = ""
    """What became of the message since; its words may no longer stand there."""


class Attachment(BaseModel):
    """A file of the conversation that is filed with the ticket, named by its id and by the SHA-256 of its bytes."""

    id: str
    name: str = ""
    sha256: str = ""
    """Empty if the file could not be read; then only its id is sealed."""
    url: str = ""


class Source(BaseModel):
    """A message that values may come from."""

    id: str = ""
    author: str = ""
    text: str = ""
    permalink: str = ""


class Operation(BaseModel):
    """One change to the draft: `set` replaces, `add` and `remove` change a list, `skip` leaves a field open on purpose.

    Attachments are removed by their ids; they are added by the messages that bring them.
    """

    op: Literal["set", "add", "remove", "skip"] = "set"
    field: str
    value: list[str] = Field(default_factory=list, description="One item, or for a list field several.")
    message: str = Field(default="", description="The id of the message that says so.")
    over: str = Field(default="", description="The digest of the value it was meant to replace; empty: whatever is there.")


class TicketDraft(BaseModel):
    """What the people in a session have said so far, by field. Changed only through `apply`."""

    model_config = ConfigDict(revalidate_instances="always")

    title: str = ""
    problem: str = ""
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
    skipped: list[str] = Field(default_factory=list)
    """Fields that people left open on purpose."""
    version: int = 0

    def missing(self) -> list[str]:
        """The fields without which a ticket is not ready, in the order to ask for them."""
        wanted = ["problem", "title"] + (["acceptance_criteria"] if self.issue_type == "story" else [])
        return [field for field in wanted if not getattr(self, field)]

    def digest(self, field: str) -> str:
        """A short name for what the field holds now, by which a form tells whether it was changed meanwhile."""
        value = self.custom.get(field.removeprefix(CUSTOM), "") if field.startswith(CUSTOM) else self.model_dump()[field]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]

    def content(self) -> dict[str, Any]:
        """Everything that a tracker could be sent: the draft without what is only known about it."""
        return self.model_dump(exclude={"evidence", "skipped", "version"})

    def filled(self) -> dict[str, Any]:
        """What a card shows beside the title and the type: each field that holds something."""
        return {name: value for name, value in self.content().items() if value and name not in ("title", "issue_type")}


def apply(draft: TicketDraft, operations: Sequence[Operation], sources: Mapping[str, Source]) -> tuple[TicketDraft, list[str]]:
    """The draft after the operations (the same object if nothing changed), and a sentence for each that cannot be applied.

    A value that its message contains gets an `Evidence`; one that nobody wrote gets none. The draft given is not changed.
    """
    after, problems = draft.model_copy(deep=True), []
    for operation in operations:
        try:
            _change(after, operation, sources.get(operation.message))
        except DraftError as error:
            problems.append(str(error))
    if after.content() == draft.content() and after.skipped == draft.skipped:
        return draft, problems
    after.version += 1
    return TicketDraft.model_validate(after.model_dump()), problems


def _change(draft: TicketDraft, operation: Operation, source: Source | None) -> None:
    if operation.field == "attachments" and operation.op == "remove":
        draft.attachments = [file for file in draft.attachments if file.id not in operation.value]
        return
    field, values = operation.field, [tidy for value in operation.value if (tidy := clean(value)[0].strip())]
    named = field.removeprefix(CUSTOM) if field.startswith(CUSTOM) else ""
    if field not in FIELDS and not (
        named and named == clean(named)[0].strip() and len(named) <= NAME_LIMIT and "\n" not in named
    ):
        raise DraftError(f"There is no field {field[:NAME_LIMIT]!r}: use one of {', '.join(FIELDS)}, or {CUSTOM}NAME.")
    if operation.over and operation.over != draft.digest(field):
        raise DraftError(f"The {field} was changed by somebody else meanwhile, so yours was not put over it.")
    if operation.op == "skip":
        draft.skipped = sorted({*draft.skipped, field})
        return
    if field not in LISTS:
        if operation.op != "set" or len(values) > 1:
            raise DraftError(f"The field {field} holds one text: set it.")
        _set_text(draft, field, values[0] if values else "")
    else:
        before = getattr(draft, field)
        items = [_constraint(value) for value in values] if field == "constraints" else values
        if operation.op == "remove" and (unknown := [item for item in items if item not in before]):
            raise DraftError(f"{field} has no item {_shown(unknown[0])!r}: nothing was removed.")
        kept = items
        if operation.op == "add":
            kept = before + [item for item in items if item not in before]
        elif operation.op == "remove":
            kept = [item for item in before if item not in items]
        setattr(draft, field, kept)
    draft.skipped = [one for one in draft.skipped if one != field]
    if operation.op != "add":
        gone = values if operation.op == "remove" else None
        draft.evidence = [e for e in draft.evidence if e.field != field or (gone is not None and e.quote not in gone)]
    if source and operation.op != "remove":
        draft.evidence += [
            Evidence(field=field, quote=value, author=source.author, message=source.id, start=at, permalink=source.permalink)
            for value in values
            if (at := source.text.find(value)) >= 0
        ]


def _set_text(draft: TicketDraft, field: str, value: str) -> None:
    limit = TITLE_LIMIT if field == "title" else TEXT_LIMIT
    if len(value) > limit:
        raise DraftError(f"The {field} would have {len(value):,} characters; shorten it to {limit:,}.")
    if "\n" in value and field not in ("problem", "proposed_solution") and not field.startswith(CUSTOM):
        raise DraftError(f"The {field} is one line; that has {value.count(chr(10)) + 1}.")
    if field.startswith(CUSTOM):
        name = field.removeprefix(CUSTOM)
        draft.custom = {**draft.custom, name: value} if value else {k: v for k, v in draft.custom.items() if k != name}
    elif field == "issue_type" and value.lower() not in ISSUE_TYPES:
        raise DraftError(f"The type is one of {', '.join(ISSUE_TYPES)}; {value!r} is none of them.")
    else:
        setattr(draft, field, value.lower() if field == "issue_type" else value)


def _constraint(text: str) -> Constraint:
    key, colon, value = text.partition(":")
    return Constraint(key=key.strip(), value=value.strip()) if colon else Constraint(value=text)


def _shown(item: str | Constraint) -> str:
    return item if isinstance(item, str) else f"{item.key}: {item.value}"


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
