"""Scoring drafts: what of a conversation's expectations a draft holds, what it lacks, and what it holds that nobody said."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.draft import CUSTOM, FIELDS, Constraint, Evidence, TicketDraft, clean
from agent.protocol import Reply
from agent.quotes import find, said_at
from agent.templates import cued_at


class OneOf(BaseModel):
    """Words of which one is expected, and the messages that may say so (none: any)."""

    model_config = ConfigDict(extra="forbid")

    any: list[str] = Field(min_length=1)
    from_: list[str] = Field(default_factory=list, alias="from")


Expected = str | OneOf | list[str | OneOf]
"""What a field is to hold: one text; for a list several items, and an empty one if nothing."""


NAMES = ("found", "missed", "invented", "evidence_right")


@dataclass
class Counts:
    """How often a field came out right, and how not."""

    found: int = 0
    missed: int = 0
    invented: int = 0
    evidence_right: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, name) + getattr(other, name) for name in NAMES))

    def as_json(self) -> dict[str, int]:
        """By name."""
        return {name: getattr(self, name) for name in NAMES}


@dataclass(frozen=True)
class Remark:
    """One thing that is not as it should be."""

    kind: Literal["missed", "invented", "evidence"]
    field: str
    text: str


@dataclass
class Score:
    """What drafts come to: counts by field, and what is not right."""

    fields: dict[str, Counts] = field(default_factory=lambda: {name: Counts() for name in FIELDS})
    remarks: list[Remark] = field(default_factory=list)

    @property
    def total(self) -> Counts:
        """All fields together."""
        return sum(self.fields.values(), Counts())

    def count(self, name: str, **more: int) -> None:
        """Adds to a field's counts."""
        self.fields[name] = self.fields.get(name, Counts()) + Counts(**more)


def totals(scores: Sequence[Score]) -> dict[str, Any]:
    """The scores of several conversations together, in the form of `signoff eval --json`."""
    together = summed(scores)
    fields = {name: counts.as_json() for name, counts in together.fields.items()}
    return {"conversations": len(scores), **together.total.as_json(), "fields": fields}


def summed(scores: Iterable[Score]) -> Score:
    """The counts of several scores as one."""
    together = Score()
    for score in scores:
        for name, counts in score.fields.items():
            together.fields[name] = together.fields.get(name, Counts()) + counts
    return together


def texts_of(replies: Iterable[Reply]) -> dict[str, str]:
    """What people wrote, by message: the text, what they entered by hand, and what their place starts a ticket with."""
    texts: dict[str, str] = {}
    for reply in replies:
        for one in (*reply.thread, reply):
            entered = "\n".join(value for edit in one.edits for value in edit.value)
            texts[one.event_id] = clean(entered or one.text)[0]
        if given := reply.setting:
            texts[f"{reply.event_id}:setting"] = "\n".join([given.issue_type, given.assignee, *given.labels])
    return texts


def score(draft: TicketDraft, texts: Mapping[str, str], expected: Mapping[str, Expected], never: Sequence[str] = ()) -> Score:
    """Scores a draft by what is expected of it, and by the messages that it may come from."""
    result = Score()
    for name, wanted in expected.items():
        for one in _one_by_one(wanted):
            items = [item for item in draft.items(name) if any(find(item, words) for words in one.any)]
            if not items:
                result.count(name, missed=1)
                result.remarks.append(Remark("missed", name, one.any[0]))
            elif any(_stands(draft, name, item, texts, one.from_) for item in items):
                result.count(name, found=1, evidence_right=1)
            else:
                result.count(name, found=1)
                result.remarks.append(Remark("evidence", name, items[0]))
    for name in _filled(draft):
        choices = [*_one_by_one(expected.get(name, []))]
        known, empty = [words for one in choices for words in one.any], name in expected and not choices
        for item in draft.items(name):
            if empty or _invented(draft, name, item, texts.values(), known, never):
                result.count(name, invented=1)
                result.remarks.append(Remark("invented", name, item))
    return result


def _one_by_one(wanted: Expected) -> Iterator[OneOf]:
    for one in wanted if isinstance(wanted, list) else [wanted]:
        yield OneOf(any=[one]) if isinstance(one, str) else one


def _filled(draft: TicketDraft) -> list[str]:
    """The fields that hold what somebody chose: a type that nobody spoke of is the default."""
    default = TicketDraft().issue_type
    spoken_of = {one.field for one in draft.evidence} | {one.field for one in draft.unsaid}
    chosen = draft.issue_type != default or "issue_type" in spoken_of
    names = [name for name in FIELDS if name != "issue_type" or chosen]
    return [name for name in (*names, *(f"{CUSTOM}{name}" for name in draft.custom)) if draft.items(name)]


def _invented(
    draft: TicketDraft, name: str, item: str, texts: Iterable[str], known: Sequence[str], never: Sequence[str]
) -> bool:
    if any(one.field == name and one.value == item for one in draft.unsaid) or any(find(item, words) for words in never):
        return True
    return not (any(said_at(words, item) is not None for words in known) or _said(name, item, [*texts]))


def _said(name: str, item: str, texts: Sequence[str]) -> bool:
    if name == "issue_type":
        return any(said_at(text, item) is not None or cued_at(text, item) is not None for text in texts)
    limit = Constraint.of(item)
    parts = (limit.key, limit.value) if name == "constraints" else (item,)
    return all(any(said_at(text, part) is not None for text in texts) for part in parts if part.strip())


def _stands(draft: TicketDraft, name: str, item: str, texts: Mapping[str, str], among: Sequence[str]) -> bool:
    """Whether all that is quoted for the item stands where it is said to, and some of it where it is expected."""
    quoted = [one for one in draft.evidence if one.field == name and (one.value or one.quote) == item]
    right = all(_at_its_place(one, texts) for one in quoted)
    return bool(quoted) and right and (not among or any(one.message in among for one in quoted))


def _at_its_place(one: Evidence, texts: Mapping[str, str]) -> bool:
    return bool(one.quote) and texts.get(one.message, "").startswith(one.quote, one.start)
