"""What Jira's fields take: a draft filled into those of a type, what there is none for, and what has to be asked."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agent.draft import CUSTOM, TicketDraft
from agent.projects import OPTIONS, Kind, Project, ProjectField, TicketType
from agent.protocol import Question
from skills.trackers import adf, wiki
from skills.trackers.body import Block, document, text_blocks

TEXT_LIMIT = 32_767
"""Characters in a description. What Cloud counts is not documented: some saw the document's JSON refused above this, others
saw longer ones stored; so the JSON is counted, which is never too little. Data Center counts the markup."""

ROOM = 1_500
"""Characters of that which are left for the receipt."""

LINE_LIMIT = 255
"""Characters in a label, and in a field of one line."""

FEW = 12
"""Options or fields that a question names."""

KEY = re.compile(r"([A-Z][A-Z0-9_]+)-[1-9][0-9]*")

_ACCOUNT = re.compile(r"(?=.*[0-9])[0-9a-zA-Z]{24}|[0-9a-zA-Z]+(:[0-9a-zA-Z-]{8,})+")

_ELSEWHERE = ("project", "issuetype", "summary", "description", "reporter", "attachment")
"""Fields that are not filled in by name."""

_KINDS: dict[tuple[str, str], Kind] = {
    ("string", ""): "text", ("number", ""): "number", ("date", ""): "date", ("user", ""): "user", ("option", ""): "option",
    ("priority", ""): "option", ("securitylevel", ""): "option", ("array", "option"): "options",
    ("array", "component"): "options", ("array", "version"): "options", ("array", "string"): "labels",
}  # fmt: skip
"""What a field takes, by the type of its schema and of the items in it."""


@dataclass
class Form:
    """A draft filled into a type's fields: what is sent, what there is no field for, and what has to be asked."""

    kind: TicketType
    cloud: bool
    parts: dict[str, Any] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    def ask(self, name: str, text: str) -> None:
        """Asks for what the draft knows by this name."""
        self.questions.append(Question(field=name, text=text))

    def put(self, name: str, to: ProjectField, text: str) -> None:
        """Fills a field in, or asks for what it needs."""
        if not text:
            if to.required:
                self.ask(name, f"Jira wants {to.name} for a {self.kind.name}: {_wanted(to)}.")
            return
        try:
            self.parts[to.id] = _value(to, text, self.cloud)
        except ValueError as problem:
            self.ask(name, f"{to.name} {problem}.")

    def body(self, draft: TicketDraft) -> Any:
        """The description, in the tracker's form."""
        return written(document(draft, self.details), self.cloud)


def filled(draft: TicketDraft, project: Project, kind: TicketType) -> Form:
    """The draft in a type's fields."""
    form = Form(kind, project.form == "cloud")
    by_id = {one.id: one for one in kind.fields}
    epic = next((one for one in kind.fields if one.kind == "epic"), None)
    own = {"priority": by_id.get("priority"), "assignee": by_id.get("assignee"), "epic_id": epic}
    for name, to in own.items():
        value = getattr(draft, name)
        nobody = name == "assignee" and form.cloud and not _ACCOUNT.fullmatch(value)
        if to and (to.required or not nobody):
            form.put(name, to, value)
        elif value:
            form.details[name.removesuffix("_id").capitalize()] = value
    _fill_labels(form, draft, by_id.get("labels"))
    others = [one for one in kind.fields if one.id != "labels" and one not in own.values()]
    given: dict[str, str] = {}
    for name, value in draft.custom.items():
        to = next((one for one in others if one.id == name or one.name.casefold() == name.casefold()), None)
        remove = f"To take it off, send `/edit {CUSTOM}{name}=`."
        if not to:
            form.ask(CUSTOM + name, f"Jira has no field {name} for a {kind.name}; {_named('it has', others)}. {remove}")
        elif to.id in given:
            form.ask(CUSTOM + name, f"{name} is the same field as {given[to.id]}. {remove}")
        else:
            given[to.id] = name
            form.put(CUSTOM + name, to, value)
    for one in others:
        if one.id not in given:
            form.put(CUSTOM + one.name, one, "")
    return form


def _fill_labels(form: Form, draft: TicketDraft, to: ProjectField | None) -> None:
    """The labels are there even if there are none: the marker is put beside them."""
    if not to:
        form.details |= {"Labels": ", ".join(draft.labels)} if draft.labels else {}
        return
    form.parts["labels"] = list(dict.fromkeys(draft.labels))
    for label in draft.labels:
        if problem := _label_problem(label):
            form.ask("labels", f"The label {label!r} {problem}.")
    if to.required and not draft.labels:
        form.ask("labels", f"Jira wants labels for a {form.kind.name}: say at least one.")


def _label_problem(label: str) -> str:
    if re.search(r"\s", label):
        return "has a space in it, which Jira does not take: write it with a hyphen"
    return f"has more than {LINE_LIMIT} characters" if units(label) > LINE_LIMIT else ""


def _value(to: ProjectField, text: str, cloud: bool) -> Any:
    """A field's value as Jira takes it. Raises ValueError with how a sentence about the field ends."""
    named = "value" if to.id.startswith("customfield_") else "name"
    match to.kind:
        case "text" if "\n" in text:
            raise ValueError("is one line")
        case "text" if units(text) > LINE_LIMIT:
            raise ValueError(f"has {units(text):,} characters, and {LINE_LIMIT} go in: shorten it")
        case "text":
            return text
        case "paragraph":
            body = written(text_blocks(text), cloud)
            if (length := size(body)) > TEXT_LIMIT:
                raise ValueError(f"has {length:,} characters with its markup, and {TEXT_LIMIT:,} go in: shorten it")
            return body
        case "number" if re.fullmatch(r"[+-]?[0-9]{1,15}", text):
            return int(text)
        case "date" if _is_date(text):
            return text
        case "option":
            return {named: _option(to, text)}
        case "options":
            whole = text.casefold() in map(str.casefold, to.options)  # a comma may be part of a name
            return [{named: _option(to, one.strip())} for one in ([text] if whole else text.split(",")) if one.strip()]
        case "labels":
            labels = [one.strip() for one in text.split(",") if one.strip()]
            if problem := next(filter(None, map(_label_problem, labels)), ""):
                raise ValueError(problem)
            return labels
        case "user" if not cloud:
            return {"name": text}
        case "user" if _ACCOUNT.fullmatch(text):
            return {"accountId": text}
        case "epic" if KEY.fullmatch(text.upper()):
            return {"key": text.upper()} if cloud else text.upper()
    raise ValueError(f"cannot be {text[:LINE_LIMIT]!r}: {_wanted(to)}")


def _is_date(text: str) -> bool:
    with suppress(ValueError):
        return date.fromisoformat(text).isoformat() == text
    return False


def _option(to: ProjectField, text: str) -> str:
    """The option in Jira's spelling; one that is not known may still be there if not all of them are."""
    for option in (text, *to.options):
        if option.casefold() == text.casefold() and option in to.options:
            return option
    if 0 < len(to.options) < OPTIONS:
        raise ValueError(f"has no option {text!r}: {_wanted(to)}")
    return text


def _wanted(to: ProjectField) -> str:
    """How to answer for a field."""
    match to.kind:
        case "option" | "options" if 0 < len(to.options) <= FEW:
            return f"say {'one' if to.kind == 'option' else 'some, with commas between them,'} of {', '.join(to.options)}"
        case "number":
            return "say a whole number"
        case "date":
            return "say a date, as in 2026-12-31"
        case "user":
            return "say the person's user name, or on Cloud the account id, as in 5b10ac8d82e05b22cc7d4ef5"
        case "epic":
            return "say its key, as in OPS-7"
        case "other":
            return "that cannot be filled in from here, so an operator has to make it optional or give it a default"
    return "say what it is"


def _named(said: str, fields: Sequence[ProjectField]) -> str:
    names = [one.name for one in fields if one.kind != "other"][:FEW]
    return f"{said} {', '.join(names)}" if names else f"{said} none of its own"


def described(said: Mapping[str, Any], cloud: bool) -> ProjectField | None:
    """A field of a create screen; None for one that cannot be filled in and need not be."""
    number, schema = str(said.get("fieldId") or said.get("key") or ""), said.get("schema") or {}
    required = bool(said.get("required")) and not said.get("hasDefaultValue")
    kind = kind_of(number, schema, cloud)
    if number in _ELSEWHERE or (kind == "other" and not required):
        return None
    values = said.get("allowedValues") or [] if kind in ("option", "options") else []
    options = [name for each in values if (name := str(each.get("value") or each.get("name") or ""))][:OPTIONS]
    return ProjectField(id=number, name=str(said.get("name") or number), kind=kind, required=required, options=options)


def kind_of(number: str, schema: Mapping[str, Any], cloud: bool) -> Kind:
    """What a field takes, by its id and schema."""
    custom = str(schema.get("custom") or "")
    if (number == "parent" and cloud) or (custom.endswith(":gh-epic-link") and not cloud):
        return "epic"
    if custom.endswith(":textarea") or number == "environment":
        return "paragraph"
    kind = "labels" if number == "labels" else _KINDS.get((str(schema.get("type")), str(schema.get("items") or "")), "other")
    if kind == "labels" and number != "labels" and not custom.endswith(":labels"):
        return "other"
    return "other" if custom and schema.get("items") in ("component", "version") else kind


def written(blocks: Iterable[Block], cloud: bool) -> Any:
    """A text in the form that Cloud or Data Center keeps."""
    return adf.document(blocks) if cloud else wiki.markup(blocks)


def size(body: Any) -> int:
    """The characters of a text in that form, as they are counted against `TEXT_LIMIT`."""
    return units(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":")))


def units(text: str) -> int:
    """A text's length in UTF-16, as Java counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
