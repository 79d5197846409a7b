"""Says offline what Slack would refuse in a message or a view.

`schema.json` is made from Slack's own types by `scripts/block_schema`; the rules which those leave out are here.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

_Node = dict[str, Any]
_Path = tuple[str | int, ...]

_FILLED = {"minItems": 1, "minLength": 1}
_OPTIONS = {"minItems": 1, "maxItems": 100}
_GROUPS = {"minItems": 1, "items": {"properties": {"label": {"properties": {"text": {"maxLength": 75}}}, "options": _OPTIONS}}}
_FEEDBACK = {"properties": {"text": {"properties": {"text": {"maxLength": 75}}}, "value": {"maxLength": 2000}}}

# What the comments of the types leave out, or (an option's value) state too low; Slack's documentation and its answers say it.
_LIMITS: dict[str, _Node] = {
    "ActionsBlock.elements": _FILLED,
    "AlertBlock.text": {"properties": {"text": {"maxLength": 200}}},
    "Checkboxes.options": _FILLED,
    "ContextActionsBlock.elements": _FILLED,
    "ContextBlock.elements": _FILLED,
    "DispatchActionConfig.trigger_actions_on": _FILLED,
    "FeedbackButtons.negative_button": _FEEDBACK,
    "FeedbackButtons.positive_button": _FEEDBACK,
    "HomeView.external_id": {"maxLength": 255},
    "IconButton.value": {"maxLength": 2000},
    "ImageElement.alt_text": {"maxLength": 2000},
    "ModalView.external_id": {"maxLength": 255},
    "MultiStaticSelect.option_groups": _GROUPS,
    "MultiStaticSelect.options": _FILLED,
    "Option.value": {"maxLength": 150},
    "Overflow.options": _FILLED,
    "PlainTextInput.initial_value": {"maxLength": 3000},
    "PlainTextInput.max_length": {"minimum": 1, "maximum": 3000},
    "PlainTextInput.min_length": {"minimum": 0},
    "PlainTextOption.value": {"maxLength": 150},
    "RadioButtons.options": _FILLED,
    "RichTextBlock.elements": _FILLED,
    "RichTextLink.text": _FILLED,
    "RichTextList.elements": _FILLED,
    "RichTextPreformatted.elements": _FILLED,
    "RichTextQuote.elements": _FILLED,
    "RichTextSection.elements": _FILLED,
    "RichTextText.text": _FILLED,
    "SectionBlock.fields": _FILLED,
    "StaticSelect.option_groups": _GROUPS,
    "StaticSelect.options": _FILLED,
}

# Past 4000 characters `chat.update` refuses a text that `chat.postMessage` took.
_MESSAGE = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 4000},
        "blocks": {"type": "array", "maxItems": 50, "items": {"$ref": "#/$defs/KnownBlock"}},
    },
}

# Slack does not say how it counts (`msg_blocks_too_long`); the least that is known to be refused is 11,300.
_CHARACTERS = 10_000
_VIEW_BYTES = 250_000

_NOT_SHOWN = {
    "message": {"alert", "file"},
    "home": {"alert", "context_actions", "file", "markdown", "plan", "task_card"},
    "modal": {"carousel", "container", "context_actions", "data_table", "file", "markdown", "plan", "table", "task_card"},
}


def problems(payload: Any) -> list[str]:
    """What Slack would refuse in a message (`text`, `blocks`) or a view (`type` modal or home); nothing if it is fine.

    What else a message has (`channel`, `thread_ts`, `metadata`, ...) is not looked at. The rules that are no part of the schema
    are applied once the schema is met.
    """
    surface = payload.get("type", "message") if isinstance(payload, dict) else "message"
    if surface not in ("message", "modal", "home"):
        return [f"is a view of type {surface!r:.60}, neither modal nor home"]
    malformed = [(tuple(error.absolute_path), _words(error)) for error in _validator(surface).iter_errors(payload)]
    return list(dict.fromkeys(_line(payload, path, words) for path, words in malformed or _rules(payload, surface)))


def characters(blocks: Any) -> int:
    """How many characters the texts of these blocks have, all together."""
    return sum(len(node["text"]) for _, node in _nodes(blocks) if isinstance(node.get("text"), str))


@cache
def _definitions() -> dict[str, _Node]:
    definitions: dict[str, _Node] = json.loads(Path(__file__).with_name("schema.json").read_text())["$defs"]
    for place, limits in _LIMITS.items():
        name, field = place.split(".")
        _merge(definitions[name]["properties"][field], limits)
    definitions["DispatchActionConfig"]["required"] = ["trigger_actions_on"]
    return definitions


def _merge(schema: _Node, limits: _Node) -> None:
    for keyword, value in limits.items():
        if isinstance(value, dict):
            _merge(schema.setdefault(keyword, {}), value)
        else:
            schema[keyword] = value


@cache
def _validator(surface: str) -> Any:
    definitions = _definitions()
    kinds = {
        f"#/$defs/{name}": schema["properties"]["type"]["const"]
        for name, schema in definitions.items()
        if "const" in schema.get("properties", {}).get("type", {})
    }

    def ref(validator: Any, value: str, instance: Any, schema: _Node) -> Iterator[ValidationError]:
        yield from validator.descend(instance, definitions[value.rpartition("/")[2]])

    def any_of(validator: Any, branches: list[_Node], instance: Any, schema: _Node) -> Iterator[ValidationError]:
        """Reports what is wrong by the one branch that is meant, not that none of them fits."""
        kind = instance.get("type") if isinstance(instance, dict) else None
        for branch in branches:
            if kinds[branch["$ref"]] == kind:
                yield from validator.descend(instance, branch)
                return
        yield ValidationError(f"is of type {kind!r:.60}, which cannot stand here" if kind else "has no type")

    schema = {"message": _MESSAGE, "modal": definitions["ModalView"], "home": definitions["HomeView"]}[surface]
    return extend(Draft202012Validator, {"$ref": ref, "anyOf": any_of})(schema)


_WORDS: dict[str, Callable[[Any, Any], str]] = {
    "additionalProperties": lambda _, error: f"has unknown {_names(set(error.instance) - set(error.schema['properties']))}",
    "const": lambda value, error: f"is {error.instance!r:.60}, not {value!r}",
    "enum": lambda value, error: f"is {error.instance!r:.60}, none of {_names(value)}",
    "maxItems": lambda value, _: f"has more than {value} items",
    "maxLength": lambda value, _: f"is longer than {value}",
    "maximum": lambda value, _: f"is more than {value}",
    "minItems": lambda value, _: "is empty",
    "minLength": lambda value, _: "is empty",
    "minimum": lambda value, _: f"is less than {value}",
    "oneOf": lambda value, _: f"needs one of {_names(name for branch in value for name in branch['required'])}",
    "required": lambda value, error: f"lacks {_names(set(value) - set(error.instance))}",
    "type": lambda value, _: f"is no {value}",
}


def _words(error: Any) -> str:
    words = _WORDS.get(error.validator)
    return words(error.validator_value, error) if words else error.message


def _names(names: Any) -> str:
    return ", ".join(sorted(map(str, names)))


def _line(payload: Any, path: _Path, words: str) -> str:
    """Names the block that is meant: `blocks[2] section: text.text is longer than 3000`."""
    start = ""
    if path[:1] == ("blocks",) and len(path) > 1:
        block = payload["blocks"][path[1]]
        kind = f" {block['type']}" if isinstance(block, dict) and isinstance(block.get("type"), str) else ""
        start, path = f"blocks[{path[1]}]{kind}: ", path[2:]
    inner = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    return f"{start}{inner} {words}" if inner else f"{start}{words}"


def _nodes(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, _Node]]:
    """Every object in this value, and where it is."""
    if isinstance(value, dict):
        yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in inner:
        yield from _nodes(child, (*path, step))


def _rules(payload: _Node, surface: str) -> Iterator[tuple[_Path, str]]:
    """What the schema does not say. The payload meets it."""
    blocks = payload.get("blocks", [])
    seen: set[Any] = set()
    for path, node in _nodes(blocks, ("blocks",)):
        # An action's id has to be unique in its block only, which the first two steps of the path name.
        for key, scope in (("block_id", ()), ("action_id", path[:2])):
            if key in node:
                if (key, scope, node[key]) in seen:
                    yield (*path, key), f"{node[key]!r} is there twice"
                seen.add((key, scope, node[key]))
        yield from _alone(path, node)
        if len(path) == 2 and node["type"] in _NOT_SHOWN[surface]:
            yield path, f"cannot be shown in a {surface}"
    if sum(node.get("focus_on_load") is True for _, node in _nodes(blocks)) > 1:
        yield ("blocks",), "has more than one focus_on_load"
    if surface == "modal" and "submit" not in payload and any(block["type"] == "input" for block in blocks):
        yield (), "has an input and lacks submit"
    if surface == "message" and (count := characters(blocks)) > _CHARACTERS:
        yield ("blocks",), f"has {count} characters, more than {_CHARACTERS}"
    if surface != "message" and len(json.dumps(payload, ensure_ascii=False).encode()) > _VIEW_BYTES:
        yield (), f"is larger than {_VIEW_BYTES} bytes"


def _alone(path: _Path, node: _Node) -> Iterator[tuple[_Path, str]]:
    kind = node.get("type")
    for key, value in node.items():
        if (key == "url" or key.endswith("_url")) and isinstance(value, str):
            if not re.fullmatch(r"(https?|slack)://\S+", value):
                yield (*path, key), "is no http, https or slack address"
            if len(value) > 3000:
                yield (*path, key), "is longer than 3000"
    if kind == "section" and not ("text" in node or "fields" in node):
        yield path, "needs text or fields"
    if kind in ("static_select", "multi_static_select") and ("options" in node) == ("option_groups" in node):
        yield path, "needs options or option_groups, not both"
    offered = [*node.get("options", ()), *(option for group in node.get("option_groups", ()) for option in group["options"])]
    chosen = [*node.get("initial_options", ()), *([node["initial_option"]] if "initial_option" in node else ())]
    if offered and not all(option in offered for option in chosen):
        yield path, "has an initial option that is none of its options"
    if kind == "plain_text_input":
        most = node.get("max_length", 3000)
        if len(node.get("initial_value", "")) > most:
            yield (*path, "initial_value"), f"is longer than max_length, {most}"
        if node.get("min_length", 0) > most:
            yield (*path, "min_length"), f"is more than max_length, {most}"
