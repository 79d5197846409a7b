"""Block Kit: what Slack refuses, what it adds to what it is sent, and what people enter."""

import random
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
CHARACTERS_IN_ALL_BLOCKS = 13_000

BLOCK_TYPES = frozenset(
    {
        *("section", "header", "divider", "actions", "context", "image", "input", "rich_text", "file", "video", "markdown"),
        *("table", "context_actions", "alert", "card", "carousel", "plan", "task_card"),
    }
)

# Where an element keeps what was entered, and what it began with.
STATE_KEYS = {
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "checkboxes": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
ELEMENT_TYPES = frozenset(STATE_KEYS) | {"button", "overflow", "image", "workflow_button", "file_input"}


class ApiError(Exception):
    """A call that Slack refuses: `{"ok": false, "error": ...}`."""

    def __init__(self, error: str, *messages: str, **more: Any) -> None:
        super().__init__(error, *messages)
        self.error = error
        self.answer: Json = {"ok": False, "error": error, **more}
        if messages:
            self.answer |= {
                "errors": list(messages),
                "response_metadata": {"messages": [f"[ERROR] {each}" for each in messages]},
            }


class _Flaw(Exception):
    """Something in a block that Slack does not accept, with its place."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} [json-pointer:{where}]")


def check_message_blocks(blocks: Any) -> None:
    """Refuse what a message cannot hold."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ApiError("invalid_blocks_format")
    try:
        _check(blocks, "/blocks", MESSAGE_BLOCKS)
    except _Flaw as flaw:
        raise ApiError("invalid_blocks", str(flaw)) from None
    if sum(len(text) for text in _texts(blocks)) > CHARACTERS_IN_ALL_BLOCKS:
        raise ApiError("msg_blocks_too_long")


def check_view(view: Any) -> None:
    """Refuse what a modal or a home tab cannot be."""
    try:
        _check_view(view)
    except _Flaw as flaw:
        raise ApiError("invalid_arguments", str(flaw)) from None


def _check_view(view: Any) -> None:
    if not isinstance(view, dict) or view.get("type") not in ("modal", "home"):
        raise _Flaw("must be a modal or a home", "/view/type")
    if not isinstance(view.get("blocks"), list) or not all(isinstance(block, dict) for block in view["blocks"]):
        raise _Flaw("must be an array of blocks", "/view/blocks")
    if view["type"] == "modal":
        _text(view.get("title"), "/view/title", 24, plain=True)
        for name in ("submit", "close"):
            if view.get(name) is not None:
                _text(view[name], f"/view/{name}", 24, plain=True)
        if not view.get("submit") and any(block.get("type") == "input" for block in view["blocks"]):
            raise _Flaw("missing required field: submit", "/view/submit")
    _length(view.get("private_metadata"), "/view/private_metadata", 3000)
    _length(view.get("callback_id"), "/view/callback_id", 255)
    _check(view["blocks"], "/view/blocks", VIEW_BLOCKS)


def _check(blocks: list[Json], where: str, limit: int) -> None:
    if len(blocks) > limit:
        raise _Flaw(f"no more than {limit} items allowed", where)
    _unique([block.get("block_id") for block in blocks], "block_id", where)
    for number, block in enumerate(blocks):
        _check_block(block, f"{where}/{number}")


def _check_block(block: Json, where: str) -> None:
    kind = block.get("type")
    if kind not in BLOCK_TYPES:
        raise _Flaw(f"unsupported type: {kind}", f"{where}/type")
    _length(block.get("block_id"), f"{where}/block_id", 255)
    if kind == "section":
        if "text" in block or not block.get("fields"):
            _text(block.get("text"), f"{where}/text", 3000)
        if len(block.get("fields") or []) > 10:
            raise _Flaw("no more than 10 items allowed", f"{where}/fields")
        for number, field in enumerate(block.get("fields") or []):
            _text(field, f"{where}/fields/{number}", 2000)
    elif kind == "header":
        _text(block.get("text"), f"{where}/text", 150, plain=True)
    elif kind == "context":
        _elements(block, where, 10)
        for number, element in enumerate(block["elements"]):
            if element.get("type") != "image":
                _text(element, f"{where}/elements/{number}", 3000)
    elif kind == "actions":
        _elements(block, where, 25)
    elif kind == "input":
        _text(block.get("label"), f"{where}/label", 2000, plain=True)
        if not isinstance(block.get("element"), dict):
            raise _Flaw("missing required field: element", f"{where}/element")
    elements = [element for element in elements_of(block) if element.get("type") not in ("mrkdwn", "plain_text")]
    _unique([element.get("action_id") for element in elements], "action_id", where)
    for element in elements:
        _check_element(element, where)


def _check_element(element: Json, where: str) -> None:
    kind = element.get("type")
    if kind not in ELEMENT_TYPES:
        raise _Flaw(f"unsupported type: {kind}", where)
    _length(element.get("action_id"), f"{where}/action_id", 255)
    if kind == "button":
        _text(element.get("text"), f"{where}/text", 75, plain=True)
        _length(element.get("value"), f"{where}/value", 2000)
        if element.get("style") not in (None, "primary", "danger"):
            raise _Flaw("must be primary or danger", f"{where}/style")
    elif kind == "plain_text_input":
        _length(element.get("initial_value"), f"{where}/initial_value", 3000)
        if not 0 <= element.get("max_length", 3000) <= 3000:
            raise _Flaw("must be at most 3000", f"{where}/max_length")
    elif "options" in element or "option_groups" in element:
        options = _options(element)
        if not options or len(options) > 100:
            raise _Flaw("must have 1 to 100 options", f"{where}/options")
        for option in options:
            _text(option.get("text"), f"{where}/options/text", 75)
            _length(option.get("value"), f"{where}/options/value", 150)
        begun = element.get("initial_option") or element.get("initial_options") or []
        for option in begun if isinstance(begun, list) else [begun]:
            if option not in options:
                raise _Flaw("must be one of the options", f"{where}/initial_option")
    if element.get("placeholder"):
        _text(element["placeholder"], f"{where}/placeholder", 150, plain=True)
    if element.get("confirm") is not None:
        _text(element["confirm"].get("title"), f"{where}/confirm/title", 100, plain=True)
        _text(element["confirm"].get("text"), f"{where}/confirm/text", 300)


def _text(given: Any, where: str, limit: int, *, plain: bool = False) -> None:
    if not isinstance(given, dict) or given.get("type") not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
        raise _Flaw("must be a text object" if not plain else "must be a plain_text object", where)
    if not isinstance(given.get("text"), str) or not given["text"]:
        raise _Flaw("must be more than 0 characters", f"{where}/text")
    _length(given["text"], f"{where}/text", limit)


def _length(given: Any, where: str, limit: int) -> None:
    if given is not None and (not isinstance(given, str) or len(given) > limit):
        raise _Flaw(f"must be a string of less than {limit + 1} characters", where)


def _elements(block: Json, where: str, limit: int) -> None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= limit:
        raise _Flaw(f"must have 1 to {limit} items", f"{where}/elements")


def _unique(ids: list[Any], what: str, where: str) -> None:
    given = [each for each in ids if each]
    for each in given:
        if given.count(each) > 1:
            raise _Flaw(f"{what} already exists: {each}", where)


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _texts(each)
    elif isinstance(part, dict):
        for name, each in part.items():
            if name == "text" and isinstance(each, str):
                yield each
            else:
                yield from _texts(each)


def elements_of(block: Json) -> list[Json]:
    """The block's own elements; those of a rich text are text."""
    found = [] if block.get("type") in ("rich_text", "context", "table") else list(block.get("elements") or [])
    return found + [block[name] for name in ("element", "accessory") if isinstance(block.get(name), dict)]


def complete(blocks: list[Json], chance: random.Random) -> list[Json]:
    """The blocks with what Slack adds: ids that are missing, and the defaults of text objects."""
    for block in blocks:
        if not block.get("block_id"):
            block["block_id"] = f"{chance.getrandbits(30):08x}"
        for element in elements_of(block):
            if element.get("type") in ELEMENT_TYPES - {"image"} and not element.get("action_id"):
                element["action_id"] = f"{chance.getrandbits(30):08x}"
    _fill_defaults(blocks)
    return blocks


def _fill_defaults(part: Any) -> None:
    if isinstance(part, list):
        for each in part:
            _fill_defaults(each)
    elif isinstance(part, dict):
        if part.get("type") == "plain_text":
            part.setdefault("emoji", True)
        elif part.get("type") == "mrkdwn":
            part.setdefault("verbatim", False)
        for each in part.values():
            _fill_defaults(each)


def find_element(blocks: list[Json], action_id: str, block_id: str | None = None) -> tuple[Json, Json]:
    """The block and the element that a person means."""
    for block in blocks:
        for element in elements_of(block):
            if element.get("action_id") == action_id and block_id in (None, block["block_id"]):
                return block, element
    there = [element.get("action_id") for block in blocks for element in elements_of(block)]
    raise AssertionError(f"there is no {action_id!r} to click, only {there}")


def entered(element: Json, given: Any) -> Json:
    """What the state says when a person entered that."""
    key, _ = STATE_KEYS[element["type"]]
    if key == "selected_option":
        given = None if given is None else _option(element, given)
    elif key == "selected_options":
        given = [_option(element, each) for each in given]
    elif key.endswith("s"):
        given = list(given)
    return {"type": element["type"], key: given}


def initial(element: Json) -> Json:
    """What the state says when a person entered nothing."""
    key, begun = STATE_KEYS[element["type"]]
    return {"type": element["type"], key: element.get(begun, [] if key.endswith("s") else None)}


def state(blocks: list[Json], inputs: dict[tuple[str, str], Json]) -> Json:
    """The `state` of a payload: every element that can hold a value, by block and action."""
    values: Json = {}
    for block in blocks:
        for element in elements_of(block):
            if element.get("type") in STATE_KEYS:
                place = (block["block_id"], element["action_id"])
                value = inputs.get(place) or initial(element)
                values.setdefault(place[0], {})[place[1]] = value if value["type"] == element["type"] else initial(element)
    return {"values": values}


def refused_by_client(block: Json, value: Json) -> str | None:
    """Why Slack's own client would not submit a modal with that value in that input block."""
    key, _ = STATE_KEYS[value["type"]]
    if not value[key]:
        return None if block.get("optional") else "it is empty"
    shortest, longest = block["element"].get("min_length", 0), block["element"].get("max_length", 3000)
    if key == "value" and not shortest <= len(value[key]) <= longest:
        return f"it has {len(value[key])} characters"
    return None


def action(block: Json, element: Json, value: Any, ts: str) -> Json:
    """An entry of a payload's `actions`; a value of None is the button's own."""
    about: Json = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"]}
    if element["type"] == "button":
        about["text"] = element["text"]
        about |= {key: element[key] for key in ("value", "style", "url") if key in element}
        if value is not None:
            about["value"] = value
    elif element["type"] == "overflow":
        about["selected_option"] = _option(element, value)
    else:
        about |= entered(element, value)
    return about | {"action_ts": ts}


def _options(element: Json) -> list[Json]:
    groups = element.get("option_groups") or [{"options": element.get("options") or []}]
    return [option for group in groups for option in group["options"]]


def _option(element: Json, value: str) -> Json:
    for option in _options(element):
        if option.get("value") == value:
            return option
    raise AssertionError(f"there is no option {value!r}, only {[option.get('value') for option in _options(element)]}")
