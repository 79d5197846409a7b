"""The one way a draft changes: operations that name a field, a value, and whose words say so."""

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

    A value that its message says gets an `Evidence`; one that it does not say is marked as `Unsaid`. `contested`: over what
    somebody else has said nothing is put; both stand in a `Conflict` until somebody decides. The draft given is not changed.
    """
    after, problems = draft.model_copy(deep=True), []
    for operation in operations:
        try:
            source = sources.get(operation.message)
            if not (contested and source and _contests(after, operation, source)):
                _change(after, operation, source)
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
    before = draft.items(field)
    if operation.op == "skip":
        draft.skipped = sorted({*draft.skipped, field})
        return
    if operation.op == "confirm":
        if gone := [value for value in values if value not in before]:
            raise DraftError(f"The {field} is no longer {gone[0][:100]!r}, so nothing was confirmed.")
    elif field not in LISTS:
        if operation.op != "set" or len(values) > 1:
            raise DraftError(f"The field {field} holds one text: set it.")
        _set_text(draft, field, values[0] if values else "")
    else:
        _set_list(draft, operation, values)
    _note(draft, operation, values, source)


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


def _note(draft: TicketDraft, operation: Operation, values: list[str], source: Source | None) -> None:
    """Puts on record who says what the field holds now, and what of it nobody says."""
    field, holds = operation.field, draft.items(operation.field)
    draft.skipped = [one for one in draft.skipped if one != field]
    draft.conflicts = [one for one in draft.conflicts if one.field != field]
    fresh = set(values) if operation.op in ("set", "confirm") else set()
    draft.evidence = [
        one for one in draft.evidence
        if one.field != field or ((one.value or one.quote) in holds and (one.value or one.quote) not in fresh)
    ]  # fmt: skip
    marked = [one for one in draft.unsaid if one.field != field or (one.value in holds and one.value not in values)]
    if source and operation.op != "remove":
        for value in values:
            if said := evidence_for(operation, value, source):
                draft.evidence.append(said)
            elif value in holds:
                marked.append(Unsaid(field=field, value=value))
    draft.unsaid = marked


def evidence_for(operation: Operation, value: str, source: Source) -> Evidence | None:
    """The words of the message that say the value; None if it does not, or denies it."""
    if not (found := find(source.text, operation.quote or value)):
        return None
    start, words = found
    at = _place_in(operation.field, words, value) if operation.quote else 0
    if at is None or denied(source.text, start + at):
        return None
    return Evidence(
        field=operation.field,
        value="" if words == value else value,
        quote=words,
        author=source.author,
        message=source.id,
        start=start,
        permalink=source.permalink,
    )


def _place_in(field: str, quote: str, value: str) -> int | None:
    """Where in the quote the value is said; None if it is not."""
    if field == "issue_type":
        spoken = said_at(quote, value)
        return cued_at(quote, value.lower()) if spoken is None else spoken
    if field == "constraints":
        limit = Constraint.of(value)
        places = [said_at(quote, part) for part in (limit.key, limit.value) if part]
        return None if None in places else places[-1]
    return said_at(quote, value)


def _contests(draft: TicketDraft, operation: Operation, source: Source) -> bool:
    """Whether the operation would put something over what somebody else has said; then both are put on record."""
    field, values = operation.field, [tidy for value in operation.value if (tidy := clean(value)[0].strip())]
    if operation.decides or len(values) != 1 or not (said := evidence_for(operation, values[0], source)):
        return False
    if field not in LISTS and operation.op == "set":
        standing = [one for one in draft.items(field) if one.casefold() != values[0].casefold()]
    elif field == "constraints" and operation.op == "add" and (key := Constraint.of(values[0]).key.casefold()):
        standing = [one for one in draft.items(field) if Constraint.of(one).key.casefold() == key and one != values[0]]
    else:
        return False
    open_now = next((one for one in draft.conflicts if one.field == field), None)
    about = {one.value or one.quote: one for one in draft.evidence if one.field == field and one.author != source.author}
    sides = open_now.sides if open_now else [about[one] for one in standing if one in about]
    if field == "issue_type" or not sides:
        return False
    mine = said.model_copy(update={"value": values[0]})
    others = [one for one in sides if one.author != source.author]
    sides = [*(one.model_copy(update={"value": one.value or one.quote}) for one in others), mine]
    draft.conflicts = [one for one in draft.conflicts if one.field != field]
    if len({one.value.casefold() for one in sides}) == 1:  # they agree by now
        return False
    draft.conflicts.append(Conflict(field=field, sides=sides))
    return True


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
