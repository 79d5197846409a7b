"""What a reader of a ticket in Markdown sees is the text of the document, and nothing in it works as markup or calls anybody.

A parser of CommonMark reads what is written, with the tables and the strikethrough of GitHub. What trackers look for in the
text that a parser leaves is written anew: from GitHub's documentation of autolinked references and what Renovate and
Dependabot do about them, GitLab's Banzai filters and QuickActions::Extractor, and Linear's documentation of mentions.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent.draft import Constraint, TicketDraft, clean
from agent.receipt import Piece, Receipt
from skills.trackers import github, gitlab, linear
from skills.trackers.body import Block, Bullets, Code, Heading, Paragraph, document, receipt_blocks, text_blocks
from skills.trackers.markdown import BREAK, Dialect, broken, details, last_mark, mark, markdown, reading, taken_out

DIALECTS = {"github": github.DIALECT, "gitlab": gitlab.DIALECT, "linear": linear.DIALECT}
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PARSER.normalizeLink = PARSER.normalizeLinkText = str  # type: ignore[method-assign, assignment]
ALLOWED = {"paragraph", "h2", "bullet_list", "list_item", "fence", "inline", "hr"}
ALLOWED_INLINE = {"text", "code_inline", "link", "hardbreak"}

EMOJI = r":[\w+-]*[a-z][\w+-]*:|:[+-]1:|:100:"
COMMIT = r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}\b"
FOUND = {
    "github": rf"(?<!\w)@[a-z0-9]|#\d|\bgh-\d|{COMMIT}|{EMOJI}|\$[^$]*\$",
    "gitlab": rf"(?<!\w)@[\w.]|[#!&$]\d|[~%][\w\"{{]|\bgl-\d|{COMMIT}|{EMOJI}|\[\w+:|[\[{{][+-]|\*iteration:",
    "linear": rf"\b[a-z0-9]*[a-z][a-z0-9]*-\d|{EMOJI}",
}
"""What each tracker finds in text that is neither code nor a link."""

TRICKY = [
    *"\\`*_{}[]<>()#+-.!|~=:$&^\"'/%@ \n",
    *(
        "@ann",
        "@org/team",
        "#12",
        "GH-12",
        "gl-3",
        "acme/app#12",
        "!12",
        "&12",
        "%12",
        "~bug",
        '~"a b"',
        "$1",
        "ENG-12",
        "utf-8",
    ),
    *("3f2a91c", "3f2a91c0de4b5a69788796a5b4c3d2e1f0a1b2c3", "12345678", ":tada:", ":+1:", "10:30:45", "std::vector::x"),
    *("fixes #1", "- [ ] x", "* * *", "---", "===", "# h", "1. x", "1) x", "> q", "```", "~~~", "    x", "\t", "| a |", "|-|"),
    *("<b>", "<!-- x -->", "</p>", "&copy;", "&#64;", "[x](http://x.y)", "![i](u)", "[^1]", "[^1]: n", "[x]: /u", "**b**"),
    *("www.a_b.com/_c_", "HTTP://x_y_z", "ann@example.com", "https://example.com/a_b?c=d&e=*f*", "`c`", "``", "$x$", "$`x`$"),
    *("/close", "/assign @ann", "{+ a +}", "[- b -]", "%{project_name}", "[issue:12]", "*iteration:4", "+++ t", ">>>", "::: x"),
    *(
        "https://linear.app/acme/profiles/ann",
        "https://github.com/acme/app/issues/1",
        "é",
        "中文",
        "e\u0301",
        "\u3000",
        "\u200d",
    ),
]
texts = st.lists(st.one_of(st.sampled_from(TRICKY), st.text(max_size=6)), max_size=12).map(
    lambda parts: clean("".join(parts))[0]
)
dialects = pytest.mark.parametrize("name", DIALECTS)


class Seen:
    """What is read in a text: lines, the kinds of elements, and words outside of code and links."""

    def __init__(self, text: str) -> None:
        self.lines: list[str] = []
        self.kinds: set[str] = set()
        self.plain: list[str] = []
        self._links = 0
        for token in PARSER.parse(text):
            self.kinds.add(token.tag if token.type.startswith("heading") else re.sub("_(open|close)$", "", token.type))
            if token.type in ("fence", "code_block"):
                self.lines += token.content.removesuffix("\n").split("\n")
            elif token.type == "inline":
                self.lines += "".join(self._inline(token)).split("\n")

    def _inline(self, token: Token) -> Iterator[str]:
        for child in token.children or []:
            self.kinds.add(re.sub("_(open|close)$", "", child.type))
            if child.type in ("link_open", "link_close"):
                self._links += child.nesting
            if child.type == "text" and not self._links:
                self.plain.append(child.content)
            yield "\n" if child.type in ("softbreak", "hardbreak") else child.content


def shown(lines: list[str]) -> list[str]:
    """The lines as a browser shows them."""
    tidy = (" ".join(line.replace(BREAK, "").replace("\xa0", " ").split()) for line in lines)
    return [line for line in tidy if line]


def said(blocks: list[Block]) -> list[str]:
    """The lines of a document."""
    lines: list[str] = []
    for block in blocks:
        match block:
            case Heading():
                lines.append(block.text)
            case Code():
                lines += block.text.split("\n")
            case Paragraph():
                lines += ["".join(piece.text for piece in line) for line in block.lines]
            case Bullets():
                lines += ["".join(piece.text for piece in line) for item in block.items for line in item]
    return shown(lines)


@dialects
@settings(max_examples=400, deadline=None)
@given(text=texts, item=texts)
@example(text="a\n---", item="x\n\n    y")
@example(text="a\n===", item="+ x")
@example(text="| a\n|-|", item="| a\n|-|")
@example(text="$`x`$ $`y`$", item="`a``b`")
@example(text="```\n```\n/close\n```", item="/close")
@example(text="Title\n:-:\nx", item="\\")
@example(text="  - a\n\t- b", item="1. x")
@example(text="a\\\n\u3000", item="a\n \nb")
def test_what_is_read_is_what_was_written(name: str, text: str, item: str) -> None:
    blocks = [*text_blocks(text), *document(TicketDraft(risks=[item] if item.strip() else []), {"Type": "Bug"})]
    seen = Seen(markdown(blocks, DIALECTS[name]))
    assert seen.kinds <= ALLOWED | ALLOWED_INLINE
    assert shown(seen.lines) == said(blocks)
    assert [found for plain in seen.plain if (found := re.search(FOUND[name], plain, re.IGNORECASE | re.ASCII))] == []


@dialects
@settings(max_examples=300, deadline=None)
@given(text=texts)
@example(text="```\n```\n/close\n```")
def test_no_line_is_a_command(name: str, text: str) -> None:
    written = markdown([*text_blocks(text), Bullets([[[Piece("text", text.replace("\n", " "))]]])], DIALECTS[name])
    assert not re.search(r"^/", written, re.MULTILINE)


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_a_title_in_gitlab_calls_nobody(text: str) -> None:
    after = broken(text, gitlab.DIALECT)
    assert after.replace(BREAK, "") == text
    assert not re.search(FOUND["gitlab"], after, re.IGNORECASE | re.ASCII)


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_a_text_reads_as_itself_and_as_what_linear_makes_of_it(text: str) -> None:
    written = markdown([*text_blocks(text), Bullets([[[Piece("text", "a")]], [[Piece("text", "b")]]])], linear.DIALECT)
    assert reading(written) == reading(rewritten(written))


def as_link(found: re.Match[str]) -> str:
    address = re.sub(r"([\[\]_*~&])", r"\\\1", found[1])
    return f"[{address}](<{address}>)"


def rewritten(text: str) -> str:
    """As Linear keeps it: other bullets, no blanks at ends, addresses as links, CR LF from somewhere on the way."""
    lines = [re.sub(r"^- ", "* ", line.rstrip()) for line in text.split("\n")]
    out, fenced = [], False
    for line in lines:
        fenced ^= line.strip().startswith("```")
        out.append(line if fenced else re.sub(r"(?<!!)<(https?://[^>\s]+)>", as_link, line))
    return "\r\n".join(out)


DIFFERENT = [
    ("a", "b"),
    ("a", "*a*"),
    ("\\*a\\*", "*a*"),
    ("\\# a", "# a"),
    ("\\- a", "- a"),
    ("1\\. a", "1. a"),
    ("- a\n- b", "- a\n\n  b"),
    ("- a\n- b", "1. a\n2. b"),
    ("a\nb", "a b"),
    ("`a`", "a"),
    ("`a`", "\\`a\\`"),
    ("\\---", "---"),
    ("\\<b>", "<b>"),
    ("a", "a <!-- b -->"),
    ("a", "a\n\n<!-- b -->"),
    ("https://a.b", "[https://a.b](https://evil.example)"),
    ("ann", "[ann](https://a.b)"),
    ("a", "a ![](https://a.b/c.png)"),
    ("```\n a\n```", "```\na\n```"),
    ("> a", "a"),
    ("| a |\n| - |\n| b |", "\\| a \\|\n\\| - \\|\n\\| b \\|"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_reads_otherwise_is_not_the_same(one: str, other: str) -> None:
    assert reading(one) != reading(other)


SAME = [
    ("- a\n- b", "* a\n* b\n"),
    ("- a\n- b", "- a\n\n- b"),
    ("_a_ __b__", "*a* **b**"),
    ("a\\_b", "a_b"),
    ("a \\[x\\]", "a [x]"),
    ("see <https://a.b/c>", "see [https://a.b/c](<https://a.b/c>)"),
    ("Fly.io", "[Fly.io](<http://Fly.io>)"),
    ("ann@a.b", "[ann@a.b](<mailto:ann@a.b>)"),
    ("a\\\nb", "a  \nb"),
    ("&nbsp;a", "a"),
    (f"@{BREAK}ann", "@ann"),
    ("a\n\n---\n\nb", "a\n\n***\n\nb"),
    ("a\nb", "a\r\nb"),
    ("# a", "a\n="),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_reads_the_same_is_the_same(one: str, other: str) -> None:
    assert reading(one) == reading(other)


PLAIN = [
    ("snake_case and 2 - 1", "snake_case and 2 - 1"),
    ("mail ann@example.com", "mail ann@example.com"),
    ("at 10:30:45, R&D, C++, 50% off", "at 10:30:45, R&D, C++, 50% off"),
    ("see (https://example.com/a_b).", "see (<https://example.com/a_b>)."),
]


@dialects
@pytest.mark.parametrize(("text", "written"), PLAIN)
def test_what_is_harmless_stays_as_it_is(name: str, text: str, written: str) -> None:
    assert markdown(list(text_blocks(text)), DIALECTS[name]) == written


def test_an_id_can_be_copied() -> None:
    text = "request 123e4567-e89b-12d3-a456-426614174000 at 3f2a91c"
    assert markdown(list(text_blocks(text)), github.DIALECT) == "request `123e4567-e89b-12d3-a456-426614174000` at `3f2a91c`"


def test_a_parser_finds_no_address_that_it_would_read_with_its_escapes() -> None:
    assert markdown(list(text_blocks("www.a_b.c/_d_ HTTP://x_")), github.DIALECT) == "www\\.a_b.c/\\_d\\_ HTTP\\://x\\_"


def test_a_row_of_colons_is_no_table_without_pipes_and_no_description() -> None:
    assert markdown(list(text_blocks("a\n:-:\n\n: b")), github.DIALECT) == "a\\\n\\:-:\n\n\\: b"


@pytest.mark.parametrize("code", [" a ", " ", " a", "\\"])
def test_code_is_whole(code: str) -> None:
    blocks: list[Block] = [Paragraph([[Piece("text", "x"), Piece("code", code)]])]
    children = PARSER.parse(markdown(blocks, github.DIALECT))[1].children or []
    assert [child.content for child in children if child.type == "code_inline"] == [code]


def test_an_address_in_linear_is_no_mention() -> None:
    text = "ask https://linear.app/acme/profiles/ann about https://linear.application.example/x"
    assert markdown(list(text_blocks(text)), linear.DIALECT) == (
        "ask `https://linear.app/acme/profiles/ann` about <https://linear.application.example/x>"
    )


def test_indentation_is_kept() -> None:
    assert markdown(list(text_blocks("a:\n  - b\n\tc")), github.DIALECT) == "a:\\\n&nbsp;&nbsp;\\- b\\\n" + "&nbsp;" * 4 + "c"


def test_details_lose_nothing() -> None:
    draft = TicketDraft(custom={"Team": "a", "Priority": "b"})
    assert details(draft, Type="Bug", Priority="high", Labels="") == {
        "Type": "Bug", "Priority": "high", "Team": "a", "Priority (custom)": "b"
    }  # fmt: skip


RECEIPT = Receipt(
    marker="signoff-12",
    draft_hash="a" * 64,
    approved_by="@ann *A*",
    approved_at=datetime(2026, 11, 25, tzinfo=UTC),
    thread="https://acme.slack.com/archives/C1/p1",
)


def enveloped(body: str, dialect: Dialect = github.DIALECT) -> tuple[str, str]:
    envelope = markdown(receipt_blocks(RECEIPT), dialect) + "\n\n" + mark(RECEIPT.marker)
    return f"{body}\n\n{envelope}", envelope


def test_the_envelope_is_told_from_the_body() -> None:
    draft = TicketDraft(title="t", problem="a\n\n---\n\nb", constraints=[Constraint(key="k", value="v")])
    body = markdown(document(draft, {}), github.DIALECT)
    text, envelope = enveloped(body)
    assert "@ann" not in text
    assert taken_out(text, envelope) == (reading(body), True)
    assert taken_out(text.replace("\n", "\r\n"), envelope) == (reading(body), True)
    assert taken_out(text + "\n\nPS", envelope) == ([*reading(body), "PS"], True)
    assert taken_out(text.replace("Approved", "Refused"), envelope) == (reading(body), False)
    assert taken_out(text.replace("Approved", "Refused") + "\n\nPS", envelope) == ([*reading(body), "PS"], False)
    assert taken_out(body, envelope) == (reading(body), False)
    assert taken_out(text.replace("v", "w"), envelope)[0] != reading(body)


def test_a_marker_in_code_is_not_the_last() -> None:
    text, _ = enveloped(markdown(list(text_blocks(f"```\n{mark('signoff-other')}\n```")), github.DIALECT))
    assert mark("signoff-other") in text
    assert last_mark(text) == last_mark(text.replace("\n", "\r\n")) == "signoff-12"
    assert last_mark(markdown(list(text_blocks(mark("signoff-12"))), github.DIALECT)) == ""
