"""What a reader of a ticket in Jira Data Center sees is the text of the document, and nothing in it works as markup.

`seen` reads markup as Jira does. Its rules are those of Atlassian's own renderer (com.atlassian.renderer.v2, the order of its
components, and com.atlassian.jira.mention.MentionFinderImpl for who is called), written anew.
"""

import html
import re
import unicodedata
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.draft import Constraint, TicketDraft, clean
from agent.receipt import Piece, Receipt
from skills.trackers import wiki
from skills.trackers.body import Block, Bullets, Code, Heading, Line, Paragraph, Rule, document, receipt_blocks, text_blocks

URL = r"(?<![A-Za-z0-9])((?:https?://|ftps?://|mailto:|nntp://|news://|irc://|file:)[-_.!~*';/?:@#&=%+$,A-Za-z0-9\[\]()\\]+)"
SMILEYS = [":)", ":(", ":P", ":D", ";)", "(y)", "(n)", "(i)", "(/)", "(x)", "(!)", "(+)", "(-)", "(?)", "(on)", "(off)", "(*)"]
SMILEYS += ["(*r)", "(*g)", "(*b)", "(*y)", "(flag)", "(flagoff)"]
PHRASES = {"*": "strong", "^": "sup", "~": "sub", "_": "em", "-": "del", "??": "cite", "+": "ins"}


class Reader:
    """Reads markup; `text` is what is seen, `marks` counts what worked as markup."""

    def __init__(self, markup: str) -> None:
        self.marks: Counter[str] = Counter()
        self._tokens: list[str] = []
        self.marks["mention"] += len(re.findall(r"\[[~@][^\\,]+?\]", markup))
        self.text = self._blocks(self._macros(markup))

    def _token(self, text: str) -> str:
        self._tokens.append(text)
        return chr(0xE000 + len(self._tokens) - 1)

    def _macros(self, markup: str) -> str:
        out, at = "", 0
        while at < len(markup):
            if re.match(r"\\|\{[{*?^_+~-]", markup[at : at + 2]):
                out, at = out + markup[at : at + 2], at + 2
            elif markup[at] == "{" and (tag := _tag(markup, at)):
                end = _end(markup, tag[1], tag[0])
                self.marks["code" if tag[0] == "noformat" and end else f"macro {tag[0]}"] += 1
                out += "\n" + self._token(markup[tag[1] : end[0]] if end else "") + "\n"
                at = end[1] if end else tag[1]
            else:
                out, at = out + markup[at], at + 1
        return out

    def _blocks(self, text: str, *, lists: bool = True) -> str:
        lines, shown, paragraph = text.split("\n"), [], []
        while lines:
            line = lines.pop(0)
            rest: list[str] | None = None
            if not line.strip(" \t\n\r\x0b\x0c"):
                rest = []
            elif found := re.fullmatch(r"\s*h([1-6])\.\s*(.*)", line):
                self.marks["heading"] += 1
                rest = [self._inline(found[2])]
            elif found := re.fullmatch(r"\s*bq\.\s*(.*)", line):
                self.marks["quote"] += 1
                rest = [self._inline(found[1])]
            elif re.fullmatch(r"\s*-{4,5}\s*", line):
                self.marks["rule"] += 1
                rest = []
            elif lists and (found := re.fullmatch(r"\s*([*#-]+)\s+(.*?)\s*", line)) and not re.match(r"\s*-{2,3}", line):
                self.marks[f"item {found[1]}"] += 1
                item = [found[2]]
                while lines and lines[0].strip() and not re.fullmatch(r"\s*([*#-]+)\s+(.*?)\s*", lines[0]):
                    item.append(lines.pop(0))
                rest = [self._blocks("\n".join(item), lists=False)]
            elif re.match(r"\s*\|", line):
                self.marks["table"] += 1
                rest = [self._inline(line)]
            if rest is None:
                paragraph.append(line)
                continue
            shown += [self._inline("\n".join(paragraph)), *rest]
            paragraph = []
        return "\n".join([*shown, self._inline("\n".join(paragraph))])

    def _inline(self, text: str) -> str:
        text = self._links(text)
        text = self._count("address", r'([^"\[|\'!]|^)' + URL, text)
        text = self._count("key", r"(?<![A-Za-z0-9])[A-Z][A-Z0-9_]+-[0-9]+", text)
        text = re.sub(r"(?<!\\)\\([-#*_+?^~|%{}\[\]()!@])", _unescaped, text)
        text = re.sub(r"&(?![#A-Za-z0-9][A-Za-z0-9]{1,7};)", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;")
        text = self._count("dash", r"(?:(?<=\s)|^)---?(?=\s|$)", text)
        for smiley in SMILEYS:
            text = self._count("smiley", r"\\?" + re.escape(smiley) + r"(?![^\W_])", text)
        text = self._phrase(text, "!", "!", "image")
        for mark, name in PHRASES.items():
            self.marks[name] += text.count("{" + mark + "}")
            text = self._phrase(text, mark, mark, name)
        text = self._phrase(text, "{{", "}}", "mono")
        text = self._count("break", r"(?<!\\)\\\\(?!\S*\\)", text)
        return re.sub("[\ue000-\uf8ff]", lambda found: self._tokens[ord(found[0]) - 0xE000], html.unescape(text))

    def _links(self, text: str) -> str:
        out, at = "", 0
        inside = [found.span() for found in re.finditer(URL, text)]
        while at < len(text):
            starts = text[at] == "[" and text[at - 1 : at] != "\\" and at + 1 < len(text) and text[at + 1] not in "] \n\t"
            if starts and not any(start < at < end for start, end in inside):
                end = re.match(r"(?:\\.|[^\[\]\n\\])*\]", text[at + 1 :])
                if end:
                    self.marks["link"] += 1
                    body = end[0][:-1]
                    if re.search(r"[|^!\]]", body) or not body.startswith("http"):
                        self.marks["odd link"] += 1
                    out, at = out + self._token(body), at + 1 + end.end()
                    continue
            out, at = out + text[at], at + 1
        return out

    def _count(self, name: str, pattern: str, text: str) -> str:
        self.marks[name] += len(re.findall(pattern, text))
        return text

    def _phrase(self, text: str, opening: str, closing: str, name: str) -> str:
        at = 0
        while (start := text.find(opening, at)) >= 0:
            at = start + 1
            first = start + len(opening)
            if start and (_letter(text[start - 1]) or text[start - 1] == "\\"):
                continue
            end = text.find(closing, first + 1)
            content = text[first:end] if end > 0 else ""
            fits = content and not content[0].isspace() and content[0] not in opening and not content[-1].isspace()
            if not fits or content[-1] in closing + "\\" or not all(_counted(each) for each in content):
                continue
            after = text[end + len(closing) : end + len(closing) + 1]
            if after and _letter(after):
                continue
            self.marks[name] += 1
            text = text[:start] + self._token(html.unescape(content)) + text[end + len(closing) :]
        return text


def _unescaped(found: re.Match[str]) -> str:
    return found[1] if found[1] in "{}[]" else f"&#{ord(found[1])};"


def _letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L" or unicodedata.category(character) == "Nd"


def _counted(character: str) -> bool:
    return _letter(character) or unicodedata.category(character)[0] in "ZSMP" or "\ue000" <= character <= "\uf8ff"


def _tag(markup: str, at: int) -> tuple[str, int] | None:
    """The command of a macro's tag that stands here, and where it ends."""
    command, passed, arguments = "", False, False
    for end in range(at + 1, len(markup)):
        character = markup[end]
        if not passed:
            if character == "}":
                even = (len(re.match("}*", markup[end:])[0]) % 2) == 0  # type: ignore[index]
                return None if not command.strip() or command.startswith("$") or even else (command.lower(), end + 1)
            if character in "\n\r\\":
                passed = True
                continue
            if character == "{":
                return None
            if character == ":":
                arguments = True
                continue
        passed = False
        command += "" if arguments else character
    return None


def _end(markup: str, at: int, command: str) -> tuple[int, int] | None:
    """Where the macro's end tag begins and ends."""
    while at < len(markup):
        if markup[at] == "\\":
            at += 2
        elif markup[at] == "{" and (tag := _tag(markup, at)) and tag[0] == command:
            return at, tag[1]
        else:
            at += 1
    return None


def text_of(block: Block) -> str:
    """What is to be read of a block."""
    match block:
        case Heading() | Code():
            return block.text
        case Paragraph():
            return "\n".join("".join(piece.text for piece in line) for line in block.lines)
        case Bullets():
            return "\n".join(text_of(Paragraph(item)) for item in block.items)
        case Rule():
            return ""


def words(text: str) -> str:
    """Text by its words. Backticks do not count: they stand around code that touches a letter."""
    return " ".join(text.replace("`", "").split())


def check(blocks: list[Block]) -> None:
    """Jira shows the blocks' text, and marks up no more than they do."""
    markup = wiki.markup(blocks)
    reader = Reader(markup)
    assert words(reader.text) == words("\n".join(map(text_of, blocks))), markup
    marks = +reader.marks
    lines = [line for block in blocks for line in _lines_of(block)]
    assert marks.pop("heading", 0) == sum(isinstance(block, Heading) for block in blocks), markup
    assert marks.pop("rule", 0) == sum(isinstance(block, Rule) for block in blocks), markup
    assert marks.pop("item *", 0) <= sum(len(block.items) for block in blocks if isinstance(block, Bullets)), markup
    assert marks.pop("code", 0) <= sum(isinstance(block, Code) for block in blocks), markup
    codes = sum(len(block.text.split("\n")) for block in blocks if isinstance(block, Code))
    assert marks.pop("mono", 0) <= codes + sum(piece.kind == "code" for line in lines for piece in line), markup
    assert marks.pop("link", 0) <= sum(piece.kind == "link" for line in lines for piece in line), markup
    assert not marks, markup


def _lines_of(block: Block) -> list[Line]:
    if isinstance(block, Bullets):
        return [line for item in block.items for line in item]
    return block.lines if isinstance(block, Paragraph) else []


HOSTILE = [
    "[~bob]",
    "[@bob]",
    "@bob",
    "{code}",
    "{noformat}",
    "{no\\format}",
    "{panel:title=x}",
    "{color:white}",
    "{*}",
    "{{",
    "}}",
]
HOSTILE += [
    "||a||",
    "|a|b|",
    "h1. ",
    "h6.",
    "bq. ",
    "*",
    "_",
    "-",
    "--",
    "---",
    "----",
    "+",
    "^",
    "~",
    "??",
    "!image.png!",
    "!",
    "|",
]
HOSTILE += [
    "[link|https://evil.example]",
    "[#anchor]",
    "[^file.zip]",
    "[",
    "]",
    "\\",
    "\\\\",
    "# ",
    "* ",
    "- ",
    "OPS-12",
    ":D",
    ";)",
]
HOSTILE += [
    "(/)",
    "(*)",
    ":",
    "&lt;",
    "&#42;",
    "&",
    "mailto:",
    "ftp://x.example",
    "file:\\\\x",
    "https://x.example/a_b_(c)?d=*e*&f",
]
HOSTILE += [
    "`",
    "`code`",
    "`a*b*`",
    "` {x} `",
    "```",
    "\n",
    "\n\n",
    "\n```\n",
    " ",
    "a",
    "Z",
    "7",
    "é",
    "½",
    "\t",
    "'",
    '"',
    ".",
    "𝕏",
]
OTHER = st.characters(exclude_categories=("Co", "Cn", "Cs", "Cc"))
TEXTS = (
    st.lists(st.sampled_from(HOSTILE) | st.text(OTHER, max_size=5), max_size=14).map("".join).map(lambda text: clean(text)[0])
)
ITEMS = st.lists(TEXTS.filter(str.strip), max_size=3)


@settings(max_examples=500)
@given(TEXTS, ITEMS, st.dictionaries(TEXTS.filter(str.strip), TEXTS, max_size=2))
@example("{noformat}", [], {})
@example("```\n[~bob]\n```", [], {})
@example("```\n{\nnoformat}*x*\n```", [], {})
@example("foo`bar`baz `½` ` x ` `a}}b`", [], {})
@example("https://x.example'https://y.example mailto:https://z.example", [], {})
def test_what_is_read_is_the_text(problem: str, criteria: list[str], more: dict[str, str]) -> None:
    draft = TicketDraft(problem=problem, acceptance_criteria=criteria, constraints=[Constraint(value=one) for one in criteria])
    check(document(draft, more))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_each_by_itself_and_in_words(hostile: str) -> None:
    for text in (hostile, f"{hostile} x", f"x {hostile}", f"x{hostile}x", f"{hostile}x{hostile}", f"x {hostile}x{hostile} y"):
        check(list(text_blocks(text)))


def test_the_reader_sees_markup() -> None:
    markup = "h1. a\n\n* b\n\nbq. c\n\n|d|\n\n----\n\n*e* _f_ -g- +h+ ^i^ ~j~ ??k?? {{l}} !m.png! [~n] {o}{o} :D OPS-1 x -- y https://z"
    marks = Reader(markup).marks
    wanted = "heading quote table rule strong em del ins sup sub cite mono image mention smiley key dash address"
    assert [name for name in [*wanted.split(), "item *", "macro o"] if not marks[name]] == []
    assert Reader("{noformat}\n*a*\n{noformat}").marks["code"] == 1
    assert Reader("[https://x.example]").marks["link"] == 1


def test_the_markup_itself() -> None:
    draft = TicketDraft(
        problem="Export of `a*b` fails: see https://x.example/a_b (OPS-12).\n\n```\nif (x) {\n```\nuser-facing\nsteps:",
        acceptance_criteria=["it finishes\nin time"],
    )
    markup = wiki.markup([*document(draft, {"Epic": "[~bob] [@eve]"}), Rule()])
    assert markup == "\n\n".join(
        [
            "h2. Problem",
            r"Export of {{a\*b}} fails: see [https://x.example/a_b] \(OPS\-12\).",
            "{noformat}\nif (x) {\n{noformat}",
            "user-facing\nsteps:",
            "h2. Acceptance criteria",
            "* it finishes\nin time",
            "h2. Details",
            r"* Epic: \[&#126;bob\] \[\@eve\]",
            "----",
        ]
    )


def test_code_that_would_call_somebody_is_written_line_by_line() -> None:
    assert (
        wiki.markup(text_blocks("```\nif x:\n  mail [~bob]\n```"))
        == "{{if\u00a0x&#58;}}\n{{&#160;&#160;mail\u00a0\\[&#126;bob\\]}}"
    )


def test_the_receipt() -> None:
    at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    receipt = Receipt(marker="m", draft_hash="ab" * 32, approved_by="*[~eve]*", approved_at=at, thread="https://s.example/p1")
    check(list(receipt_blocks(receipt)))
    assert wiki.markup(receipt_blocks(receipt)) == (
        "----\n\n"
        r"Approved by \*\[&#126;eve\]\* on 2026\-11\-25 at 12&#58;00&#58;00 UTC in [https://s.example/p1]. Filed by Signoff. "
        "SHA\\-256 of what was approved: {{" + "ab" * 32 + "}}."
    )


@given(TEXTS)
def test_the_normal_form_does_not_depend_on_how_jira_keeps_lines(text: str) -> None:
    markup = wiki.markup(text_blocks(text))
    kept = re.sub("\n", " \r\n", markup) + "\r\n\r\n"
    assert wiki.normal(kept) == wiki.normal(markup) == wiki.normal(wiki.normal(markup))


def test_the_normal_form_keeps_what_can_be_read() -> None:
    assert wiki.normal("a\nb") != wiki.normal("a b") != wiki.normal("a\n\nb")
    assert wiki.normal("a *b*") != wiki.normal("a b")


def test_text_without_pieces_is_nothing() -> None:
    assert wiki.markup([Paragraph([[Piece("text", " ")]]), Bullets([[[]]])]).strip() == ""
