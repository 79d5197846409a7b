"""The rules of the Atlassian Document Format that a description or a comment is held to.

Source: json-schema/v1/full.json of @atlaskit/adf-schema 57.7.22 (Atlassian's own package), for the nodes and marks that are
listed here; developer.atlassian.com/platform/framework/adf-builder/reference for "code" going with "link" alone and for text
that may not be empty (JRACLOUD-79318). Whatever is not listed here is refused, though Jira knows more.
"""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Check = Callable[[Any], bool]

INLINE = ("text", "hardBreak", "mention", "emoji", "inlineCard", "date", "status")
LISTS = ("bulletList", "orderedList")
BLOCKS = ("paragraph", "heading", *LISTS, "codeBlock", "rule", "blockquote", "panel")
CONTENT: dict[str, tuple[str, ...]] = {
    "doc": BLOCKS,
    "paragraph": INLINE,
    "heading": INLINE,
    "bulletList": ("listItem",),
    "orderedList": ("listItem",),
    "listItem": ("paragraph", *LISTS, "codeBlock"),
    "codeBlock": ("text",),
    "blockquote": ("paragraph", *LISTS, "codeBlock"),
    "panel": ("paragraph", "heading", *LISTS, "codeBlock", "rule"),
}
NOT_EMPTY = ("bulletList", "orderedList", "listItem", "blockquote", "panel")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _level(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 6


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


# Of each attribute, what it must be; those with ! must be there.
ATTRS: dict[str, dict[str, Check]] = {
    "heading": {"level!": _level, "localId": _text},
    "paragraph": {"localId": _text},
    "bulletList": {"localId": _text},
    "listItem": {"localId": _text},
    "orderedList": {"order": lambda value: isinstance(value, int) and value >= 0, "localId": _text},
    "codeBlock": {"language": _text, "uniqueId": _text, "localId": _text, "wrap": _flag, "hideLineNumbers": _flag},
    "rule": {"localId": _text},
    "hardBreak": {"text": lambda value: value == "\n", "localId": _text},
    "blockquote": {"localId": _text},
    "panel": {"panelType!": lambda value: value in ("info", "note", "tip", "warning", "error", "success"), "localId": _text},
    "mention": {"id!": _text, "text": _text, "localId": _text, "userType": _text, "accessLevel": _text},
    "emoji": {"shortName!": _text, "id": _text, "text": _text, "localId": _text},
    "inlineCard": {"url!": _text, "localId": _text},
    "date": {"timestamp!": _text, "localId": _text},
    "status": {"text!": _text, "color!": _text, "style": _text, "localId": _text},
}
MARK_ATTRS: dict[str, dict[str, Check]] = {
    "link": {"href!": _text, "title": _text, "id": _text, "collection": _text, "occurrenceKey": _text},
    "subsup": {"type!": lambda value: value in ("sub", "sup")},
    "textColor": {"color!": _text},
    "backgroundColor": {"color!": _text},
}
PLAIN_MARKS = ("code", "em", "strong", "strike", "underline")
RANK = ("link", "em", "strong", "strike", "subsup", "underline", "code", "textColor", "backgroundColor")


def problems(document: Any) -> list[str]:
    """What is wrong with a document, each with the place where it is."""
    if not isinstance(document, dict) or document.get("type") != "doc":
        return ["doc: it is no document"]
    found: list[str] = []
    if document.get("version") != 1 or isinstance(document.get("version"), bool):
        found.append("doc: the version must be 1")
    if not isinstance(document.get("content"), list):
        found.append("doc: it needs a content")
    _unknown(document, {"type", "version", "content"}, "doc", found)
    _children(document, "doc", "doc", found)
    return found


def text_of(node: Any) -> str:
    """What a reader sees, with a line for each block."""
    if node.get("type") == "text":
        return str(node.get("text", ""))
    if node.get("type") == "hardBreak":
        return "\n"
    inner = [text_of(each) for each in node.get("content", [])]
    return "".join(inner) if node.get("type") in ("paragraph", "heading", "codeBlock") else "\n".join(inner)


def normalised(node: Json, next_id: Callable[[], str]) -> Json:
    """A document as an editor may store it: localId on blocks, no empty attrs, marks in rank, equal neighbours as one."""
    made: Json = {}
    children = [normalised(each, next_id) for each in node.get("content", [])]
    merged: list[Json] = []
    for child in children:
        before = merged[-1] if merged else {}
        if child["type"] == "text" == before.get("type") and child.get("marks", []) == before.get("marks", []):
            before["text"] += child["text"]
        else:
            merged.append(child)
    for key, value in node.items():
        if key == "content":
            made["content"] = merged
        elif key == "marks":
            made["marks"] = sorted(value, key=lambda mark: RANK.index(mark["type"]))
        elif key != "attrs" or value:
            made[key] = value
    if node["type"] not in ("doc", *INLINE):
        made["attrs"] = {**node.get("attrs", {}), "localId": node.get("attrs", {}).get("localId") or next_id()}
    return made


def _children(node: Json, kind: str, where: str, found: list[str]) -> None:
    children = node.get("content", [])
    if not isinstance(children, list):
        found.append(f"{where}: the content must be a list")
        return
    if kind in NOT_EMPTY and not children:
        found.append(f"{where}: the content may not be empty")
    for at, child in enumerate(children):
        _node(child, kind, f"{where}.{at}", found)


def _node(node: Any, parent: str, where: str, found: list[str]) -> None:
    kind = node.get("type") if isinstance(node, dict) else None
    if not isinstance(node, dict) or kind not in CONTENT[parent]:
        found.append(f"{where}: {parent} may not contain {kind}")
        return
    where = f"{where}({kind})"
    if kind == "text":
        _unknown(node, {"type", "text", "marks"}, where, found)
        if not isinstance(node.get("text"), str) or not node["text"]:
            found.append(f"{where}: the text may not be empty")
        _marks(node.get("marks", []), parent, where, found)
        return
    _unknown(node, {"type", "attrs", "content"} if kind in CONTENT else {"type", "attrs"}, where, found)
    _attrs(node.get("attrs", {}), ATTRS[str(kind)], where, found)
    if kind in CONTENT:
        _children(node, str(kind), where, found)


def _marks(marks: Any, parent: str, where: str, found: list[str]) -> None:
    if not isinstance(marks, list) or not all(isinstance(each, dict) for each in marks):
        found.append(f"{where}: the marks must be a list of objects")
        return
    kinds = [each.get("type") for each in marks]
    if parent == "codeBlock" and kinds:
        found.append(f"{where}: text in a codeBlock may have no marks")
    if "code" in kinds and set(kinds) - {"code", "link"}:
        found.append(f"{where}: code goes with link alone")
    if len(set(kinds)) != len(kinds):
        found.append(f"{where}: a mark is there twice")
    for each in marks:
        kind = each.get("type")
        if kind not in MARK_ATTRS and kind not in PLAIN_MARKS:
            found.append(f"{where}: there is no mark {kind}")
        elif kind in PLAIN_MARKS:
            _unknown(each, {"type"}, f"{where}.{kind}", found)
        else:
            _unknown(each, {"type", "attrs"}, f"{where}.{kind}", found)
            _attrs(each.get("attrs", {}), MARK_ATTRS[kind], f"{where}.{kind}", found)


def _attrs(attrs: Any, allowed: dict[str, Check], where: str, found: list[str]) -> None:
    if not isinstance(attrs, dict):
        found.append(f"{where}: the attrs must be an object")
        return
    _unknown(attrs, {name.rstrip("!") for name in allowed}, f"{where}.attrs", found)
    for name, check in allowed.items():
        key = name.rstrip("!")
        if key not in attrs:
            if name.endswith("!"):
                found.append(f"{where}.attrs: {key} is missing")
        elif not check(attrs[key]):
            found.append(f"{where}.attrs: {key} is not valid")


def _unknown(thing: Json, known: set[str], where: str, found: list[str]) -> None:
    found.extend(f"{where}: there is no {each}" for each in sorted(set(thing) - known))
