"""The form of `/signoff setup`: what is settled for a channel, as a modal and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from slack_adapter.forms import INPUT_LIMIT, View, items_of, states, value_of
from slack_adapter.naming import TYPES, name_of
from slack_adapter.pieces import Block, plain
from slack_adapter.settings import ChannelSetting

SETUP = "setup_form"
WRONG: dict[tuple[int | str, ...], str] = {
    ("project",): "A project's key begins with a letter or digit, and has letters, digits and . _ / - only.",
    ("approvers",): "Name at least one person or group below: nobody else could approve.",
    ("approvers", "groups"): "User groups are named by their ids, which begin with S: in Slack, copy the group's link.",
}
"""What may be wrong with what was entered, and what to do."""
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
        _choice("tracker", "Tracker", {name: name_of(name) for name in trackers}, setting.tracker),
        _line("project", "Project", setting.project, hint="Its key, such as OPS or acme/web. Open cards follow, and ask anew."),
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
        entered = {field: value_of(state) for field, state in states(view)}
        ticked = entered["options"]
        rule = {
            "who": entered["who"],
            "people": entered["people"],
            "groups": items_of("labels", entered["groups"]),
            "not_requester": "not_requester" in ticked,
        }
        given = {name: entered[name] for name in ("tracker", "project", "assignee", "open_to")}
        given["issue_type"] = "" if entered["issue_type"] == "none" else entered["issue_type"]
        given["labels"] = items_of("labels", entered["labels"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no form of this version") from error
    try:
        return team, channel, ChannelSetting.model_validate({**given, "approvers": rule}), "home" in ticked, {}
    except ValidationError as error:
        wrong = {}
        for one in error.errors():
            where = one["loc"][:2] if one["loc"][0] == "approvers" else one["loc"][:1]
            if where not in WRONG:
                raise ValueError("no form of this version") from error
            wrong[str(where[-1]).replace("approvers", "who")] = WRONG[where]
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
