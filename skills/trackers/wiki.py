"""Wiki markup, in which Jira Data Center keeps text: what people wrote is escaped, so that a reader sees it as they wrote it.

Two things escape: a backslash, and an HTML entity where Jira reads a character too early or too late for a backslash to help,
or where other readers of this markup know no backslash. Mentions are found in the raw text, even in code.
"""

import re
import unicodedata
from collections.abc import Iterable

from skills.trackers.body import Block, Bullets, Code, Heading, Line, Paragraph, Rule

_SPECIAL = re.compile(
    r"[\\{}|^~+]|:(?!\s)"  # macros; addresses and smileys
    r"|&(?=[#A-Za-z0-9])"  # entities
    r"|[*!()\[\]]|\?(?=\?)|(?<![A-Za-z0-9])[-_@]"
    r"|-(?=[0-9])"  # keys of tickets
)
_LINE_START = re.compile(r"^(\s*)(?:(h[1-6]|bq)\.|#)")
_ADDRESS = re.compile(r"https?://[-\w.~:/?#@$&()*+,=%]+", re.ASCII)
"""Addresses that can be linked; others stand there as text."""

_CALLS = re.compile(r"\[[~@]|\{noformat")
"""What must not stand in code that is kept as it is: it calls a person, or ends the code."""


def markup(blocks: Iterable[Block]) -> str:
    """The blocks in wiki markup."""
    return "\n\n".join(_written(block) for block in blocks)


def normal(text: str) -> str:
    """Markup without what means nothing in it: the kind of line ends, spaces at them, and repeated empty lines."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def escaped(text: str) -> str:
    """Text within a line, so that it is shown as it is."""
    return _SPECIAL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&amp;"
    return f"&#{ord(found[0])};" if found[0] in "\\{}|^~+:" else "\\" + found[0]


def _written(block: Block) -> str:
    match block:
        case Heading():
            return "h2. " + _line([("text", block.text)])
        case Paragraph():
            return _lines(block.lines)
        case Bullets():
            return "\n".join("* " + text for item in block.items if (text := _lines(item)))
        case Code() if not _CALLS.search(re.sub(r"[\\\n]", "", block.text)):  # Jira passes over these within a tag
            return f"{{noformat}}\n{block.text}\n{{noformat}}"
        case Code():
            return "\n".join(_monospaced(line.replace(" ", "\u00a0")) for line in block.text.split("\n") if line.strip())
        case Rule():
            return "----"


def _lines(lines: list[Line]) -> str:
    return "\n".join(text for line in lines if (text := _line(line)).strip())


def _line(line: Line | list[tuple[str, str]]) -> str:
    written = ""
    for at, (kind, text) in enumerate(line):
        following = line[at + 1][1][:1] if at + 1 < len(line) else ""
        if kind == "code" and not written[-1:].isalnum() and not following.isalnum():
            written += _monospaced(text)
        elif kind == "code":
            written += escaped(f"`{text}`")  # next to a letter the braces would be shown
        elif kind == "link" and _ADDRESS.fullmatch(text) and "://" not in re.split(r"\s", written)[-1]:
            written += f"[{text}]"  # a second one in a word would be taken for a part of the first
        else:
            written += escaped(text)
    written = re.sub("&#58;$", ":", written)
    return _LINE_START.sub(lambda found: found[1] + (f"{found[2]}&#46;" if found[2] else "\\#"), written)


def _monospaced(text: str) -> str:
    """Code within a line. What would keep Jira from seeing it as code is an entity: spaces at its ends, and odd characters."""
    inner = "".join(letter if _counts(letter) else f"&#{ord(letter)};" for letter in escaped(text))
    return "{{" + re.sub(r"^\s+|\s+$", lambda found: "".join(f"&#{ord(space)};" for space in found[0]), inner) + "}}"


def _counts(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LMPSZ" or letter.isdecimal()
