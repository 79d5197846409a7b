"""Quotes: where somebody's words stand in a message, and whether they say what a field is to hold."""

import re
from collections.abc import Iterator

_ALIKE = str.maketrans("‘’‚‛“”„‟«»‐‑‒–—―\u00a0", '\'\'\'\'""""""------ ')
_EDGES = " \t\n.,;:!?'\"()[]*_`~…"


def find(text: str, quote: str) -> tuple[int, str] | None:
    """Where the quote stands in the text, and the words there; letter case, spacing and kinds of quotation marks aside."""
    return next(_all(text, quote), None)


def says(quote: str, value: str) -> bool:
    """Whether the value stands in the quote as it is, whole words in a row: anything less could turn its meaning around."""
    for start, words in _all(quote, value.strip(_EDGES) or value.strip()):
        before, after = quote[:start], quote[start + len(words) :]
        if not (_joins(before[-1:], words[0]) or _joins(words[-1], after[:1])):
            return True
    return False


def _all(text: str, quote: str) -> Iterator[tuple[int, str]]:
    words = quote.translate(_ALIKE).split()
    if words:
        for found in re.finditer(r"\s+".join(map(re.escape, words)), text.translate(_ALIKE), re.IGNORECASE):
            yield found.start(), text[found.start() : found.end()]


def _joins(left: str, right: str) -> bool:
    """Whether two characters are of one word, in a script that has spaces between words."""
    spaced = [one.isalnum() and (one < "\u2e80" or "\uac00" <= one <= "\ud7a3") for one in (left, right) if one]
    return len(spaced) == 2 and all(spaced)
