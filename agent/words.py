"""The words of texts in any script, and how alike two titles are by them."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

LONGEST = 20_000
"""Characters of a text that are read."""

ALIKE = 0.5
"""From here on two texts count as alike, on a scale from 0 to 1."""

MORE_IN_DOUBT = 0.55
"""What is left of the doubt with each word in common: one alone is not enough."""

CLOSE = 0.7
"""From here on two titles are nearly the same."""

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUNS = re.compile(f"[{_SPACELESS}]+|[^{_SPACELESS}]+")

_LITTLE = """
a about after again all also am an and any are as at be because been before but by can cannot could did do does doesn don
for from get gets had has have he her his how i if in into is isn it its just like me more my new no not now of off on only
or our out over s she should so some t than that the their them then there these they this to too up us use was we were
what when where which while who why will with would you your
add added broken bug change error errors fail failed failing fails feature fix issue issues need needs problem problems
request show shows story task ticket tickets want work working works wrong
aber als auch auf aus bei bin bis das dass dem den der des die durch ein eine einem einen einer er es für hat ich im ist
kann mit nach nicht noch oder sich sie sind und vom von war wenn wie wir wird zu zum zur
au aux avec ce cette dans de des du elle en est et il je la le les ne nous on par pas pour qui que sur un une
al con como del el ella las los lo más muy para pero por se sin su
и в во не на что с со как а то по но из за от для при это
"""
_SMALL = frozenset(_LITTLE.split())
_ENDINGS = ("s", "es", "d", "ed", "ing", "e", "en", "n", "er")


def words(text: str) -> list[str]:
    """The words in order, in small letters and without marks between them; where a script has no spaces, pairs of letters."""
    folded = unicodedata.normalize("NFKC", text[:LONGEST]).casefold()
    parted = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in folded)
    return [word for run in _RUNS.findall(parted) for part in run.split() for word in _parts(part)]


def telling(text: str) -> list[str]:
    """The words that say what it is about, each once, in order: those that any ticket might have are left out."""
    return [word for word in dict.fromkeys(words(text)) if len(word) > 1 and word not in _SMALL]


@dataclass(frozen=True)
class Alike:
    """How alike a ticket is to another, by its title: from 0 to 1, with the telling words that both have."""

    score: float
    title: float
    """How alike the two titles are, letter by letter."""
    shared: list[str] = field(default_factory=list)
    """As people would name them."""


def likeness(title: str, problem: str, other: str) -> Alike:
    """How alike a ticket of this title and problem is to one of the title `other`.

    One word in common is never enough, unless it is all that both titles have.
    """
    mine, theirs = telling(title), telling(other)
    said = [*mine, *telling(problem)]
    shared = [word for word in theirs if any(_same(word, one) for one in said)]
    of_title = [word for word in shared if any(_same(word, one) for one in mine)]
    both = (mine, theirs) if min(len(mine), len(theirs)) > 1 else (words(title), words(other))
    titles = _overlap(*both)
    by_words = max(_share(len(shared), len(theirs)), _share(len(of_title), len(mine)))
    return Alike(max(titles, by_words), titles, _joined(shared))


def _parts(word: str) -> Iterable[str]:
    if re.match(f"[{_SPACELESS}]", word) and len(word) > 1:
        return (word[at : at + 2] for at in range(len(word) - 1))
    return (word,)


def _joined(shared: Iterable[str]) -> list[str]:
    """Pairs of letters that follow each other are one word again."""
    joined: list[str] = []
    for word in shared:
        if joined and len(word) == 2 and re.match(f"[{_SPACELESS}]", word) and joined[-1][-1] == word[0]:
            joined[-1] += word[1]
        else:
            joined.append(word)
    return joined


def _same(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) > 3 and long.startswith(short) and long[len(short) :] in _ENDINGS)


def _share(number: int, of: int) -> float:
    return number / of * (1 - MORE_IN_DOUBT**number) if of else 0.0


def _overlap(one: Collection[str], other: Collection[str]) -> float:
    mine, theirs = _trigrams(one), _trigrams(other)
    return len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0


def _trigrams(of: Iterable[str]) -> set[str]:
    return {padded[at : at + 3] for word in of for padded in [f"  {word} "] for at in range(len(padded) - 2)}
