"""What in a text tells who or what it is about, by its form: links, addresses, hosts, keys of tickets, names behind an @."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from agent import secrets

Kind = Literal["person", "channel", "link", "secret", "address", "ip", "host", "phone", "ticket", "title", "file"]


class Sign(NamedTuple):
    """A piece of a text, and what it is."""

    kind: Kind
    start: int
    end: int


_LINK = re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://[^\s<>\"'`|\\()\[\]{}]+|\bwww\.[^\s<>\"'`|\\()\[\]{}]+", re.IGNORECASE)
_MAIL = re.compile(r"(?<![\w.+%'-])[^\W_][\w.+%'-]{0,63}@[^\W_][\w-]*(?:\.[^\W_][\w-]*)+")
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_V6 = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\d?\.\d{1,3}\.\d{1,3}\.\d{1,3})?(?![\w:])", re.IGNORECASE)
_MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![\w:-])", re.IGNORECASE)
_TOP = (
    "com|net|org|io|dev|app|cloud|internal|local|localdomain|lan|corp|intern|intranet|home|private|test|svc|co|ai|edu|gov|mil"
    "|int|info|biz|tech|xyz|online|site|shop|store|me|tv|eu|de|at|ch|uk|fr|nl|be|lu|it|es|pt|se|no|fi|dk|cz|hu|ro|gr|ie|us|ca"
    "|br|mx|ar|au|nz|jp|cn|in|kr|sg|hk|tw|za|tr|ru|ua|il"
)
_HOST = re.compile(rf"(?<![\w.@/-])(?:[a-z0-9](?:[\w-]*[a-z0-9])?\.)+(?:{_TOP})(?![\w-]|\.[\w])", re.IGNORECASE)
_CLOUD_HOST = re.compile(r"\bip-\d{1,3}(?:-\d{1,3}){3}\b", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}[ ./()-]{0,2}\d(?:[ ./()-]{0,2}\d){6,12}(?![\w])")
_TICKET = re.compile(r"(?<![\w-])(?!(?:UTF|SHA|ISO|RFC|HTTP|AES|RSA|TLS|SSL|MD|CVE|GPT|IPV|UTC|GMT|COVID|EC|ECMA|DIN|KB|CWE)-)"
                     r"[A-Z][A-Z0-9_]{1,19}-\d{1,7}(?![\w-])")  # fmt: skip
_SLACK_USER = re.compile(r"<@([A-Z0-9]{2,})(?:\|([^<>\n]+))?>|(?<![\w])([UW](?=[A-Z]*\d)[A-Z0-9]{8,})(?![\w])")
_SLACK_PLACE = re.compile(r"<#([A-Z0-9]{2,})(?:\|([^<>\n]+))?>|(?<![\w])([CGDTB](?=[A-Z]*\d)[A-Z0-9]{8,})(?![\w])")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]{2,})(?:\|@?([^<>\n]+))?>")
_MENTION = re.compile(r"(?<![\w@./+-])@((?:[^\W\d_][\w.'-]*[^\W_]|[^\W\d_])(?: [A-Z][\w'-]*[^\W_])?)")
_CHANNEL = re.compile(r"(?<![\w&/#])#([a-z][\w-]{2,79})(?![\w])")
_HOME = re.compile(r"(?:/home/|/Users/|\\Users\\)([^\W_][\w.-]*)")
_EVERYBODY = ("here", "channel", "everyone", "all", "team")


def signs(text: str) -> Iterator[Sign]:
    """All there are, those first that say most of what they are; they may overlap."""
    for found in _LINK.finditer(text):
        link = found[0].rstrip(".,;:!?*_~")
        yield Sign("link", found.start(), found.start() + len(link))
        if host := re.search(r"(?:://|@)([\w-]+(?:\.[\w-]+)+)(?=[:/?#]|$)", link):
            kind: Kind = "ip" if _V4.fullmatch(host[1]) else "host"
            yield Sign(kind, found.start() + host.start(1), found.start() + host.end(1))
    for found in _MAIL.finditer(text):
        yield Sign("address", *found.span())
        yield Sign("host", found.start() + found[0].index("@") + 1, found.end())
    yield from (Sign("secret", *span) for span in secrets.spans(text))
    for pattern, kind in _FORMS:
        for found in pattern.finditer(text):
            if kind != "ip" or pattern is _MAC or _is_ip(found[0]):
                yield from (Sign(kind, *found.span(group)) for group in _groups(found))


def _groups(found: re.Match[str]) -> list[int]:
    groups = [group for group in range(1, found.re.groups + 1) if found[group]]
    return [group for group in groups if found[group].lower() not in _EVERYBODY] if found.re.groups else [0]


def _is_ip(text: str) -> bool:
    try:
        return len(text) > 3 and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


_FORMS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (_V4, "ip"), (_V6, "ip"), (_MAC, "ip"), (_HOST, "host"), (_CLOUD_HOST, "host"), (_PHONE, "phone"), (_TICKET, "ticket"),
    (_SLACK_USER, "person"), (_GROUP, "person"), (_SLACK_PLACE, "channel"), (_MENTION, "person"), (_CHANNEL, "channel"),
    (_HOME, "person"),
)  # fmt: skip
