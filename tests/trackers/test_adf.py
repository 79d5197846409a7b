"""Documents keep Atlassian's rules, their text is what people wrote, and comparing them tells what reads differently."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.draft import TicketDraft, clean
from agent.receipt import Piece
from skills.trackers import adf
from skills.trackers.body import Bullets, Code, Heading, Paragraph, Rule, document, text_blocks
from tests.trackers_sim import adf as rules

PARTS = [
    "@bob",
    "[~bob]",
    "<b>",
    "{code}",
    "`a`",
    "` `",
    "```",
    "\n",
    "\n\n",
    "\n```\n",
    "https://x.example/a?b=c#d",
    "#",
    "# ",
    "- ",
]
PARTS += ["---", "    ", "\\", "`", "<", "[", "{", " ", "a", "é", "½", "{mention x}", "<https://x.example>", "\t", "|"]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=12).map("".join).map(lambda text: clean(text)[0])
ITEMS = st.lists(TEXTS.filter(str.strip), max_size=3)


def marks_of(node: Any) -> list[str]:
    """The kinds of nodes and marks in a document, as often as they are there."""
    found = [node["type"], *(mark["type"] for mark in node.get("marks", []))]
    return found + [kind for child in node.get("content", []) for kind in marks_of(child)]


@settings(max_examples=300)
@given(TEXTS, ITEMS)
def test_a_document_keeps_the_rules_and_its_text_is_literal(problem: str, criteria: list[str]) -> None:
    blocks = document(TicketDraft(problem=problem, acceptance_criteria=criteria), {"Epic": problem})
    made = adf.document(blocks)
    assert rules.problems(made) == []
    shown = ["\n".join("".join(piece.text for piece in line) for line in lines) for lines in _lines_of(blocks)]
    assert rules.text_of(made) == "\n".join(shown)
    ours = {"doc", "heading", "paragraph", "text", "hardBreak", "bulletList", "listItem", "codeBlock", "rule", "code", "link"}
    assert set(marks_of(made)) <= ours
    pieces = [piece for lines in _lines_of(blocks) for line in lines for piece in line]
    assert marks_of(made).count("link") == sum(piece.kind == "link" for piece in pieces)


def _lines_of(blocks: list[Any]) -> list[list[list[Piece]]]:
    lines: list[list[list[Piece]]] = []
    for block in blocks:
        match block:
            case Heading() | Code():
                lines.append([[Piece("text", block.text)]])
            case Paragraph():
                lines.append(block.lines)
            case Bullets():
                lines += block.items
            case Rule():
                lines.append([[]])
    return lines


@given(TEXTS, ITEMS)
def test_how_jira_stores_it_does_not_change_how_it_reads(problem: str, criteria: list[str]) -> None:
    made = adf.document(document(TicketDraft(problem=problem, acceptance_criteria=criteria), {}))
    numbers = itertools.count()
    stored = rules.normalised(_cut_up(made), lambda: f"id-{next(numbers)}")
    assert stored != made or not made["content"]
    assert adf.plain(stored) == adf.plain(made)


def _cut_up(node: Any) -> Any:
    """The same with each text in pieces of one character."""
    children = []
    for child in node.get("content", []):
        letters = [{**child, "text": letter} for letter in child["text"]] if child["type"] == "text" else [_cut_up(child)]
        children += letters
    return {**node, "content": children} if "content" in node else dict(node)


SHORT = st.lists(st.sampled_from(PARTS), max_size=4).map("".join)


@settings(max_examples=1000)
@given(SHORT, SHORT)
def test_texts_that_differ_read_differently(one: str, other: str) -> None:
    made, changed = (adf.document(text_blocks(text)) for text in (one, other))
    if adf.plain(made) == adf.plain(changed):
        assert read(rules.normalised(made, str)) == read(rules.normalised(changed, str))


def read(node: Any) -> Any:
    """What a reader sees of a document: its letters with their marks, but for spaces at the ends of lines."""
    if node["type"] not in ("paragraph", "heading"):
        return node["type"], node.get("text"), [read(child) for child in node.get("content", [])]
    runs = [(child.get("text", "\n"), child.get("marks")) for child in node["content"]]
    kept: list[Any] = []
    for letter, marks in [*((letter, marks) for text, marks in runs for letter in text), ("\n", None)]:
        while letter == "\n" and kept and kept[-1][0] != "\n" and kept[-1][0].isspace() and not kept[-1][1]:
            kept.pop()
        kept.append((letter, marks))
    return node["type"], kept


def paragraph(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": list(nodes)}]}


def text(words: str, *marks: str, **attrs: str) -> dict[str, Any]:
    made = [{"type": mark} | ({"attrs": attrs} if attrs else {}) for mark in marks]
    return {"type": "text", "text": words} | ({"marks": made} if made else {})


def blocks(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(nodes)}


BREAK = {"type": "hardBreak"}


def block(kind: str, words: str, **attrs: Any) -> dict[str, Any]:
    return {"type": kind, "attrs": attrs, "content": [text(words)]}


DIFFERENT = [
    (paragraph(text("a")), paragraph(text("b"))),
    (paragraph(text("a")), paragraph(text("a", "strong"))),
    (paragraph(text("a")), paragraph(text("a", "code"))),
    (paragraph(text("`a`")), paragraph(text("a", "code"))),
    (paragraph(text("a", "strong")), paragraph(text("a", "em"))),
    (paragraph(text("a", "textColor", color="#ffffff")), paragraph(text("a", "textColor", color="#000000"))),
    (paragraph(text("a", "link", href="https://x")), paragraph(text("a", "link", href="https://y"))),
    (paragraph(text("a", "link", href="https://x")), paragraph(text("[a]<https://x>"))),
    (paragraph(text("https://x", "link", href="https://x")), paragraph(text("<https://x>"))),
    (paragraph(text("@bob")), paragraph({"type": "mention", "attrs": {"id": "7", "text": "@bob"}})),
    (
        paragraph({"type": "mention", "attrs": {"id": "7", "text": "@bob"}}),
        paragraph({"type": "mention", "attrs": {"id": "8", "text": "@bob"}}),
    ),
    (paragraph(text("a"), {"type": "hardBreak"}, text("b")), paragraph(text("a b"))),
    (paragraph(text("a"), {"type": "hardBreak"}, text("b")), blocks(block("paragraph", "a"), block("paragraph", "b"))),
    (
        paragraph(text("a"), {"type": "hardBreak"}, {"type": "hardBreak"}, text("b")),
        blocks(block("paragraph", "a"), block("paragraph", "b")),
    ),
    (blocks(block("heading", "a", level=2)), blocks(block("heading", "a", level=3))),
    (blocks(block("heading", "a", level=2)), blocks(block("paragraph", "## a"))),
    (blocks({"type": "rule"}), blocks(block("paragraph", "---"))),
    (blocks(block("codeBlock", "a")), blocks(block("paragraph", "    a"))),
    (
        blocks(block("paragraph", "a")),
        blocks({"type": "panel", "attrs": {"panelType": "info"}, "content": [block("paragraph", "a")]}),
    ),
    (blocks(block("paragraph", "a")), blocks({"type": "blockquote", "content": [block("paragraph", "a")]})),
    (
        blocks({"type": "bulletList", "content": [{"type": "listItem", "content": [block("paragraph", "a")]}]}),
        blocks(block("paragraph", "- a")),
    ),
    (
        blocks({"type": "bulletList", "content": [{"type": "listItem", "content": [block("paragraph", "a")]}]}),
        blocks({"type": "orderedList", "content": [{"type": "listItem", "content": [block("paragraph", "a")]}]}),
    ),
    (blocks(), blocks(block("paragraph", "a"))),
    (
        blocks({"type": "heading", "attrs": {"level": 2}, "content": [text("a"), BREAK, BREAK, text("b")]}),
        blocks(block("heading", "a", level=2), block("paragraph", "b")),
    ),
    (
        blocks(block("blockquote", "x") | {"content": [{"type": "blockquote", "content": [block("paragraph", "a")]}]}),
        blocks({"type": "blockquote", "content": [{"type": "blockquote", "content": []}, block("paragraph", "a")]}),
    ),
    (paragraph(text("\\"), text("x\\", "code")), paragraph(text("`x`"))),
    (paragraph(text("a", "link", href="x")), paragraph(text("[a]"), text("x", "link", href="x"))),
    (paragraph(text('{mention {"id": "7"}}')), paragraph({"type": "mention", "attrs": {"id": "7"}})),
    (paragraph(text("a", "link", href="x>b")), paragraph(text("a", "link", href="x"), text("b>"))),
    (paragraph(text("x", "link", href="x")), paragraph(text("x", "code", "link", href="x"))),
]
SAME = [
    (paragraph(text("a", "strong", "em")), paragraph(text("a", "em", "strong"))),
    (paragraph(text("a b")), paragraph(text("a"), text(" b"))),
    (paragraph(text("a", "code")), paragraph(text("a", "code") | {"marks": [{"type": "code", "attrs": {}}]})),
    (paragraph(text("a"), BREAK), paragraph(text("a "), BREAK)),
    (blocks(block("heading", "a", level=2)), blocks(block("heading", "a", level=2, localId="x"))),
    (
        paragraph({"type": "mention", "attrs": {"id": "7"}}),
        paragraph({"type": "mention", "attrs": {"id": "7", "localId": "x"}}),
    ),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_what_reads_differently(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert adf.plain(one) != adf.plain(other)


@pytest.mark.parametrize(("one", "other"), SAME, ids=range(len(SAME)))
def test_what_reads_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert adf.plain(one) == adf.plain(other)


def test_an_empty_piece_is_no_node() -> None:
    assert rules.problems(adf.document([Paragraph([[Piece("text", "")]])])) == []


def test_what_a_document_says() -> None:
    draft = TicketDraft(problem="See `x` at https://x.example:\n- none\n\n```\n  a\n```", acceptance_criteria=["one\ntwo"])
    assert adf.plain(adf.document([*document(draft, {}), Rule()])).split("\n") == [
        "## Problem",
        "",
        "See `x` at <https://x.example>:",
        "\\- none",
        "",
        "      a",
        "",
        "## Acceptance criteria",
        "",
        "- one",
        "  two",
        "",
        "---",
    ]


@pytest.mark.parametrize("level", [0, 7, -1, 10**12, 2.5, "2", None, [], {}, 10.0**300])
def test_a_level_that_no_heading_has_is_shown_as_it_is(level: object) -> None:
    shown = adf.plain(blocks(block("heading", "a", level=level)))
    assert shown.startswith("{heading ")
    assert len(shown) < 400
