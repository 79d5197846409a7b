"""The Atlassian Document Format, in which Jira Cloud keeps text. Its text is literal: only nodes and marks have a meaning."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from agent.receipt import Piece
from skills.trackers.body import Block, Bullets, Code, Heading, Line, Paragraph, Rule

Node = Mapping[str, Any]

LEVELS = range(1, 7)
"""Of headings. What else somebody's answer has there is shown as it is, and not as so many signs."""


def document(blocks: Iterable[Block]) -> dict[str, Any]:
    """The blocks as a document."""
    return {"type": "doc", "version": 1, "content": [_node(block) for block in blocks]}


def _node(block: Block) -> dict[str, Any]:
    match block:
        case Heading():
            return {"type": "heading", "attrs": {"level": 2}, "content": _inline([[Piece("text", block.text)]])}
        case Paragraph():
            return {"type": "paragraph", "content": _inline(block.lines)}
        case Code():
            return {"type": "codeBlock", "content": [{"type": "text", "text": block.text}]}
        case Bullets():
            items = [{"type": "paragraph", "content": _inline(item)} for item in block.items]
            return {"type": "bulletList", "content": [{"type": "listItem", "content": [item]} for item in items]}
        case Rule():
            return {"type": "rule"}


def _inline(lines: Sequence[Line]) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for at, line in enumerate(lines):
        nodes += [{"type": "hardBreak"}] if at else []
        nodes += [_text(piece) for piece in line if piece.text]
    return nodes


def _text(piece: Piece) -> dict[str, Any]:
    marks = {"code": [{"type": "code"}], "link": [{"type": "link", "attrs": {"href": piece.text}}]}.get(piece.kind)
    return {"type": "text", "text": piece.text} | ({"marks": marks} if marks else {})


def plain(node: Node) -> str:
    """What a document (or one of its nodes) shows, as text that is the same exactly if it shows the same.

    Nodes and marks that text does not show are named in braces; what text could be mistaken for has a backslash before it.
    Ids, the order of marks and how text is cut into nodes do not count.
    """
    return "\n".join(_block_lines(node))


def _block_lines(node: Node) -> list[str]:
    content = node.get("content") or []
    match node.get("type"):
        case "doc":
            blocks = [_block_lines(child) for child in content]
            return [line for at, lines in enumerate(blocks) for line in ([""] if at else []) + lines]
        case "paragraph":
            return [re.sub(r"^(?=[#\s-]|$)", r"\\", line) for line in _shown(content).split("\n")]
        case "heading" if (level := (node.get("attrs") or {}).get("level", 1)) in LEVELS:
            return ["#" * int(level) + " " + _shown(content).replace("\n", "\\n")]
        case "bulletList":
            items = [[line for child in item.get("content") or [] for line in _block_lines(child)] for item in content]
            return [("  " if at else "- ") + line for lines in items for at, line in enumerate(lines or [""])]
        case "codeBlock":
            lines = "".join(child.get("text", "") for child in content).split("\n")
            return ["    " + line for line in lines]
        case "rule":
            return ["---"]
    inner = ["  " + line for child in content for line in _block_lines(child)]
    return [_named(node), *inner] if inner else [_named(node)]


def _shown(nodes: Iterable[Node]) -> str:
    """Nodes within a line; those with equal marks are one, however they were cut."""
    shown = ""
    for marks, group in groupby(nodes, lambda node: _marks(node) if node.get("type") == "text" else None):
        if marks is None:
            shown += "".join("\n" if node.get("type") == "hardBreak" else _named(node) for node in group)
            continue
        text = "".join(node.get("text", "") for node in group).replace("\n", " ")
        safe = re.sub(r"([\\`<\[{])", r"\\\1", text)
        for kind, attrs in marks:
            if kind == "code":
                safe = f"`{safe}`"
            elif kind == "link":
                safe = f"<{attrs}>" if attrs == text and len(marks) == 1 else f"[{safe}]<{attrs}>"
            else:
                safe = f"{{{kind} {attrs}}}{safe}{{/{kind}}}"
        shown += safe
    return "\n".join(line.rstrip() for line in shown.split("\n"))


def _marks(node: Node) -> list[tuple[str, str]]:
    """The marks in an order of ours, a link's with its address alone."""
    return sorted((mark["type"], _attrs(mark)) for mark in node.get("marks") or [])


def _attrs(node: Node) -> str:
    attrs = {name: value for name, value in (node.get("attrs") or {}).items() if name != "localId"}
    if node.get("type") == "link":
        return str(attrs.get("href", "")).replace(">", "\\>")
    return json.dumps(attrs, sort_keys=True, ensure_ascii=False) if attrs else ""


def _named(node: Node) -> str:
    return f"{{{node.get('type')} {_attrs(node)}}}"
