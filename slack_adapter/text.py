"""Slack's spelling of text: what people wrote into readable words, and our words into what cannot be mistaken for markup."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import emoji

from agent.draft import TEXT_LIMIT, clean

Lookup = Callable[[str, str], Awaitable[str]]
"""Gives the name for a kind (`user`, `channel` or `group`) and an id; the id itself if it has none."""

PASSED_ON = 3
"""Messages that one message passes on, which are read."""

_REFERENCE = re.compile(r"<([^<>\n]+)>")
_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
_EMOJI = re.compile(r"(?<![\w:/]):([a-z0-9_+'-]+):(?:skin-tone-\d:)?(?![\w/])")


async def readable(text: str, lookup: Lookup) -> str:
    """What people see in Slack when somebody writes this: names for ids, links with their addresses, emoji as characters."""
    parts: list[str] = []
    end = 0
    for found in _REFERENCE.finditer(text):
        parts += [text[end : found.start()], await _reference(found[1], lookup)]
        end = found.end()
    plain = "".join([*parts, text[end:]])
    plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return "".join(part if n % 2 else _EMOJI.sub(_emoji, part) for n, part in enumerate(_CODE.split(plain)))


async def _reference(inside: str, lookup: Lookup) -> str:
    target, _, label = inside.partition("|")
    kind = target[:1]
    if kind == "@":
        return "@" + (label or await lookup("user", target[1:]))
    if kind == "#":
        return "#" + (label or await lookup("channel", target[1:]))
    if target.startswith("!subteam^"):
        return "@" + (label.removeprefix("@") or await lookup("group", target.removeprefix("!subteam^")))
    if kind == "!":
        return label or "@" + target[1:].partition("^")[0]
    address = target.removeprefix("mailto:").removeprefix("tel:")
    return address if label in ("", address, target, re.sub(r"^https?://", "", target)) else f"{label} ({address})"


def _emoji(found: re.Match[str]) -> str:
    known = emoji.emojize(f":{found[1]}:", language="alias")
    return found[0] if known.startswith(":") else known


def said(message: Mapping[str, Any]) -> str:
    """What a message says itself, in Slack's spelling: its text, or as other apps' often have none, its attachments'."""
    own = [one for one in _attachments(message) if not _passes_on(one)]
    parts = [one.get("text") or one.get("fallback") for one in own]
    return message.get("text") or "\n".join(part for part in parts if isinstance(part, str))


def shared(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages that it passes on, as it shows them: their channel, `ts`, author and words, as far as it says so."""
    names, passed = ("channel_id", "ts", "author_id", "text"), [one for one in _attachments(message) if _passes_on(one)]
    found = [{name: one[name] for name in names if isinstance(one.get(name), str)} for one in passed]
    found = [{**dict.fromkeys(names, ""), **one, "text": cut(one["text"], TEXT_LIMIT)} for one in found if one.get("text")]
    return [{**one, "is_share": True} for one in found[:PASSED_ON]]


def _attachments(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in message.get("attachments") or [] if isinstance(one, Mapping)]


def _passes_on(attachment: Mapping[str, Any]) -> bool:
    return bool(attachment.get("is_share") or attachment.get("is_msg_unfurl"))


def names(text: str, user: str) -> bool:
    """Whether a message mentions this user."""
    return f"<@{user}>" in text or f"<@{user}|" in text


def without_mention(text: str, user: str) -> str:
    """The message without the mention it is addressed with."""
    return re.sub(rf"[ \t]*<@{re.escape(user)}(\|[^>]*)?>[ \t]*[,:]?[ \t]*", " ", text).strip()


def escape(text: str) -> str:
    """Text that Slack shows as it is: no mention, no link, nothing invisible."""
    return clean(text)[0].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, limit: int) -> str:
    """At most so many characters, with an ellipsis where some are missing; only for what is said whole elsewhere."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def link(url: str, label: str) -> str:
    """A link; neither part can break out of it."""
    return f"<{escape(url).replace('|', '%7C')}|{escape(label).replace('|', '¦')}>"


def date(at: datetime) -> str:
    """A time, which each reader sees in the own time zone."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} at {{time}}|{at:%Y-%m-%d %H:%M} UTC>"
