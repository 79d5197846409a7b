"""The forms that people fill in about a ticket: its draft as a modal and back, and a comment.

A draft's form remembers a digest of every value it was opened with. When it comes back, only what its author changed is
taken; what somebody else changed meanwhile is shown, and nothing is overwritten.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent.draft import CUSTOM, ISSUE_TYPES, LISTS, TITLE_LIMIT, TicketDraft
from agent.operations import Operation
from agent.templates import FIELDS_OF
from slack_adapter.naming import TYPES, label
from slack_adapter.pieces import Block, context, plain, section
from slack_adapter.text import cut, escape

INPUT_LIMIT = 3_000
"""Characters that an input of Slack's can hold; longer values stay as they are."""

KEPT_LIMIT = 3_000
"""Characters that a view can carry along."""

VIEW_BLOCKS = 100
EDIT, COMMENT = "edit_form", "comment_form"
FORM_FIELDS = (
    "title", "issue_type", "who", "what", "why", "problem", "steps", "expected", "actual", "environment", "acceptance_criteria",
    "proposed_solution", "constraints", "dependencies", "risks", "open_questions", "priority", "labels", "assignee", "epic_id",
)  # fmt: skip
OF_A_TYPE = {field for fields in FIELDS_OF.values() for field in fields}
ONE_LINE = ("title", "priority", "labels", "assignee", "epic_id")
HINTS = {
    "issue_type": "A bug and a story have fields of their own: they are here once the type is saved.",
    "steps": "One step a line.",
    "acceptance_criteria": "One criterion a line.",
    "constraints": "One a line, such as “latency: under 200 ms”.",
    "dependencies": "One a line.",
    "risks": "One a line.",
    "open_questions": "One a line.",
    "labels": "Separated by commas.",
}

View = dict[str, Any]


def as_text(draft: TicketDraft, field: str) -> str:
    """What a field holds, as it stands in an input."""
    if field.startswith(CUSTOM):
        return draft.custom.get(field.removeprefix(CUSTOM), "")
    value = getattr(draft, field)
    if field == "labels":
        return ", ".join(value)
    if field == "constraints":
        return "\n".join(f"{one.key}: {one.value}" if one.key else one.value for one in value)
    return "\n".join(value) if field in LISTS else str(value)


def joined(field: str, value: Sequence[str]) -> str:
    """Values as they stand in an input."""
    return (", " if field == "labels" else "\n").join(value)


def fits(draft: TicketDraft, field: str) -> bool:
    """Whether an input can hold the value and give it back as it is."""
    text = as_text(draft, field)
    if len(text) > INPUT_LIMIT:
        return False
    items = items_of(field, text)
    if field == "constraints":
        return len(items) == len(draft.constraints)
    if field in LISTS:
        return bool(items == getattr(draft, field))
    return field not in ONE_LINE or "\n" not in text


def items_of(field: str, text: str) -> list[str]:
    """The values that an input's text stands for."""
    if field == "labels":
        return [item.strip() for item in text.replace("\n", ",").split(",") if item.strip()]
    if field in LISTS:
        return [item.strip() for item in text.split("\n") if item.strip()]
    return [text.strip()] if text.strip() else []


def edit_form(
    session_id: str,
    draft: TicketDraft,
    *,
    missing: bool = False,
    typed: Sequence[Operation] = (),
    contested: Collection[str] = (),
) -> View:
    """The draft as a modal.

    `missing`: only what is still empty. `typed`: what its reader has entered before, as operations. `contested`: the fields
    among these that somebody else has changed meanwhile.
    """
    entered = {one.field: joined(one.field, one.value) for one in typed if one.op == "set"}
    fields = [*_fields_of(draft), *(f"{CUSTOM}{name}" for name in draft.custom)]
    if missing:
        fields = [field for field in fields if not as_text(draft, field)] or fields
        fields.sort(key=lambda field: field not in draft.missing())
    blocks: list[Block] = []
    base: dict[str, str] = {}
    for field in fields:
        if len(_kept(session_id, base | {field: draft.digest(field)}, entered)) > KEPT_LIMIT or len(blocks) > VIEW_BLOCKS - 5:
            blocks.append(context("There are more custom fields, which stay as they are: change them by a message."))
            break
        if field in contested:
            now = escape(cut(as_text(draft, field) or "(nothing)", 1000))
            blocks.append(section(f":warning: *{escape(label(field))}* was changed meanwhile. It now says:\n{now}"))
            blocks.append(context("Below is what you entered. Save again to put it in its place, or change it."))
        if not fits(draft, field) and field not in entered:
            size = f"{len(as_text(draft, field)):,} characters"
            blocks.append(
                context(
                    f"*{escape(label(field))}* ({size}) does not fit into a form and stays as it is: change it by a message."
                )
            )
            continue
        base[field] = draft.digest(field)
        blocks.append(_input(draft, field, entered.get(field)))
    if draft.attachments and not missing:
        blocks.append(_files(draft, {key for one in typed if one.op == "remove" for key in one.value}))
    return {
        "type": "modal",
        "callback_id": EDIT,
        "title": plain("Fill in the rest" if missing else "Request changes"),
        "submit": plain("Save"),
        "close": plain("Cancel"),
        "private_metadata": _kept(session_id, base, entered),
        "blocks": blocks,
    }


def _fields_of(draft: TicketDraft) -> list[str]:
    """The fields that a ticket of its type has a use for, and those of others that hold something."""
    own = FIELDS_OF[draft.issue_type]
    return [field for field in FORM_FIELDS if field not in OF_A_TYPE or field in own or as_text(draft, field)]


def _kept(session_id: str, base: Mapping[str, str], typed: Collection[str]) -> str:
    """What a form carries along: its session, the digests it was opened with, and which values are its reader's own."""
    return json.dumps({"s": session_id, "b": base, "c": list(typed)}, separators=(",", ":"), ensure_ascii=False)


def _input(draft: TicketDraft, field: str, typed: str | None) -> Block:
    value = as_text(draft, field) if typed is None else typed
    element: dict[str, Any]
    if field == "issue_type":
        options = [{"text": plain(TYPES[kind]), "value": kind} for kind in ISSUE_TYPES]
        chosen = next((one for one in options if one["value"] == value), options[0])
        element = {"type": "static_select", "action_id": "value", "options": options, "initial_option": chosen}
    else:
        limit = TITLE_LIMIT if field == "title" else INPUT_LIMIT
        multiline = field not in ONE_LINE
        element = {"type": "plain_text_input", "action_id": "value", "multiline": multiline, "max_length": limit}
        if value:
            element["initial_value"] = value[:limit]
    block: Block = {
        "type": "input",
        "block_id": field,
        "label": plain(cut(label(field), 100)),
        "element": element,
        "optional": field not in ("title", "issue_type"),
    }
    if field in HINTS:
        block["hint"] = plain(HINTS[field])
    return block


def _files(draft: TicketDraft, unticked: Collection[str]) -> Block:
    options = [{"text": plain(cut(file.name or file.id, 75)), "value": file.id} for file in draft.attachments[:10]]
    element: dict[str, Any] = {"type": "checkboxes", "action_id": "value", "options": options}
    if ticked := [option for option in options if option["value"] not in unticked]:
        element["initial_options"] = ticked
    name = plain("Files that go with the ticket")
    return {"type": "input", "block_id": "attachments", "label": name, "element": element, "optional": True}


class Edited:
    """A form that came back."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        """Raises ValueError if it is none of ours, or of another version of the app."""
        try:
            kept = json.loads(view["private_metadata"])
            self.session_id, self._contested = str(kept["s"]), list(kept.get("c", []))
            self._base = {str(field): str(digest) for field, digest in kept["b"].items()}
            elements = {block["block_id"]: block["element"] for block in view["blocks"] if block.get("type") == "input"}
            self._files = [str(option["value"]) for option in elements.get("attachments", {}).get("options", [])]
            self._before = {field: _initial(element) for field, element in elements.items()}
            self._values = {field: value_of(state) for field, state in states(view) if field in elements}
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("no form of this version") from error

    def operations(self, draft: TicketDraft) -> tuple[list[Operation], list[Operation]]:
        """What its author changed, as operations on the draft as it is now; and those where others were faster."""
        changed: list[Operation] = []
        conflicts: list[Operation] = []
        for field, entered in self._values.items():
            if field == "attachments":
                if gone := [key for key in self._files if key not in entered]:
                    changed.append(Operation(op="remove", field=field, value=gone))
                continue
            if field not in self._base or not isinstance(entered, str) or items_of(field, entered) == self._opened(field):
                continue
            if items_of(field, entered) == items_of(field, as_text(draft, field)):
                continue
            mine = Operation(field=field, value=items_of(field, entered), over=self._base[field])
            (changed if draft.digest(field) == self._base[field] else conflicts).append(mine)
        return changed, conflicts

    def _opened(self, field: str) -> list[str] | None:
        """What stood in the input when the form was opened; None where that was its author's own."""
        if field in self._contested:
            return None
        return items_of(field, self._before[field])


def _initial(element: Mapping[str, Any]) -> str:
    return str(element.get("initial_value") or (element.get("initial_option") or {}).get("value") or "")


def states(view: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What a form that came back holds: each input's block id, and its state."""
    values = view["state"]["values"]
    return [(field, next(iter(actions.values()), {})) for field, actions in values.items()]


def value_of(state: Mapping[str, Any]) -> Any:
    """What an input of any kind holds: a text, or a list of texts."""
    match state["type"]:
        case "static_select" | "radio_buttons":
            return (state.get("selected_option") or {}).get("value") or ""
        case "checkboxes":
            return [option["value"] for option in state.get("selected_options") or []]
        case "multi_users_select":
            return list(state.get("selected_users") or [])
    return str(state.get("value") or "")


# --- Comments ----------------------------------------------------------------------------------------------------------


def comment_form(session_id: str, ticket: str) -> View:
    """A comment on a filed ticket."""
    element = {"type": "plain_text_input", "action_id": "value", "multiline": True, "max_length": INPUT_LIMIT}
    return {
        "type": "modal",
        "callback_id": COMMENT,
        "title": plain("Add a comment"),
        "submit": plain("Add"),
        "close": plain("Cancel"),
        "private_metadata": json.dumps({"s": session_id, "k": ticket}),
        "blocks": [{"type": "input", "block_id": "text", "label": plain(cut(f"Comment on {ticket}", 100)), "element": element}],
    }


def read_comment(view: Mapping[str, Any]) -> tuple[str, str, str]:
    """The session, the ticket's key, and the comment. Raises ValueError if it is no form of this version."""
    try:
        kept = json.loads(view["private_metadata"])
        text = str(value_of(dict(states(view))["text"]))
        if not text.strip():
            raise ValueError("an empty comment")
        return str(kept["s"]), str(kept["k"]), text
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no form of this version") from error
