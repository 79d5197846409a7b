"""The pieces that messages and forms are made of, in Slack's Block Kit.

What people wrote is shown as rich text elements or plain text, which Slack does not read as markup; our own words are mrkdwn,
and every foreign part in them is escaped.
"""

import re
from collections.abc import Sequence
from typing import Any

from slack_adapter.text import Lookup, cut, escape

Block = dict[str, Any]

BLOCK_CHARACTERS = 2_900
"""Characters of one text in a block; Slack's limit is 3,000."""

FALLBACK = 3_900
"""Characters of the text beside the blocks, which `chat.update` limits to 4,000."""


def mrkdwn(text: str) -> dict[str, Any]:
    """A text object of our own words."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def plain(text: str) -> dict[str, Any]:
    """A text object that Slack shows as it is."""
    return {"type": "plain_text", "text": text, "emoji": False}


def section(text: str) -> Block:
    """A paragraph of our own words."""
    return {"type": "section", "text": mrkdwn(text)}


def context(*texts: str) -> Block:
    """A line in small letters."""
    return {"type": "context", "elements": [mrkdwn(cut(text, BLOCK_CHARACTERS)) for text in texts]}


def button(text: str, action: str, value: str, **options: Any) -> dict[str, Any]:
    """A button."""
    return {"type": "button", "text": plain(cut(text, 75)), "action_id": action, "value": value, **options}


def rich(*elements: dict[str, Any]) -> Block:
    """A block of rich text, which holds what people wrote."""
    return {"type": "rich_text", "elements": list(elements)}


def words(text: str, **style: bool) -> dict[str, Any]:
    """Text in a line of rich text, just as it is; `style`: bold, italic, strike."""
    return {"type": "text", "text": text} | ({"style": style} if style else {})


def line(*elements: dict[str, Any]) -> dict[str, Any]:
    """A line of rich text."""
    return {"type": "rich_text_section", "elements": list(elements)}


def heading(name: str) -> Block:
    """A line in bold."""
    return rich(line(words(name, bold=True)))


def paragraphs(name: str, text: str) -> list[Block]:
    """A field's text of any length, whole, under its name, in as many blocks as it needs."""
    first, *more = pieces(text)
    return [rich(line(words(name, bold=True)), line(words(first))), *(rich(line(words(piece))) for piece in more)]


def preformatted(text: str) -> Block:
    """A text as it was typed."""
    return rich({"type": "rich_text_preformatted", "elements": [words(text)]})


def bullets(name: str, items: Sequence[str]) -> list[Block]:
    """A field's list under its name, each item whole; long ones are continued in a block of their own."""
    blocks: list[Block] = []
    listed: list[dict[str, Any]] = []
    room = BLOCK_CHARACTERS
    for item in items:
        for n, piece in enumerate(pieces(item)):
            if listed and (len(piece) > room or n):
                blocks.append(rich({"type": "rich_text_list", "style": "bullet", "elements": listed}))
                listed, room = [], BLOCK_CHARACTERS
            mark = [words("(continued) ", italic=True)] if n else []
            listed.append({"type": "rich_text_section", "elements": [*mark, words(piece)]})
            room -= len(piece)
    blocks.append(rich({"type": "rich_text_list", "style": "bullet", "elements": listed}))
    blocks[0]["elements"].insert(0, line(words(name, bold=True)))
    return blocks


def pieces(text: str, size: int = BLOCK_CHARACTERS) -> list[str]:
    """The text cut where a line or a word ends, if that is near; joined again it is the same."""
    found = []
    while len(text) > size:
        at = max(text.rfind("\n", size // 2, size), text.rfind(" ", size // 2, size)) + 1 or size
        begun = text.rfind("&", at - 5, at)  # not within an escaped character
        at = begun if begun > 0 and ";" not in text[begun:at] else at
        found.append(text[:at])
        text = text[at:]
    return [*found, text]


_MENTION = re.compile(r"<@([UW][A-Z0-9]+)>|<!subteam\^(S[A-Z0-9]+)>")


async def quiet(blocks: Sequence[Block], lookup: Lookup) -> list[Block]:
    """The same blocks with names where people are mentioned, so that nobody is called again by a card shown again."""
    return [await _quiet(block, lookup) for block in blocks]


async def _quiet(value: Any, lookup: Lookup) -> Any:
    if isinstance(value, list):
        return [await _quiet(item, lookup) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") != "mrkdwn":
        return {name: await _quiet(item, lookup) for name, item in value.items()}
    text = value["text"]
    for found in {match[0]: match for match in _MENTION.finditer(text)}.values():
        name = await lookup("user", found[1]) if found[1] else await lookup("group", found[2])
        text = text.replace(found[0], f"@{escape(name)}")
    return {**value, "text": text}
