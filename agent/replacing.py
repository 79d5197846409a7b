"""Words that stand in for what is left out: each thing has one, wherever it is named in a conversation."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from agent.draft import FIELDS, clean
from agent.identifying import Kind, Sign, signs
from agent.quotes import find
from agent.sealing import Destination

COUNTED: dict[Kind, tuple[str, str]] = {
    "person": ("person's name", "people's names"),
    "channel": ("channel", "channels"),
    "link": ("link", "links"),
    "address": ("mail address", "mail addresses"),
    "ip": ("IP address", "IP addresses"),
    "host": ("host name", "host names"),
    "phone": ("phone number", "phone numbers"),
    "ticket": ("key of a ticket or project", "keys of tickets and projects"),
    "title": ("title of another ticket", "titles of other tickets"),
    "file": ("file", "files"),
    "secret": ("secret", "secrets"),
}
"""What one and several of a kind are called."""

_COMMON = """
a able about accept act add added addressed after again all already also amends an and anew answer any approve approved
approves are args as ask asked at attempt author back be been before begin body both bug but by call calls can cancel card
change changed conflict constraint content could criterion custom decides decision dependency destination did diff do does
done draft draft_hash drop each edit edits end errors event_id evidence expected fail failed fails fields file filed files
fine first for forget form format found from get go good had has have he head her here hers him his how i id if in intent
into is it item its job just key kind label last left let like list local look make me message more my name need new next no
none not nothing now of off old on one op open operations options or other our out outcome over permalink preview preview_id
problem project question quote quoted read reject rejected reply request risk said same save say says sealed see session_id
set setting settle she show skip so some status step steps still story sure task team text than thank thanks that the their
them then there these they this thread ticket time title to too tracker type unknown unread until up url us use user value
verdict version was we were what when where which who why will with word work works would yes yet you your
"""
PLAIN = frozenset([*_COMMON.split(), *(word for field in FIELDS for word in (field, *field.split("_")))])
"""Words that name nobody, not even where somebody is called so: rules read messages by some of them."""

_START, _END = r"(?:(?<![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))", r"(?:(?![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))"
_DEFAULT = Destination().project
_ACCOUNT = re.compile(r"(?=.*[0-9])[0-9a-zA-Z]{24}|[0-9a-zA-Z]+(?::[0-9a-zA-Z-]{8,})+")
_CUT = re.compile(r"-cut-\d+$")
_SHORT = 10
"""Characters of a secret under which it may be a word, and stands for itself only where it stands alone."""


def normal(text: str) -> str:
    """The text as two are compared: visible characters, single spaces, one case."""
    return " ".join(clean(text)[0].split()).casefold()


@dataclass(frozen=True)
class Word:
    """What is replaced, by what, and whether only whole words and only in this spelling."""

    kind: Kind
    original: str
    put: str
    whole: bool = False
    exact: bool = False
    between: str = r"\s+"

    @cached_property
    def begins(self) -> str:
        """What a text has in any case that it is in."""
        return self.original.split()[0].casefold() if self.original.split() else ""

    @cached_property
    def pattern(self) -> str:
        """The expression that finds it."""
        known = self.between.join(map(re.escape, self.original.split()))
        known = f"(?-i:{known})" if self.exact else known
        return f"{_START}{known}{_END}" if self.whole else known


class Words:
    """What stands for what in one conversation. What is learned first decides what a thing is."""

    def __init__(self) -> None:
        self._words: dict[str, Word] = {}
        self._numbers: Counter[str] = Counter()
        self._people: dict[str, str] = {}
        self._projects: dict[str, str] = {}
        self._alone = set[str]()
        """Who was called by one word: a longer name that begins with it is another of theirs."""
        self._session = set[str]()
        self._found: re.Pattern[str] | None = None

    def __iter__(self) -> Iterator[Word]:
        return iter([*self._words.values()])

    @property
    def people(self) -> dict[str, str]:
        """What stands for whom, also for those who are called by words that name nobody."""
        return {**self._people}

    def counts(self) -> dict[Kind, int]:
        """How many things of each kind are replaced."""
        puts = {(word.kind, re.sub(r"^(secret-\d+)-\d+$", r"\1", _CUT.sub("", word.put))) for word in self._words.values()}
        puts -= {("channel", put) for put in self._session}
        puts |= {("person", put) for put in self._people.values()}
        counted = Counter(kind for kind, _ in puts)
        return {kind: counted[kind] for kind in COUNTED if counted[kind]}

    def replace(self, text: str) -> str:
        """The text with each thing replaced; of what nobody sees only the length stays."""
        tidy, removed = clean(text)
        return self._replaced(tidy) + "\u200b" * removed

    def person_of(self, name: str) -> str:
        """What stands for somebody where nothing else can be meant."""
        return self._people.get(normal(name)) or self.replace(name)

    # --- Learning --------------------------------------------------------------------------------------------------------

    def person(self, name: str, same: str = "") -> None:
        """Somebody is called so; `same` is another name of theirs."""
        key = normal(name).removeprefix("@")
        if not key or key in self._people:
            return
        first = key.split()[0]
        put = self._people.get(normal(same)) or (self._people[first] if first in self._alone else self._number("person"))
        if _ACCOUNT.fullmatch(key):  # a tracker tells an account's id by its form
            put = f"{self._number('account'):0>24}" if ":" not in key else f"000000:{self._number('account'):0>8}"
        self._people[key] = put
        self._alone |= {key} if len(key.split()) == 1 else set()
        called = clean(name)[0].strip().removeprefix("@")
        parts = called.split()
        if len(key) < 3 or key in PLAIN:
            return
        self._add(Word("person", called, put, whole=True, between=r"[\s._-]*"))
        if len(parts) > 1:
            for part in (parts[0], parts[-1]):
                if len(part) > 2 and normal(part) not in PLAIN:
                    self._people.setdefault(normal(part), put)
                    self._add(Word("person", part, put, whole=True))
            if len(parts[-1]) > 2:
                self._add(Word("person", parts[0][0] + parts[-1], put, whole=True))

    def place(self, id: str) -> str:  # noqa: A002
        """A workspace or a channel of Slack's, in whose ids the first letter tells what it is."""
        return self._add(Word("channel", id, f"{id[:1]}{self._number('place'):0>7}", whole=True, exact=True))

    def project(self, name: str) -> str:
        """A project of a tracker's; the local one has a name that says nothing."""
        if not name or name == _DEFAULT:
            return name
        if name.casefold() not in self._projects:
            number = len(self._projects) + 1
            put = f"owner-{number}/repository-{number}" if "/" in name else f"PRJ{number if number > 1 else ''}"
            self._projects[name.casefold()] = put
            if "/" in name:
                owner = name.split("/")[0]
                self._add(Word("ticket", name, put, whole=True))
                if len(owner) > 2 and owner.casefold() not in PLAIN:
                    self._add(Word("ticket", owner, f"owner-{number}", whole=True))
            else:
                self._add(Word("ticket", name, put, whole=True, exact=True))
        return self._projects[name.casefold()]

    def ticket(self, key: str) -> None:
        """A key of a ticket, which names its project."""
        known = re.fullmatch(r"(.*[^\W_])([-#!])(\d+)", key)
        if known and known[1] != _DEFAULT and key.casefold() not in self._words:
            project = self.project(known[1])
            self._add(Word("ticket", key, f"{project}{known[2]}{self._number(project)}", whole=True))

    def title(self, title: str) -> None:
        """What another ticket is called."""
        if len(normal(title)) > 3 and normal(title) not in PLAIN:
            self._add(Word("title", clean(title)[0].strip(), f"title-{self._number('title')}", whole=True))

    def file(self, id: str, name: str, sha256: str) -> None:  # noqa: A002
        """A file, by all that names it."""
        number = self._number("file")
        ending = re.search(r"\.[a-z0-9]{1,5}$", name)
        for original, put in ((id, f"file-{number}"), (sha256, hashlib.sha256(f"file-{number}".encode()).hexdigest())):
            if len(original) > 1:
                self._add(Word("file", original, put, whole=True, exact=True))
        if len(name) > 3:
            self._add(Word("file", name, f"file-{number}{ending[0] if ending else ''}"))

    def session(self, session_id: str, put: str) -> None:
        """The conversation's own id, or its name."""
        self._session.add(put)
        self._add(Word("channel", session_id, put, whole=True, exact=True))

    def says_something(self, found: str) -> bool:
        """Whether what has a form tells anything."""
        return len(found) > 2 and normal(found) not in PLAIN and not found.startswith(f"{_DEFAULT}-")

    def read(self, text: str) -> None:
        """Learns all that a text tells by its form."""
        for spelling in dict.fromkeys((clean(text)[0], text)):
            found = sorted(signs(spelling), key=lambda sign: (sign.start, -sign.end))
            within = _within([sign for sign in found if sign.kind == "secret"])
            for sign in signs(spelling):
                if sign not in within:
                    self._learn(sign.kind, spelling[sign.start : sign.end])
            for sign in _joined(found):
                self._learn(sign.kind, spelling[sign.start : sign.end])

    def cut(self, fragments: Iterable[str], sources: Iterable[str]) -> None:
        """Learns the halves of things that a quote, a value or a title has cut out of a message.

        A half that is a whole word of its thing stands for it. Any other is in no message, and must not be in one afterwards.
        """
        texts = [normal(text) for text in dict.fromkeys(sources)]
        whole = [(known, word) for word in self if len(known := normal(word.original)) > 4]
        hidden = [self._replaced(text) for text in texts]
        stands = {put for put in {word.put for _, word in whole} if any(put in text for text in hidden)}
        whole.sort(key=lambda one: (one[1].put not in stands, len(one[0])))  # what is cut out is of what is there
        for fragment in dict.fromkeys(map(normal, fragments)):
            for known, word in whole:
                for piece in _pieces(fragment, known, texts, hidden):
                    self._add(Word(word.kind, piece, word.put if find(known, piece) else self._cut(word.put), whole=True))

    def _cut(self, put: str) -> str:
        return f"{put}-cut-{self._number(put)}"

    def _learn(self, kind: Kind, found: str) -> None:
        key = normal(found)
        if key in self._words or not self.says_something(found):
            return
        match kind:
            case "person":
                self.person(found)
            case "ticket":
                self.ticket(found)
            case "channel" if not found[0].islower():
                self.place(found)
            case "channel":
                put = f"channel-{self._number('channel')}"
                self._add(Word("channel", f"#{found}", f"#{put}"))
                if re.search(r"[\W\d_]", found):
                    self._add(Word("channel", found, put, whole=True))
            case "secret":
                put = f"secret-{self._number('secret')}"
                lines = [line for line in found.splitlines() if len(line.strip()) > 2]
                for number, line in enumerate(lines, 1):  # a draft may hold them one by one
                    alone = len(line) < _SHORT
                    self._add(Word("secret", line.strip(), f"{put}-{number}" if len(lines) > 1 else put, whole=alone))
            case "link" | "address":
                self._learn_around(kind, found)
            case "host":
                self._add(Word("host", found, f"host-{self._number('host')}.invalid"))
            case _:
                self._add(Word(kind, found, f"{kind}-{self._number(kind)}"))

    def _learn_around(self, kind: Kind, found: str) -> None:
        """A link or an address: what stands for it names all that it names, for a quote may be one of those alone."""
        for sign in signs(found):
            if sign.kind != kind and found[sign.start : sign.end] != found:
                self._learn(sign.kind, found[sign.start : sign.end])
        folded, inside = found.casefold(), []
        for word in self:
            if word.kind not in ("link", "address") and word.begins in folded:
                inside += [(at.start(), word) for at in re.finditer(word.pattern, found, re.IGNORECASE)][:1]
        named = {word.put: word.kind for _, word in sorted(inside, key=lambda one: one[0])}
        host = next((put for put, inner in named.items() if inner in ("host", "ip")), "example.invalid")
        others = [put for put in named if put != host]
        if kind == "link":
            put = "/".join([f"https://{host}", f"link-{self._number('link')}", *others])
        else:
            put = ".".join([f"address-{self._number('address')}", *others]) + f"@{host}"
        self._add(Word(kind, found, put))

    def _add(self, word: Word) -> str:
        key = f"={word.original}" if word.exact else normal(word.original)
        self._found = None
        return self._words.setdefault(key, word).put

    def _number(self, kind: str) -> str:
        self._numbers[kind] += 1
        number = str(self._numbers[kind])
        return f"person-{number}" if kind == "person" else number

    def _replaced(self, text: str) -> str:
        if not self._words:
            return text
        known = sorted(self._words.values(), key=lambda word: -len(word.original))
        if self._found is None:
            self._found = re.compile("|".join(f"({word.pattern})" for word in known), re.IGNORECASE)
        return self._found.sub(lambda found: known[(found.lastindex or 1) - 1].put, text)


def _within(found: list[Sign]) -> set[Sign]:
    """Those that another one holds, which is all that stands for them; they are sorted."""
    inner, end = set[Sign](), 0
    for sign in found:
        if sign.end <= end:
            inner.add(sign)
        end = max(end, sign.end)
    return inner


def _joined(found: list[Sign]) -> list[Sign]:
    """Things that overlap without one holding the other, as one: neither may leave its end behind."""
    joined = list[Sign]()
    for sign in found:
        if joined and sign.start < joined[-1].end < sign.end:
            joined[-1] = Sign(joined[-1].kind, joined[-1].start, sign.end)
        elif not joined or sign.start >= joined[-1].end:
            joined.append(sign)
    return joined


def _pieces(fragment: str, known: str, texts: list[str], hidden: list[str]) -> list[str]:
    """What the fragment holds of a thing that it was cut through."""
    if fragment in known and fragment != known:
        alone = len(fragment) > 3 and fragment not in PLAIN and not any(fragment in text for text in hidden)
        return [fragment] if alone else []
    pieces = []
    for size in range(min(len(known) - 1, len(fragment)), 3, -1):
        if fragment.endswith(known[:size]) and any(fragment + known[size:] in text for text in texts):
            pieces.append(known[:size])
            break
    for size in range(min(len(known) - 1, len(fragment)), 3, -1):
        if fragment.startswith(known[-size:]) and any(known[:-size] + fragment in text for text in texts):
            pieces.append(known[-size:])
            break
    return pieces
