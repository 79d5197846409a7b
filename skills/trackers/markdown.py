"""Markdown, for the trackers that keep it: a document in which all that people wrote is literal, and how a text reads.

What a parser takes for markup is escaped. Trackers also look for names, numbers and emoji in what the parser leaves of it, and
find them escaped or not. There goes a break, a space without width: nobody sees it, and no draft can hold one. In what people
copy, such as a commit, a break would do harm: that is written as code.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent.draft import TicketDraft
from agent.sealing import FieldChange, SealedTicket
from skills.trackers.body import Block, Bullets, Code, Heading, Line, Paragraph, Rule
from skills.trackers.compare import compared

BREAK = "\u200b"
"""A space without width."""


@dataclass(frozen=True)
class Dialect:
    """What a tracker finds in text that is no markup."""

    calls: re.Pattern[str]
    """The start of a call, a reference or a picture, after which a break keeps it from being one."""
    as_code: Callable[[str], bool]
    """Whether a word is written as code."""
    own: re.Pattern[str] = re.compile("(?!)")
    """Addresses that are written as code, because the tracker makes more of them than a link."""


EMOJI = r":(?=[0-9_+-]*[A-Za-z][A-Za-z0-9_+-]*:|[+-]1:|100:|1234:)"
"""The colon before the name of an emoji."""

MENTION = r"(?<![A-Za-z0-9])@(?=[\w.])"
"""The sign before a name; within a word, as in an address for mail, it is none."""

_MARKUP = re.compile(r"[\\`*\[\]<>|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|&(?=#?\w+;)|:(?=//)|(?i:(?<=www))\.")
_FIRST = re.compile(r"^(\d{1,9}(?=[.)])|(?=[#+=/:-]))")
"""What is markup, or a command, at the beginning of a line."""
_WORD = re.compile(r"[\w$-]+(?:[.,][\w$-]+)*")
_ADDRESS = re.compile(r"https?://[^\s<>`]+")
_COMMIT = re.compile(r"(?i)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}")
_MARK = re.compile(r"^<!-- signoff:(\S+) -->$", re.MULTILINE)


def has_commit(word: str) -> bool:
    """Whether a part of the word looks like the hash of a commit."""
    return any(_COMMIT.fullmatch(part) for part in re.split("[^A-Za-z0-9_]", word))


def mark(name: str) -> str:
    """A line that nobody sees, and that nothing people write can become, except within code."""
    return f"<!-- signoff:{name} -->"


def last_mark(text: str) -> str:
    """The name in the last such line, which is ours whatever stands in code above it; empty if there is none."""
    return next(reversed(_MARK.findall(text.replace("\r\n", "\n"))), "")


def details(draft: TicketDraft, **named: str) -> dict[str, str]:
    """What a tracker has no field for, by name: what is given, and the draft's own fields."""
    found = {name: text for name, text in named.items() if text}
    for name, text in draft.custom.items():
        while name in found:
            name += " (custom)"
        found[name] = text
    return found


def markdown(blocks: Sequence[Block], dialect: Dialect) -> str:
    """A document as Markdown; an end of a line within a paragraph stays one."""
    return "\n\n".join(filter(None, (_block(block, dialect) for block in blocks)))


def broken(text: str, dialect: Dialect) -> str:
    """A text that calls nobody, for a place that has no markup; the hash of a commit has seven characters or more."""
    text = _WORD.sub(
        lambda word: re.sub(r"\w{6}(?=\w)", rf"\g<0>{BREAK}", word[0]) if dialect.as_code(word[0]) else word[0], text
    )
    return dialect.calls.sub(rf"\g<0>{BREAK}", text)


def _block(block: Block, dialect: Dialect) -> str:
    match block:
        case Heading():
            return "## " + _literal(block.text, dialect)
        case Paragraph():
            return _paragraphs(block.lines, dialect)
        case Bullets():
            items = [_paragraphs(item, dialect) for item in block.items]
            return "\n".join("- " + re.sub(r"\n(?!\n)", "\n  ", item) for item in items if item)
        case Code():
            return _fenced(block.text)
        case Rule():
            return "---"


def _paragraphs(lines: Sequence[Line], dialect: Dialect) -> str:
    """The lines; empty ones part paragraphs."""
    groups: list[list[str]] = [[]]
    for line in lines:
        if any(piece.text.strip() for piece in line):
            groups[-1].append(_line(line, dialect))
        elif groups[-1]:
            groups.append([])
    return "\n\n".join("\\\n".join(group) for group in groups if group)


def _line(pieces: Line, dialect: Dialect) -> str:
    written = ""
    for piece in pieces:
        match piece.kind:
            case "code":
                part = _code(piece.text)
            case "link" if _ADDRESS.fullmatch(piece.text):
                part = _code(piece.text) if dialect.own.match(piece.text) else f"<{piece.text}>"
            case _:
                part = _text(piece.text, dialect, first=not written)
        # two spans of code that touch would be one, or none
        written += (BREAK if written.endswith("`") and part.startswith("`") else "") + part
    return written.rstrip(" \t")


def _text(text: str, dialect: Dialect, *, first: bool) -> str:
    """Words, with those as code that are no words; the spaces that begin a line are kept where a reader sees them."""
    written, at = "", 0
    if first:
        at = len(text) - len(text.lstrip(" \t"))
        written = "&nbsp;" * len(text[:at].expandtabs(4))
    for word in _WORD.finditer(text, at):
        if dialect.as_code(word[0]):
            written += _literal(text[at : word.start()], dialect, first=first) + _code(word[0])
            at, first = word.end(), False
    return written + _literal(text[at:], dialect, first=first)


def _literal(text: str, dialect: Dialect, *, first: bool = False) -> str:
    escaped = _MARKUP.sub(r"\\\g<0>", dialect.calls.sub(rf"\g<0>{BREAK}", text))
    return _FIRST.sub(r"\1\\", escaped) if first else escaped


def _code(text: str) -> str:
    """Code within a line; if it has a space at both ends, Markdown takes one off each."""
    return f"` {text} `" if text.strip() and text[0] == text[-1] == " " else f"`{text}`"


def _fenced(text: str) -> str:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    lines = [fence, *text.split("\n"), fence]
    # a line that begins with a slash may be a command even here; a fence's indentation is taken off its lines
    indent = " " if any(line.startswith("/") for line in lines) else ""
    return "\n".join(indent + line for line in lines)


_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# an address is what is written, even if it is not quite one
_PARSER.normalizeLink = _PARSER.normalizeLinkText = str  # type: ignore[method-assign, assignment]

_INLINE = {"em_open": "*", "em_close": "*", "strong_open": "**", "strong_close": "**", "s_open": "~~", "s_close": "~~"}


def reading(text: str) -> list[str]:
    """The text's blocks as they read: the same for two texts that differ only in how their markup is written.

    So it makes no difference which sign a list or emphasis has, what is escaped, whether an address is in brackets or a link
    to itself, how wide a space is, and where empty lines are. A break stands before what is markup, to tell it from words
    that look like it.
    """
    blocks: list[str] = []
    around: list[str] = []
    for token in _PARSER.parse(text.replace("\r\n", "\n")):
        if token.nesting == 1:
            around.append(_opened(token))
        elif token.nesting == -1:
            around.pop()
        elif words := _leaf(token):
            blocks.append("".join(around) + words)
            around = [BREAK + "  " if prefix.startswith(f"{BREAK}-") else prefix for prefix in around]
    return blocks


def _opened(token: Token) -> str:
    match token.type:
        case "heading_open":
            return f"{BREAK}{'#' * int(token.tag[1:])} "
        case "list_item_open":
            return f"{BREAK}-{token.info} "
        case "blockquote_open":
            return f"{BREAK}> "
        case "th_open" | "td_open":
            return f"{BREAK}| "
    return ""


def _leaf(token: Token) -> str:
    match token.type:
        case "inline":
            return _seen(token.children or [])
        case "fence" | "code_block":
            lines = [line.rstrip() for line in token.content.rstrip("\n").split("\n")]
            return "\n".join([f"{BREAK}```{token.info}", *lines])
        case "hr":
            return f"{BREAK}---"
    return BREAK + token.content.strip() if token.content.strip() else ""


def _seen(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    links: list[tuple[int, str]] = []
    for token in tokens:
        match token.type:
            case "text":
                parts.append(token.content.replace(BREAK, "").replace("\xa0", " "))
            case "code_inline":
                parts.append(f"{BREAK}`{token.content}{BREAK}`")
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "link_open":
                links.append((len(parts), str(token.attrs["href"])))
            case "link_close":
                at, address = links.pop()
                words = address if token.markup == "autolink" else "".join(parts[at:])
                parts[at:] = [words if _leads_to(words, address) else f"{BREAK}[{words}]({address})"]
            case "image":
                parts.append(f"{BREAK}![{token.content}]({token.attrs['src']})")
            case _:
                parts.append(BREAK + _INLINE.get(token.type, token.content))
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in "".join(parts).split("\n")]
    return "\n".join(filter(None, lines))


def _leads_to(words: str, address: str) -> bool:
    """Whether the words are the address that they lead to, with or without its beginning."""
    shown, real = (one.rstrip("/").casefold() for one in (words, address))
    return real in (shown, f"http://{shown}", f"https://{shown}", f"mailto:{shown}")


def taken_out(text: str, envelope: str) -> tuple[list[str], bool]:
    """How a body reads without its envelope, and whether that stands in it as it was written."""
    blocks, tail = reading(text), reading(envelope)
    for at in range(len(blocks) - len(tail), -1, -1):
        if blocks[at : at + len(tail)] == tail:
            return blocks[:at] + blocks[at + len(tail) :], True
    rules = [at for at, block in enumerate(blocks) if block == f"{BREAK}---"]
    at = rules[-1] if rules else len(blocks)
    return blocks[:at] + blocks[at + len(tail) :], False


FACTOR, LONGER = 3, 10_000
"""A body over so many times the length of what was sent, and so many characters, is not what was sent, however it is written.
It is not read: a parser takes seconds for a hundred thousand brackets, and anybody may write them into a ticket."""


def judged(
    sealed: SealedTicket, there: Mapping[str, Any], body: str, envelope: str
) -> tuple[dict[str, Any], list[FieldChange], bool]:
    """What `compared` says, where `body` is the part that is Markdown; and whether the envelope stands as it was written."""
    sent, found = sealed.payload["request"][body], there[body] or ""
    wanted, most = reading(sent), FACTOR * len(sent + envelope) + LONGER
    if len(found) > most:
        blocks, stands = [found[:most]], envelope in found.replace("\r\n", "\n")
    else:
        blocks, stands = taken_out(found, envelope)
    same = blocks == wanted
    now = sent if same else "\n\n".join(blocks)

    def words(name: str, value: Any) -> str:
        if name == body:
            return "\n\n".join(wanted) if same or value is sent else str(value)
        return "\n".join(sorted(str(one).casefold() for one in value)) if isinstance(value, list) else str(value or "")

    payload, changed = compared(sealed, {**there, body: now}, words)
    return payload, changed, stands
