import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.block_kit import characters, problems

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests" / "block_kit" / "schema.json").read_text())


def plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words}


def mrkdwn(words: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": words}


def message(*blocks: Any, text: str = "A draft to approve") -> dict[str, Any]:
    return {"text": text, "blocks": list(blocks)}


def modal(*blocks: Any, **more: Any) -> dict[str, Any]:
    return {"type": "modal", "title": plain("Edit the draft"), "blocks": list(blocks), **more}


def header(words: str = "OPS-1") -> dict[str, Any]:
    return {"type": "header", "text": plain(words)}


def section(words: str = "*Problem*", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": mrkdwn(words), **more}


def actions(*elements: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def context(*elements: Any) -> dict[str, Any]:
    return {"type": "context", "elements": list(elements)}


def button(words: str = "Approve", **more: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(words), **more}


def confirm(**more: Any) -> dict[str, Any]:
    return {"title": plain("File it?"), "text": mrkdwn("_Once_"), "confirm": plain("File"), "deny": plain("Back"), **more}


def label(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "input", "label": plain("Label"), "element": {"type": kind, "action_id": "a", **more}}


def option(words: str = "High", **more: Any) -> dict[str, Any]:
    return {"text": plain(words), "value": words, **more}


def rich(*elements: Any, kind: str = "rich_text_section", **more: Any) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": list(elements), **more}]}


def words(text: str = "It answers 500.", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


def items(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "rich_text_section", "elements": [words(text)]} for text in texts]


IMAGE = {"type": "image", "image_url": "https://example.com/a.png", "alt_text": "A chart"}
SUBMIT = {"submit": plain("Save"), "close": plain("Cancel")}

FINE = {
    "text only": {"text": "Filed as OPS-1"},
    "what else a message has": {**message(header()), "channel": "C1", "thread_ts": "1.2", "metadata": {"event_type": "x"}},
    "header": message(header("h" * 150)),
    "section": message(section("s" * 3000, block_id="b" * 255, expand=True)),
    "characters are code points": message(header("🎫" * 150)),
    "fields": message({"type": "section", "fields": [mrkdwn("f" * 900)] * 10}),
    "accessory": message(section(accessory=button(action_id="open")), section(accessory=IMAGE)),
    "context": message(context(mrkdwn("v2"), IMAGE, *[plain("by Ann")] * 8)),
    "buttons": message(
        actions(
            button("b" * 75, action_id="approve", style="primary", value="v" * 2000, confirm=confirm(style="danger")),
            button(action_id="reject", style="danger", accessibility_label="Reject version 2"),
            button(url="https://example.com/OPS-1", action_id="link"),
            button(url="slack://channel?team=T1&id=C1", action_id="channel"),
        )
    ),
    "the same action in two blocks": message(actions(button(action_id="a")), actions(button(action_id="a"))),
    "divider": message({"type": "divider"}, {"type": "divider", "block_id": "d"}),
    "image": message({**IMAGE, "title": plain("Before")}, {"type": "image", "slack_file": {"id": "F1"}, "alt_text": ""}),
    "rich text": message(
        rich(
            words(style={"bold": True, "italic": True, "strike": True, "code": True}),
            {"type": "link", "url": "https://example.com", "text": "here"},
            {"type": "user", "user_id": "U1"},
            {"type": "emoji", "name": "tada"},
            {"type": "channel", "channel_id": "C1"},
            {"type": "date", "timestamp": 1720000000, "format": "{date}", "fallback": "then"},
        )
    ),
    "rich text lists": message(
        rich(*items("It finishes", "It is logged"), kind="rich_text_list", style="bullet"),
        rich(*items("First"), kind="rich_text_list", style="ordered", indent=8, border=1),
    ),
    "preformatted and quoted": message(rich(words(), kind="rich_text_preformatted"), rich(words(), kind="rich_text_quote")),
    "actions that choose": message(
        actions(
            {"type": "static_select", "action_id": "s", "options": [option()], "initial_option": option()},
            {"type": "users_select", "action_id": "u", "initial_user": "U1", "placeholder": plain("p" * 150)},
            {"type": "overflow", "action_id": "o", "options": [option("Web", url="https://example.com")]},
        )
    ),
    "50 blocks": message(*[{"type": "divider"}] * 50),
    "modal": modal(section(), callback_id="edit", private_metadata="m" * 3000, external_id="e", clear_on_close=True),
    "text inputs": modal(
        label("plain_text_input", initial_value="Export fails", max_length=3000, min_length=1, focus_on_load=True),
        {**label("plain_text_input", multiline=True, placeholder=plain("What?")), "optional": True, "hint": plain("All of it")},
        label("plain_text_input", dispatch_action_config={"trigger_actions_on": ["on_enter_pressed"]}),
        **SUBMIT,
    ),
    "inputs that choose": modal(
        label("static_select", options=[option(str(n), value="v" * 150) for n in range(100)]),
        label("static_select", option_groups=[{"label": plain("Group"), "options": [option()]}], initial_option=option()),
        label("multi_static_select", options=[option(), option("Low")], initial_options=[option("Low")], max_selected_items=2),
        label("users_select"),
        label("multi_users_select", initial_users=["U1"]),
        label("channels_select", initial_channel="C1"),
        label("conversations_select", filter={"include": ["public"]}, default_to_current_conversation=True),
        label("checkboxes", options=[option(description=plain("d" * 75)), {"text": mrkdwn("*Low*"), "value": "low"}]),
        label("radio_buttons", options=[option(str(n)) for n in range(10)], initial_option=option("9")),
        **SUBMIT,
    ),
    "home": {"type": "home", "blocks": [header(), section(), actions(button())] * 33, "callback_id": "home"},
}

REFUSED: list[tuple[Any, str]] = [
    ("hello", "is no object"),
    ({"blocks": []}, "lacks text"),
    (message(text=""), "text is empty"),
    (message(text="t" * 4001), "text is longer than 4000"),
    (message(*[{"type": "divider"}] * 51), "blocks has more than 50 items"),
    (message({"text": plain("x")}), "blocks[0]: has no type"),
    (message({"type": "title"}), "blocks[0] title: is of type 'title', which cannot stand here"),
    (message({"type": "divider", "text": "x"}), "blocks[0] divider: has unknown text"),
    (message({"type": "divider", "block_id": "b" * 256}), "blocks[0] divider: block_id is longer than 255"),
    (message(section(block_id="b"), header() | {"block_id": "b"}), "blocks[1] header: block_id 'b' is there twice"),
    (message({"type": "header"}), "blocks[0] header: lacks text"),
    (message(header("h" * 151)), "blocks[0] header: text.text is longer than 150"),
    (message({"type": "header", "text": mrkdwn("x")}), "blocks[0] header: text.type is 'mrkdwn', not 'plain_text'"),
    (message({"type": "header", "text": "x"}), "blocks[0] header: text is no object"),
    (message(header(), header(), section("s" * 3001)), "blocks[2] section: text.text is longer than 3000"),
    (message(section("")), "blocks[0] section: text.text is empty"),
    (message({"type": "section"}), "blocks[0] section: needs text or fields"),
    (message(section(fields=[])), "blocks[0] section: fields is empty"),
    (message(section(fields=[plain("x")] * 11)), "blocks[0] section: fields has more than 10 items"),
    (message(section(fields=[plain("x"), plain("f" * 2001)])), "blocks[0] section: fields[1].text is longer than 2000"),
    (
        message(section(accessory={"type": "plain_text_input"})),
        "blocks[0] section: accessory is of type 'plain_text_input', which cannot stand here",
    ),
    (message(context()), "blocks[0] context: elements is empty"),
    (message(context(*[plain("x")] * 11)), "blocks[0] context: elements has more than 10 items"),
    (message(actions()), "blocks[0] actions: elements is empty"),
    (message(actions(*[button()] * 26)), "blocks[0] actions: elements has more than 25 items"),
    (
        message(actions(button(action_id="a"), button(action_id="a"))),
        "blocks[0] actions: elements[1].action_id 'a' is there twice",
    ),
    (message(actions(button(action_id="a" * 256))), "blocks[0] actions: elements[0].action_id is longer than 255"),
    (message(actions(button("b" * 76))), "blocks[0] actions: elements[0].text.text is longer than 75"),
    (message(actions(button(value="v" * 2001))), "blocks[0] actions: elements[0].value is longer than 2000"),
    (message(actions(button(style="default"))), "blocks[0] actions: elements[0].style is 'default', none of danger, primary"),
    (message(actions(button(url="javascript:x"))), "blocks[0] actions: elements[0].url is no http, https or slack address"),
    (message(actions(button(url="https://e.x/" + "u" * 3000))), "blocks[0] actions: elements[0].url is longer than 3000"),
    *[
        (
            message(actions(button(confirm=confirm(**{part: plain("x" * (most + 1))})))),
            f"blocks[0] actions: elements[0].confirm.{part}.text is longer than {most}",
        )
        for part, most in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)]
    ],
    (message({**IMAGE, "slack_file": {"id": "F1"}}), "blocks[0] image: needs one of image_url, slack_file"),
    (message({**IMAGE, "image_url": "a.png"}), "blocks[0] image: image_url is no http, https or slack address"),
    (message(rich(words(""))), "blocks[0] rich_text: elements[0].elements[0].text is empty"),
    (message(rich()), "blocks[0] rich_text: elements[0].elements is empty"),
    (message(rich(words(style={"blink": True}))), "blocks[0] rich_text: elements[0].elements[0].style has unknown blink"),
    (
        message(rich({"type": "link", "url": "data:text/html,x"})),
        "blocks[0] rich_text: elements[0].elements[0].url is no http, https or slack address",
    ),
    (
        message(rich(*items("x"), kind="rich_text_list", style="bullet", indent=9)),
        "blocks[0] rich_text: elements[0].indent is more than 8",
    ),
    (
        message(rich(*items("x"), kind="rich_text_list", style="bullet", border=2)),
        "blocks[0] rich_text: elements[0].border is 2, none of 0, 1",
    ),
    (message({"type": "alert", "text": plain("x")}), "blocks[0] alert: cannot be shown in a message"),
    (message(*[section("s" * 2501)] * 4), "blocks has 10004 characters, more than 10000"),
    ({"type": "sheet", "blocks": []}, "is a view of type 'sheet', neither modal nor home"),
    ({"type": "modal", "blocks": []}, "lacks title"),
    ({"type": "home", "blocks": [], "submit": plain("x")}, "has unknown submit"),
    (modal(*[{"type": "divider"}] * 101), "blocks has more than 100 items"),
    (modal(title=plain("t" * 25)), "title.text is longer than 24"),
    (modal(close=plain("t" * 25)), "close.text is longer than 24"),
    (modal(submit=plain("t" * 25)), "submit.text is longer than 24"),
    (modal(private_metadata="m" * 3001), "private_metadata is longer than 3000"),
    (modal(callback_id="m" * 256), "callback_id is longer than 255"),
    (modal({"type": "markdown", "text": "x"}), "blocks[0] markdown: cannot be shown in a modal"),
    (modal(*[section("ü" * 3000)] * 42), "is larger than 250000 bytes"),
    (modal(label("plain_text_input")), "has an input and lacks submit"),
    (modal(label("button"), **SUBMIT), "blocks[0] input: element is of type 'button', which cannot stand here"),
    (
        modal(label("plain_text_input", initial_value="v" * 3001), **SUBMIT),
        "blocks[0] input: element.initial_value is longer than 3000",
    ),
    (
        modal(label("plain_text_input", initial_value="four", max_length=3), **SUBMIT),
        "blocks[0] input: element.initial_value is longer than max_length, 3",
    ),
    (modal(label("plain_text_input", max_length=3001), **SUBMIT), "blocks[0] input: element.max_length is more than 3000"),
    (
        modal(label("plain_text_input", min_length=9, max_length=3), **SUBMIT),
        "blocks[0] input: element.min_length is more than max_length, 3",
    ),
    (modal(*[label("users_select", focus_on_load=True)] * 2, **SUBMIT), "blocks has more than one focus_on_load"),
    (modal(label("static_select"), **SUBMIT), "blocks[0] input: element needs options or option_groups, not both"),
    (
        modal(label("static_select", options=[option()] * 101), **SUBMIT),
        "blocks[0] input: element.options has more than 100 items",
    ),
    (
        modal(label("static_select", options=[option()], initial_option=option("Low")), **SUBMIT),
        "blocks[0] input: element has an initial option that is none of its options",
    ),
    *[
        (modal(label(kind, options=[option()] * 11), **SUBMIT), "blocks[0] input: element.options has more than 10 items")
        for kind in ("radio_buttons", "checkboxes")
    ],
    *[
        (
            modal(label("radio_buttons", options=[option(**changed)]), **SUBMIT),
            f"blocks[0] input: element.options[0].{reason}",
        )
        for changed, reason in [
            ({"text": plain("x" * 76)}, "text.text is longer than 75"),
            ({"value": "x" * 151}, "value is longer than 150"),
            ({"description": plain("x" * 76)}, "description.text is longer than 75"),
        ]
    ],
]


@pytest.mark.parametrize("payload", FINE.values(), ids=FINE.keys())
def test_what_slack_takes_is_fine(payload: Any) -> None:
    assert problems(payload) == []


@pytest.mark.parametrize(("payload", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_slack_refuses_is_named_with_its_one_reason(payload: Any, reason: str) -> None:
    assert problems(payload) == [reason]


def test_everything_malformed_is_named_at_once() -> None:
    assert problems(message({"type": "header"}, section(""), text="")) == [
        "text is empty",
        "blocks[0] header: lacks text",
        "blocks[1] section: text.text is empty",
    ]


def test_characters_are_those_of_all_texts() -> None:
    assert characters([header("four"), section("five!", fields=[plain("x")]), rich(words("ab"), words("c"))]) == 13


def test_the_schema_is_one_and_made_from_the_pinned_package() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    pinned = json.loads((ROOT / "scripts" / "block_schema" / "package.json").read_text())["dependencies"]
    assert f"@slack/types {pinned['@slack/types']} " in SCHEMA["$comment"]
