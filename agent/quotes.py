"""Quotes: where somebody's words stand in a message, and whether they say what a field is to hold."""

import re
import unicodedata

_ALIKE = str.maketrans("‘’‚‛“”„‟«»‐‑‒–—―\u00a0", '\'\'\'\'""""""------ ')
_EDGES = " \t\n.,;:!?'\"()[]*_`~…"
_DENIES = re.compile(
    r"(?:\b(?:not|no|never|nothing|nobody|none|without|neither|nor|cannot|nicht|kein\w*|nie|niemals|ohne|ne|pas|jamais|sans|sin|nunca|não|nem|sem"
    r"|non|mai|не|нет|без)|n't)(?:[^\S\n]+[\w']+)?[^\S\n]+$|\bn'$|[不没未]$",
    re.IGNORECASE,
)
_DIGITS_BEFORE = re.compile(r"(?:\d[.,:]|(?:^|\s)[-+]|\d-)$")
_DIGITS_AFTER = re.compile(r"[.,:-]\d")


def find(text: str, quote: str) -> tuple[int, str] | None:
    """Where the quote stands in the text as whole words, and the words there; case, spacing, kinds of quotation marks aside.

    Anything less than whole words and numbers could turn their meaning around.
    """
    alike = text.translate(_ALIKE)
    words = unicodedata.normalize("NFC", quote).translate(_ALIKE).split()
    for found in re.finditer(r"\s+".join(map(re.escape, words)), alike, re.IGNORECASE) if words else ():
        if not _cut(alike, *found.span()):
            return found.start(), text[found.start() : found.end()]
    return None


def said_at(quote: str, value: str) -> int | None:
    """Where the value stands in the quote as it is, whatever punctuation is around it; None if it does not."""
    found = find(quote, value.strip(_EDGES) or value)
    return found[0] if found else None


def denied(text: str, at: int) -> bool:
    """Whether what stands right before the words at this place denies them, as in *this is not urgent*."""
    return _DENIES.search(text.translate(_ALIKE)[max(0, at - 60) : at]) is not None


def _cut(text: str, start: int, end: int) -> bool:
    """Whether the words from `start` to `end` begin or end within a word or a number."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if _joins(before[-1:], text[start]) or _joins(text[end - 1], after[:1]):
        return True
    begins, ends = text[start].isdigit(), text[end - 1].isdigit()
    return bool((begins and _DIGITS_BEFORE.search(before)) or (ends and _DIGITS_AFTER.match(after)))


def _joins(left: str, right: str) -> bool:
    """Whether two characters are of one word, in a script that has spaces between words."""
    spaced = [one.isalnum() and (one < "\u2e80" or "\uac00" <= one <= "\ud7a3") for one in (left, right) if one]
    return len(spaced) == 2 and all(spaced)
