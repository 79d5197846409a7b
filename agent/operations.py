"""The one way a draft changes: operations that name a field, a value, and whose words say so."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from agent.draft import (
    CUSTOM,
    FIELDS,
    ISSUE_TYPES,
    ITEMS_LIMIT,
    LISTS,
    LONG,
    NAME_LIMIT,
    TEXT_LIMIT,
    TITLE_LIMIT,
    Conflict,
    Constraint,
    Evidence,
    TicketDraft,
    Unsaid,
    clean,
    shown,
)
from agent.quotes import denied, find, said_at
from agent.templates import cued_at
from agent.words import telling

_REMOVES = re.compile(
    r"\b(?:remove|drop|delete|take .{1,30} (?:out|off|away)|without|no longer|not|n't|forget|scrap|skip|instead|replace|wrong|"
    r"irrelevant|obsolete|weg|raus|lösch\w*|streich\w*|statt|enlev\w*|supprim\w*|retir\w*|quita\w*|borra\w*|elimin\w*)\b|削除|删",
    re.IGNORECASE,
)
"""Words that speak of taking something out."""


class DraftError(ValueError):
    """An operation that cannot be applied; its text is one sentence for the person who asked for it."""


class Source(BaseModel):
    """A message that values may come from."""

    id: str = ""
    author: str = ""
    text: str = ""
    permalink: str = ""


class Operation(BaseModel):
    """One change to the draft.

    `set` gives a field its value; `add`, `replace` and `remove` change items of a list; `skip` leaves a field open on purpose;
    `confirm` says of a value that stands there what nobody had said. Attachments are removed by their ids; they are added by
    the messages that bring them.
    """

    op: Literal["set", "add", "replace", "remove", "skip", "confirm"] = "set"
    field: str
    value: list[str] = Field(default_factory=list)
    """One text, or for a list several items."""
    old: str = ""
    """The item that is replaced."""
    quote: str = ""
    """The words that say so; empty: the value itself."""
    message: str = ""
    """The id of the message that they are from."""
    decides: bool = False
    """It answers a question about this field, so it also decides between what different people said."""
    over: str = ""
    """The digest of the value it was meant to replace; empty: whatever is there."""


def apply(
    draft: TicketDraft, operations: Sequence[Operation], sources: Mapping[str, Source], *, contested: bool = False
) -> tuple[TicketDraft, list[str]]:
    """The draft after the operations (the same object if nothing changed), and a sentence for each that cannot be applied.

    A value that its message says gets an `Evidence`; any other is marked as `Unsaid`, if it is from a message at all.
    `contested`, as for a model: nothing is put over what somebody else has said, or takes it out unasked; both statements stand
    in a `Conflict` until somebody decides. The draft given is not changed.
    """
    after, problems = draft.model_copy(deep=True), []
    for operation in operations:
        try:
            source = sources.get(operation.message)
            change = _Change(after, operation, source, sources)
            if not (contested and source and change.contests(source)):
                change.make()
        except DraftError as error:
            problems.append(str(error))
    if after.model_dump(exclude={"evidence"}) == draft.model_dump(exclude={"evidence"}):
        return draft, problems
    after.version += after.content() != draft.content()
    return TicketDraft.model_validate(after.model_dump()), problems


def by_hand(edits: Sequence[Operation], source: Source) -> tuple[list[Operation], dict[str, Source]]:
    """What somebody entered in a form or as an act, as operations that its author says, with what they are from."""
    texts = "\n".join(value for edit in edits for value in edit.value)
    said = source.model_copy(update={"text": clean(texts)[0]})
    return [edit.model_copy(update={"message": source.id, "decides": True}) for edit in edits], {source.id: said}


def on_mark(act: Literal["confirm", "remove"], mark: Unsaid) -> Operation:
    """What settles a mark: the value is confirmed, or taken out."""
    if act == "remove" and mark.field not in LISTS:
        return Operation(op="set", field=mark.field)
    return Operation(op=act, field=mark.field, value=[mark.value])


class _Change:
    """One operation on a draft, with the words that it is held to."""

    def __init__(self, draft: TicketDraft, operation: Operation, source: Source | None, sources: Mapping[str, Source]) -> None:
        self._draft, self._operation, self._source, self._sources = draft, operation, source, sources
        self._field = operation.field
        given = [tidy for value in operation.value if (tidy := clean(value)[0].strip())]
        self._values = {_held(self._field, value): value for value in given}
        """The values as the draft would hold them, and as they were given."""

    def make(self) -> None:
        """Changes the draft. Raises DraftError."""
        draft, operation, field, values = self._draft, self._operation, self._field, [*self._values]
        if field == "attachments" and operation.op == "remove":
            draft.attachments = [file for file in draft.attachments if file.id not in operation.value]
            return
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
        said = {value: self._evidence(value) for value in values}  # of what stands there before it is changed
        if operation.op == "confirm":
            if gone := [value for value in values if value not in draft.items(field)]:
                raise DraftError(f"The {field} is no longer {gone[0][:100]!r}, so nothing was confirmed.")
        elif field not in LISTS:
            if operation.op != "set" or len(values) > 1:
                raise DraftError(f"The field {field} holds one text: set it.")
            _set_text(draft, field, values[0] if values else "")
        else:
            items = [value for given in operation.value if (value := _held(field, clean(given)[0].strip()))]
            _set_list(draft, operation, items)
        self._note(said)

    def _note(self, said: Mapping[str, list[Evidence]]) -> None:
        """Puts on record who says what the field holds now, and what of it nobody says."""
        draft, field, op = self._draft, self._field, self._operation.op
        holds = draft.items(field)
        draft.skipped = [one for one in draft.skipped if one != field]
        draft.conflicts = [one for one in draft.conflicts if one.field != field]
        fresh = set(said) if op in ("set", "confirm") else set()
        draft.evidence = [
            one for one in draft.evidence
            if one.field != field or ((one.value or one.quote) in holds and (one.value or one.quote) not in fresh)
        ]  # fmt: skip
        marked = [one for one in draft.unsaid if one.field != field or (one.value in holds and one.value not in said)]
        if self._source and op != "remove":
            for value in said:
                draft.evidence += said[value]
                if not said[value] and value in holds:
                    marked.append(Unsaid(field=field, value=value))
        draft.unsaid = marked

    def _evidence(self, value: str) -> list[Evidence]:
        """Who says the value: the operation's message, or of a text of several lines several people, line by line."""
        if self._source is None:
            return []
        if said := evidence_for(self._operation, self._values[value], self._source, held=value):
            return [said]
        lines = [line.strip() for line in value.split("\n") if line.strip()]
        if self._field not in LONG or len(lines) < 2:
            return []
        parts = [self._line(line, value) for line in lines]
        return [one for one in parts if one] if all(parts) else []

    def _line(self, line: str, whole: str) -> Evidence | None:
        for one in self._draft.evidence:
            if one.field == self._field and said_at(one.quote, line) is not None:
                return one.model_copy(update={"value": whole})
        plain = self._operation.model_copy(update={"quote": ""})
        known = [self._source, *self._sources.values()] if self._source else []
        said = (evidence_for(plain, line, source) for source in known)
        return next((one.model_copy(update={"value": whole}) for one in said if one), None)

    def contests(self, source: Source) -> bool:
        """Whether it would put something over what somebody else has said; then both are put on record.

        Raises DraftError for what does not even say something else: what others said is not taken out by the way.
        """
        draft, operation, field = self._draft, self._operation, self._field
        others = {
            held: one
            for one in draft.evidence
            if one.field == field and one.author != source.author and (held := one.value or one.quote) in draft.items(field)
        }
        open_now = next((one for one in draft.conflicts if one.field == field), None)
        if operation.op == "skip" or not (others or open_now):
            return False
        values = [*self._values]
        said = {value: found for value in values if (found := self._evidence(value))}
        if all(any(said_at(value, held) is not None for value in said) for held in others) and not open_now:
            return False  # what they said stands in what is said now
        if operation.decides and len(values) == len(said):
            return False
        if field in LISTS and not self._constrains(others) and not open_now:
            self._spares(others)
            return False
        if len(values) != 1 or values[0] not in said:
            raise DraftError(f"The {field} was said by somebody else, so it was left as it is.".replace("_", " "))
        if field == "issue_type":
            return False
        self._puts_beside(open_now, others, said[values[0]][0])
        return True

    def _constrains(self, others: Mapping[str, Evidence]) -> bool:
        """Whether it gives another limit where there is one under the same name."""
        keys = {Constraint.of(value).key.casefold() for value in self._values} - {""}
        known = {Constraint.of(held).key.casefold() for held in others}
        return self._field == "constraints" and self._operation.op == "add" and bool(keys & known)

    def _spares(self, others: Mapping[str, Evidence]) -> None:
        """Raises DraftError if items that somebody else said would go, and the quote does not speak of that."""
        operation = self._operation
        if operation.op == "add":
            return
        goes = {*self._values} if operation.op == "remove" else {operation.old}
        if operation.op == "set":
            goes = {held for held in others if held not in self._values}
        for held in goes & {*others}:
            if not (_REMOVES.search(operation.quote) or {*telling(held)} & {*telling(operation.quote)}):
                raise DraftError(f"The {self._field} were said by somebody else, so they were left.".replace("_", " "))

    def _puts_beside(self, open_now: Conflict | None, others: Mapping[str, Evidence], said: Evidence) -> None:
        draft, field, held = self._draft, self._field, next(iter(self._values))
        standing = [one.model_copy(update={"value": value}) for value, one in others.items() if self._is_beside(value, held)]
        sides = [one for one in (open_now.sides if open_now else standing) if one.author != said.author]
        sides = [*sides, said.model_copy(update={"value": held})]
        draft.conflicts = [one for one in draft.conflicts if one.field != field]
        if len({one.value.casefold() for one in sides}) > 1:  # else they agree by now
            draft.conflicts.append(Conflict(field=field, sides=sides))

    def _is_beside(self, standing: str, held: str) -> bool:
        if self._field != "constraints":
            return True
        return Constraint.of(standing).key.casefold() == Constraint.of(held).key.casefold()


def _held(field: str, value: str) -> str:
    """The value as the draft holds it."""
    if field == "constraints":
        return shown(Constraint.of(value))
    return value.lower() if field == "issue_type" else value


def _set_list(draft: TicketDraft, operation: Operation, values: list[str]) -> None:
    field, before = operation.field, getattr(draft, operation.field)
    items = [Constraint.of(value) for value in values] if field == "constraints" else values
    match operation.op:
        case "add":
            kept = before + [item for item in items if item not in before]
        case "remove":
            if unknown := [item for item in items if item not in before]:
                raise DraftError(f"{field} has no item {shown(unknown[0])!r}: nothing was removed.")
            kept = [item for item in before if item not in items]
        case "replace":
            if operation.old not in draft.items(field):
                raise DraftError(f"{field} has no item {operation.old[:200]!r}: nothing was replaced.")
            at = draft.items(field).index(operation.old)
            kept = [*before[:at], *items, *before[at + 1 :]]
        case _:
            kept = items
    if len(kept) > ITEMS_LIMIT:
        raise DraftError(f"The {field} would have {len(kept):,} items; {ITEMS_LIMIT} can be.")
    setattr(draft, field, kept)


def evidence_for(operation: Operation, value: str, source: Source, held: str = "") -> Evidence | None:
    """The words of the message that say the value; None if it does not, or denies it. `held`: as the draft holds the value."""
    if not (found := find(source.text, operation.quote or value)):
        return None
    start, words = found
    place = _place_in(operation.field, words, value) if operation.quote else (0, len(words))
    if place is None or denied(source.text, start + place[0], start + place[1]):
        return None
    return Evidence(
        field=operation.field,
        value="" if words == (held or value) else held or value,
        quote=words,
        author=source.author,
        message=source.id,
        start=start,
        permalink=source.permalink,
    )


def _place_in(field: str, quote: str, value: str) -> tuple[int, int] | None:
    """From where to where in the quote the value is said; None if it is not."""
    if field == "constraints":
        limit = Constraint.of(value)
        places = [said_at(quote, part) for part in (limit.key, limit.value) if part]
        return None if None in places else places[-1]
    said = said_at(quote, value)
    return cued_at(quote, value.lower()) if said is None and field == "issue_type" else said


def _set_text(draft: TicketDraft, field: str, value: str) -> None:
    limit = TITLE_LIMIT if field == "title" else TEXT_LIMIT
    if len(value) > limit:
        raise DraftError(f"The {field} would have {len(value):,} characters; shorten it to {limit:,}.")
    if "\n" in value and field not in LONG and not field.startswith(CUSTOM):
        raise DraftError(f"The {field} is one line; that has {value.count(chr(10)) + 1}.")
    if field.startswith(CUSTOM):
        name = field.removeprefix(CUSTOM)
        draft.custom = {**draft.custom, name: value} if value else {k: v for k, v in draft.custom.items() if k != name}
    elif field == "issue_type" and value.lower() not in ISSUE_TYPES:
        raise DraftError(f"The type is one of {', '.join(ISSUE_TYPES)}; {value!r} is none of them.")
    else:
        setattr(draft, field, value.lower() if field == "issue_type" else value)
