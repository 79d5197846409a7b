"""Quotes: where somebody's words stand in a message, and whether they say what a field is to hold.

Words are compared, and a list of words that deny; what people mean is for people to see.
"""

import re
import unicodedata
from array import array
from functools import lru_cache

_ALIKE = str.maketrans("‘’‚‛“”„‟«»‐‑‒–—―−", '\'\'\'\'""""""-------') | {ord("…"): "..."}
_MARKUP = "*_~`"
_EDGES = " \t\n.,;:!?'\"()[]*_`~…"
_TRIES = 200
"""Places where a quote begins that are looked at: one that stands so often says nothing."""

_NEGATION = (
    r"(?:\b(?:not|no|never|nothing|nobody|no one|none|without|neither|nor|cannot|hardly|barely"
    r"|(?:is|are|do|does|did|was|ca|wo)nt|nicht|kein\w*|kaum|nie|niemals|ohne|niet|geen|inte|ikke|ne|pas|jamais|sans|sin|nunca|não|nem|sem|non|mai|не|нет|без)"
    r"|n't)"
)
_FILLER = (
    r"(?: (?:a|an|the|it|it's|its|that|that's|this|is|be|to be|at all|so|very|really|too|even|all|says?|said|thinks?|believes?"
    r"|es|está|muy|ist|sehr|est|très|een|is))"
)
_DENIES_BEFORE = re.compile(rf"{_NEGATION}{_FILLER}{{0,4}}(?: [\w']+)?{_FILLER}{{0,2}} [\"'(\[]*$|\b(?:non|not|no)-$|\bn'$")
_DENIES_AT_ONCE = re.compile(r"(?:不是|不|没有|没|未|非|无)[\"'(\[]*$")
_DENIES_AFTER = re.compile(
    r"(?:では|じゃ|で)?(?:な[いくか]|ありません|ません)|(?: ?이| ?가)? ?(?:아니|아닙|않)|지 ?않| değil\b"
    r"| (?:ist|sind|war)(?: es| das)? nicht\b"
)
_ENDINGS = re.compile(r"(?:s|t|re|ve|ll|d|m)\b")
_BEGINS_LATE = re.compile(r"(?:\d[.,:'/-]|\de[-+]|(?:^|[^\w.,:'/-])[-+]|[<>≤≥±] ?)$")
_ENDS_EARLY = re.compile(r"[.,:'/-]\d| \d{3}(?!\d)|e[-+]?\d")


@lru_cache(maxsize=64)
def _folded(text: str) -> tuple[str, "array[int]"]:
    """The text as it is compared, and where each of its characters stands in the original.

    Letter case, kinds of quotation marks and dashes, runs of spaces, and marks of bold and the like do not count.
    """
    characters, places = list[str](), array("L")
    alike = text.translate(_ALIKE) if "…" not in text else None
    for at, original in enumerate(text):
        character = alike[at] if alike else original.translate(_ALIKE)
        if character.isspace():
            if characters and characters[-1] == " ":
                continue
            character = " "
        elif character in _MARKUP and not (_is_word(text, at - 1) and _is_word(text, at + 1)):
            continue
        for one in character:
            lowered = one.lower()
            characters.append(lowered if len(lowered) == 1 else one)
            places.append(at)
    return "".join(characters), places


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isalnum()


def find(text: str, quote: str) -> tuple[int, str] | None:
    """Where the quote stands in the text as whole words and whole numbers, and the words there.

    Anything less could turn their meaning around: *available* does not stand in *unavailable*.
    """
    folded, places = _folded(text)
    wanted = _folded(unicodedata.normalize("NFC", quote))[0].strip()
    if not wanted:  # nothing but marks of bold and the like
        bare = quote.strip()
        return (text.index(bare), bare) if bare and bare in text else None
    at = folded.find(wanted)
    for _ in range(_TRIES):
        if at < 0:
            return None
        if not _cuts(folded, at, at + len(wanted)):
            start, end = places[at], places[at + len(wanted) - 1] + 1
            return start, text[start:end]
        at = folded.find(wanted, at + 1)
    return None


def said_at(quote: str, value: str) -> tuple[int, int] | None:
    """From where to where the value stands in the quote as it is, whatever punctuation is around it; None if it does not."""
    found = find(quote, value.strip(_EDGES) or value)
    return (found[0], found[0] + len(found[1])) if found else None


def denied(text: str, start: int, end: int) -> bool:
    """Whether what stands around the words from `start` to `end` denies them, as in *this is not urgent*, or strikes them."""
    line = text[max(0, start - 80) : start].rpartition("\n")[2]  # another line says another thing
    before, after = _folded(line)[0], _folded(text[end : end + 20])[0]
    struck = text[:start].rstrip().endswith("~") and text[end:].lstrip().startswith("~")
    at_once = _DENIES_AT_ONCE.search(before) or _DENIES_AFTER.match(after)
    return bool(struck or at_once or _DENIES_BEFORE.search(before))


def _cuts(text: str, start: int, end: int) -> bool:
    """Whether the words from `start` to `end` begin or end within a word or a number."""
    before, after = text[max(0, start - 4) : start], text[end : end + 5]
    if _joins(before[-1:], text[start]) or _joins(text[end - 1], after[:1]):
        return True
    if (text[end - 1] == "n" and after[:2] == "'t") or (before[-1:] == "'" and _ENDINGS.match(text, start)):
        return True
    begins = text[start].isdigit() and (_BEGINS_LATE.search(before) or _is_group(before, text[start : start + 4]))
    return bool(begins or (text[end - 1].isdigit() and _ENDS_EARLY.match(after)))


def _is_group(before: str, begun: str) -> bool:
    """Whether digits are a group of thousands of a number that began before."""
    return bool(re.search(r"\d $", before) and re.match(r"\d{3}(?!\d)", begun))


def _joins(left: str, right: str) -> bool:
    """Whether two characters are of one word, in a script that has spaces between words."""
    return bool(left and right and _spaced(left) and _spaced(right))


def _spaced(character: str) -> bool:
    if "\u0e00" <= character <= "\u0eff" or "\u1000" <= character <= "\u109f" or "\u1780" <= character <= "\u17ff":
        return False
    wordlike = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
    return wordlike and (character < "\u2e80" or "\uac00" <= character <= "\ud7a3")
