"""The forms: a draft as a modal and back, and the settings of a channel.

A form remembers a digest of every value it was opened with. When it comes back, only what its author changed is taken; what
somebody else changed meanwhile is shown, and nothing is overwritten.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from agent.draft import CUSTOM, ISSUE_TYPES, LISTS, TITLE_LIMIT, Operation, TicketDraft
from slack_adapter.blocks import TYPES, label
from slack_adapter.pieces import Block, context, plain, section
from slack_adapter.settings import Approvers, ChannelSetting
from slack_adapter.text import cut, escape

INPUT_LIMIT = 3_000
"""Characters that an input of Slack's can hold; longer values stay as they are."""

KEPT_LIMIT = 3_000
"""Characters that a view can carry along."""

VIEW_BLOCKS = 100
EDIT, SETUP, COMMENT = "edit_form", "setup_form", "comment_form"
FORM_FIELDS = (
    "title", "issue_type", "problem", "acceptance_criteria", "proposed_solution", "constraints", "dependencies", "risks",
    "open_questions", "priority", "labels", "assignee", "epic_id",
)  # fmt: skip
ONE_LINE = ("title", "priority", "labels", "assignee", "epic_id")
HINTS = {
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
    items = _items(field, text)
    if field == "constraints":
        return len(items) == len(draft.constraints)
    if field in LISTS:
        return bool(items == getattr(draft, field))
    return field not in ONE_LINE or "\n" not in text


def _items(field: str, text: str) -> list[str]:
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
    fields = [*FORM_FIELDS, *(f"{CUSTOM}{name}" for name in draft.custom)]
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
            self.session_id, self._base, self._contested = str(kept["s"]), dict(kept["b"]), list(kept.get("c", []))
            self._blocks = {block["block_id"]: block for block in view["blocks"] if block.get("type") == "input"}
            self._values = {field: _value(state) for field, state in _states(view) if field in self._blocks}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no form of this version") from error

    def operations(self, draft: TicketDraft) -> tuple[list[Operation], list[Operation]]:
        """What its author changed, as operations on the draft as it is now; and those where others were faster."""
        changed: list[Operation] = []
        conflicts: list[Operation] = []
        for field, entered in self._values.items():
            if field == "attachments":
                shown = [option["value"] for option in self._blocks[field]["element"]["options"]]
                if gone := [key for key in shown if key not in entered]:
                    changed.append(Operation(op="remove", field=field, value=gone))
                continue
            if field not in self._base or not isinstance(entered, str) or _items(field, entered) == self._opened(field):
                continue
            if _items(field, entered) == _items(field, as_text(draft, field)):
                continue
            mine = Operation(field=field, value=_items(field, entered), over=self._base[field])
            (changed if draft.digest(field) == self._base[field] else conflicts).append(mine)
        return changed, conflicts

    def _opened(self, field: str) -> list[str] | None:
        """What stood in the input when the form was opened; None where that was its author's own."""
        if field in self._contested:
            return None
        element = self._blocks[field]["element"]
        before = element.get("initial_value") or (element.get("initial_option") or {}).get("value") or ""
        return _items(field, str(before))


def _states(view: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    values = view["state"]["values"]
    return [(field, next(iter(actions.values()), {})) for field, actions in values.items()]


def _value(state: Mapping[str, Any]) -> Any:
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
        text = str(_value(dict(_states(view))["text"]))
        if not text.strip():
            raise ValueError("an empty comment")
        return str(kept["s"]), str(kept["k"]), text
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no form of this version") from error


# --- Settings ----------------------------------------------------------------------------------------------------------

WHO = {
    "members": "Full members of this channel",
    "workspace": "Every full member of the workspace",
    "listed": "Only the people and groups named below",
}
OPEN_TO = {"everyone": "More people than this channel", "channel": "Nobody who cannot read this channel"}


def setup_form(team: str, channel: str, setting: ChannelSetting, trackers: Sequence[str], *, home: bool) -> View:
    """What is settled for a channel, as a modal."""
    rule = setting.approvers
    chosen = {"type": setting.issue_type or "none"}
    kinds = {"none": "As the conversation says", **TYPES}
    blocks = [
        _choice("tracker", "Tracker", {name: name.capitalize() for name in trackers}, setting.tracker),
        _line("project", "Project", setting.project, hint="Its key, such as OPS. Open cards follow, and ask anew."),
        _choice("issue_type", "Type", kinds, chosen["type"]),
        _line("labels", "Labels", ", ".join(setting.labels), hint="Separated by commas.", optional=True),
        _line("assignee", "Assignee", setting.assignee, optional=True),
        _choice("open_to", "Who can read that project", OPEN_TO, setting.open_to),
        _choice("who", "Who may approve", WHO, rule.who),
        {
            "type": "input",
            "block_id": "people",
            "optional": True,
            "label": plain("These people, too (also guests)"),
            "element": {"type": "multi_users_select", "action_id": "value"}
            | ({"initial_users": rule.people} if rule.people else {}),
        },
        _line("groups", "These user groups, too", ", ".join(rule.groups), hint="Their ids, such as S0123ABC.", optional=True),
        _ticks({
            "not_requester": ("Somebody else than who asked has to approve", rule.not_requester),
            "home": ("Cards of direct messages come here if who asked may not approve", home),
        }),
    ]  # fmt: skip
    return {
        "type": "modal",
        "callback_id": SETUP,
        "title": plain("Signoff here"),
        "submit": plain("Save"),
        "close": plain("Cancel"),
        "private_metadata": json.dumps({"t": team, "c": channel}),
        "blocks": blocks,
    }


def read_setup(view: Mapping[str, Any]) -> tuple[str, str, ChannelSetting, bool, dict[str, str]]:
    """The team, the channel, what was entered, whether it is home to direct messages, and what is wrong, by block.

    Raises ValueError if it is no form of this version.
    """
    try:
        kept = json.loads(view["private_metadata"])
        team, channel = str(kept["t"]), str(kept["c"])
        entered = {field: _value(state) for field, state in _states(view)}
        ticked = entered["options"]
        rule = Approvers(
            who=entered["who"],
            people=entered["people"],
            groups=_items("labels", entered["groups"]),
            not_requester="not_requester" in ticked,
        )
        given = {name: entered[name] for name in ("tracker", "project", "assignee", "open_to")}
        given["issue_type"] = "" if entered["issue_type"] == "none" else entered["issue_type"]
        given["labels"] = _items("labels", entered["labels"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no form of this version") from error
    try:
        return team, channel, ChannelSetting.model_validate({**given, "approvers": rule}), "home" in ticked, {}
    except ValidationError as error:
        if any(one["loc"][0] != "project" for one in error.errors()):
            raise ValueError("no form of this version") from error
        wrong = {"project": "A project's key begins with a letter and has letters, digits and . _ / - only."}
        return team, channel, ChannelSetting(), False, wrong


def _line(field: str, name: str, value: str, hint: str = "", *, optional: bool = False) -> Block:
    element: dict[str, Any] = {"type": "plain_text_input", "action_id": "value", "max_length": INPUT_LIMIT}
    if value:
        element["initial_value"] = value
    block: Block = {"type": "input", "block_id": field, "label": plain(name), "element": element, "optional": optional}
    return block | ({"hint": plain(hint)} if hint else {})


def _choice(field: str, name: str, choices: Mapping[str, str], chosen: str) -> Block:
    options = [{"text": plain(text), "value": value} for value, text in choices.items()]
    initial = next((one for one in options if one["value"] == chosen), options[0])
    element = {"type": "static_select", "action_id": "value", "options": options, "initial_option": initial}
    return {"type": "input", "block_id": field, "label": plain(name), "element": element}


def _ticks(choices: Mapping[str, tuple[str, bool]]) -> Block:
    options = {value: {"text": plain(text), "value": value} for value, (text, _) in choices.items()}
    ticked = [options[value] for value, (_, on) in choices.items() if on]
    element: dict[str, Any] = {"type": "checkboxes", "action_id": "value", "options": list(options.values())}
    if ticked:
        element["initial_options"] = ticked
    return {"type": "input", "block_id": "options", "label": plain("Besides"), "element": element, "optional": True}
