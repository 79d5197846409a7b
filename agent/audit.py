"""The audit log's chain: what a row is, what its hash is made of, and what is wrong with rows that were tampered with.

Each row's hash is made of all its columns and of the hash before it. So a chain vouches for all rows up to its end, and only a
hash that is kept elsewhere vouches for the end.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

FORMAT = 1

NOTHING = "0" * 64
"""The hash before the first row."""

LIMIT = 1_000
"""How many rows that were edited, and how many breaks of their order, are looked at; the rest are only counted."""


class BadExport(Exception):
    """Lines that are no export of the audit log; the text says why."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened, to be put on record."""

    session_id: str
    event_id: str
    kind: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The body as it is kept: JSON in ASCII, which holds any text."""
        return json.dumps(self.body, separators=(",", ":"))


@dataclass(frozen=True)
class Row:
    """An entry on record, each column as text."""

    seq: int
    at: str
    session_id: str
    event_id: str
    kind: str
    body: str
    previous: str
    hash: str

    def digest(self) -> str:
        """The hash that belongs to the other columns.

        Canonical JSON, but for one thing: texts keep their Unicode form, because a change of that is an edit, too.
        """
        known = {name: value for name, value in vars(self).items() if name != "hash"}
        spelled = json.dumps(known, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()

    def line(self) -> str:
        """The row as a line of an export."""
        texts = {name: value if name == "body" else json.dumps(value) for name, value in vars(self).items()}
        return "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"

    @classmethod
    def of(cls, line: str) -> Self:
        """The row of a line. Raises ValueError if no export wrote that line."""
        value = _object(line)
        row = cls(**{**value, "body": json.dumps(value.get("body"), separators=(",", ":"))})
        if type(row.seq) is not int or abs(row.seq) >= 2**63 or row.line() != line:
            raise ValueError("it is spelled otherwise")
        return row


@dataclass(frozen=True)
class Head:
    """The first line of an export: which rows follow, and the hashes before and at the end of them."""

    first: int = 1
    count: int = 0
    before: str = NOTHING
    head: str = NOTHING

    def line(self) -> str:
        """The head as the first line of an export."""
        return json.dumps({"audit": FORMAT, **vars(self)}, separators=(",", ":"))

    @classmethod
    def of(cls, line: str) -> Self:
        """The head of a line. Raises BadExport."""
        try:
            value = _object(line)
            if (known := value.pop("audit")) != FORMAT:
                raise BadExport(f"it is in format {known}, and this version reads {FORMAT}")
            head = cls(**value)
            typed = all(type(value[name]) is type(known) for name, known in vars(cls()).items())
            if not typed or head.line() != line:
                raise ValueError("it is spelled otherwise")
        except (ValueError, TypeError, KeyError, RecursionError):
            raise BadExport("it does not begin with the line that signoff audit export begins with") from None
        return head


def _object(line: str) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


@dataclass
class _Run:
    """Rows that stand one after the other and are numbered so: the first and the last, and whether these are as written."""

    first: Row
    last: Row
    first_intact: bool
    last_intact: bool

    @property
    def start(self) -> int:
        return self.first.seq

    @property
    def end(self) -> int:
        return self.last.seq


@dataclass
class _Suspect:
    """A row that its hash does not belong to, with the hash in the row before it, and the one that the next follows."""

    row: Row
    before: str | None
    after: str | None = None


@dataclass
class Chain:
    """Rows, given one after the other, and what is wrong with them; it keeps no more of them than that takes."""

    anchor: str = ""
    """A hash that somebody kept, and that must be in it."""
    rows: int = 0
    head: str = NOTHING
    """The hash of the last row."""
    begun: str = ""
    ended: str = ""
    _runs: list[_Run] = field(default_factory=list)
    _suspects: list[_Suspect] = field(default_factory=list)
    _told: list[str] = field(default_factory=list)
    _more: int = 0
    _anchored: bool = False
    _last: tuple[Row, bool] | None = None

    def add(self, row: Row) -> None:
        """Takes the next row."""
        intact = row.digest() == row.hash
        self._anchored = self._anchored or (intact and row.hash == self.anchor)
        before = self._last
        if before and not before[1] and self._suspects and self._suspects[-1].row is before[0]:
            self._suspects[-1].after = row.previous
        if not intact:
            if len(self._suspects) < LIMIT:
                self._suspects.append(_Suspect(row, before[0].hash if before else None))
            else:
                self._more += 1
        if before and row.seq == before[0].seq + 1 and self._runs[-1].last is before[0]:
            run = self._runs[-1]
            if before[1] and intact and row.previous != run.last.hash:
                self._tell(_torn(run.last, row))
            run.last, run.last_intact = row, intact
        elif len(self._runs) < LIMIT:
            self._runs.append(_Run(row, row, intact, intact))
        else:
            self._more += 1
        self.rows, self.head, self._last = self.rows + 1, row.hash, (row, intact)
        self.begun, self.ended = self.begun or row.at, row.at

    def cannot_read(self, line: int) -> None:
        """Takes a line that is no row."""
        self._tell(f"Line {line} is no row as export wrote it: it was edited or put in.")

    def _tell(self, finding: str) -> None:
        if len(self._told) < LIMIT:
            self._told.append(finding)
        else:
            self._more += 1

    def findings(self, head: Head | None = None) -> list[str]:
        """What is wrong, a sentence each; `head` says what is expected, else it is the whole log from its first row."""
        expected = head or Head()
        renumbered, edited = self._renumbered(expected)
        found = [*self._told, *edited]
        runs = [run for run in self._runs if not (run.first is run.last and run.start in renumbered)]
        in_order = sorted(runs, key=lambda run: (run.start, run.end))
        found += _moved(runs, in_order)
        missing, twice, torn = _joined(in_order)
        if in_order:
            found += self._ends(in_order, expected, whole=head is None, missing=missing)
        elif expected.count:
            missing.append((expected.first, expected.first + expected.count - 1))
        found += [*torn, *(f"{_rows(*range_)} {_is(*range_)} there twice." for range_ in _ranges(twice))]
        found += _renumberings(renumbered)
        end = max((*renumbered.values(), *(run.end for run in runs if run.end not in renumbered)), default=0)
        taken = {seq for seq in renumbered if seq <= end and any(run.start <= seq <= run.end for run in runs)}
        for range_ in _without(missing, set(renumbered.values()), taken):
            found.append(f"{_rows(*range_)} {_is(*range_)} missing.")
        if head and not found and (self.rows, self.head if self.rows else head.before) != (head.count, head.head):
            found.append(f"The end differs from the head given: {head.count} rows that end in {head.head}.")
        if self.anchor and not self._anchored and self.anchor != expected.before:
            found.append(
                f"No row has the hash {self.anchor[:8]} given: the end is missing, or was written anew from some row on."
            )
        if self._more:
            found.append(f"And so on: {self._more:,} more.")
        return found

    def _ends(self, runs: list[_Run], head: Head, *, whole: bool, missing: list[tuple[int, int]]) -> Iterator[str]:
        lowest, highest, last = runs[0], max(runs, key=lambda run: run.end), head.first + head.count - 1
        if lowest.start > head.first:
            missing.insert(0, (head.first, lowest.start - 1))
        elif lowest.start < head.first:
            yield f"It begins at row {lowest.start}, and not at row {head.first}."
        elif lowest.first_intact and lowest.first.previous != head.before:
            yield f"Row {lowest.start} follows another hash than {head.before[:8]}: the chain begins otherwise."
        if whole:
            return
        if highest.end < last:
            missing.append((highest.end + 1, last))
        elif highest.end > last:
            yield f"{_rows(last + 1, highest.end)} {_is(last + 1, highest.end)} beyond the end that the first line names."
        elif highest.last_intact and highest.last.hash != head.head:
            yield f"The end differs from the head given: row {last} has not the hash {head.head[:8]}."

    def _renumbered(self, expected: Head) -> tuple[dict[int, int], list[str]]:
        """Rows that are as they were written under another number, by the number they have; and what the others come to."""
        numbers = {suspect.row.seq for suspect in self._suspects}
        in_order = sorted(self._runs, key=lambda run: (run.start, run.end))
        gaps, _, _ = _joined(in_order)
        if in_order and in_order[0].start > expected.first:
            gaps.insert(0, (expected.first, in_order[0].start - 1))
        absent = [number for start, end in gaps[:10] for number in range(start, min(end, start + 9) + 1)]
        few = sorted(numbers)[:50]
        renumbered, edited, shift = dict[int, int](), list[str](), 0
        for suspect in self._suspects:
            row = suspect.row
            was = next(
                (
                    number
                    for number in (row.seq + shift, row.seq + 1, row.seq - 1, *absent, *few)
                    if number != row.seq and replace(row, seq=number).digest() == row.hash
                ),
                None,
            )
            if was is not None:
                renumbered[row.seq], shift = was, was - row.seq
            elif suspect.after == row.digest():
                edited.append(f"Row {row.seq} was edited: the hash in it.")
            elif replace(row, previous=suspect.before or expected.before).digest() == row.hash:
                edited.append(f"Row {row.seq} was edited: the hash of the row before in it.")
            else:
                edited.append(f"Row {row.seq} was edited.")
        return renumbered, edited


def _torn(before: Row, row: Row) -> str:
    return f"Row {row.seq} does not follow row {before.seq}: one of them was edited, and its hash made anew."


def _moved(runs: list[_Run], in_order: list[_Run]) -> list[str]:
    moved = [run for run, sorted_ in zip(runs, in_order, strict=True) if run is not sorted_]
    if len(moved) == 2:
        one, other = sorted(moved, key=lambda run: run.start)
        first, second = _numbers(one.start, one.end), _numbers(other.start, other.end)
        return [f"Rows {first} and {second} changed places."]
    if moved:
        start, end = min(run.start for run in moved), max(run.end for run in moved)
        return [f"{_rows(start, end)} stand in another order."]
    return []


def _joined(in_order: list[_Run]) -> tuple[list[tuple[int, int]], list[int], list[str]]:
    """What lies between runs: numbers that are missing, numbers that are there twice, and rows that do not join."""
    missing, twice, torn = list[tuple[int, int]](), list[int](), list[str]()
    before = in_order[0] if in_order else None  # the one that reaches farthest so far
    for run in in_order[1:]:
        assert before
        if run.start > before.end + 1:
            missing.append((before.end + 1, run.start - 1))
        elif run.start <= before.end:
            twice += range(run.start, min(run.end, before.end, run.start + LIMIT) + 1)
        elif before.last_intact and run.first_intact and run.first.previous != before.last.hash:
            torn.append(_torn(before.last, run.first))
        before = run if run.end > before.end else before
    return missing, twice, torn


def _renumberings(renumbered: dict[int, int]) -> Iterator[str]:
    rest = dict(renumbered)
    for seq, was in renumbered.items():
        if rest.get(was) == seq and seq in rest:
            yield f"Rows {min(seq, was)} and {max(seq, was)} changed places."
            del rest[seq], rest[was]
    while rest:
        start = end = min(rest)
        shift = rest[start] - start
        while rest.get(end + 1) == end + 1 + shift:
            end += 1
        for seq in range(start, end + 1):
            del rest[seq]
        yield f"{_rows(start, end)} {_is(start, end)} {_rows(start + shift, end + shift).lower()} under another number."


def _without(missing: list[tuple[int, int]], there: set[int], taken: set[int]) -> list[tuple[int, int]]:
    """The ranges without the numbers of rows that are `there` under another, and with those that such rows have `taken`."""
    left = [(number, number) for number in taken - there]
    for start, end in missing:
        for number in sorted(number for number in there if start <= number <= end):
            if start < number:
                left.append((start, number - 1))
            start = number + 1
        if start <= end:
            left.append((start, end))
    return sorted(left)


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    ranges = list[tuple[int, int]]()
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def _numbers(start: int, end: int) -> str:
    return str(start) if start == end else f"{start}-{end}"


def _rows(start: int, end: int) -> str:
    return f"Row{'s' * (start != end)} {_numbers(start, end)}"


def _is(start: int, end: int) -> str:
    return "is" if start == end else "are"


def read(lines: Iterable[str], chain: Chain) -> Iterator[Row]:
    """The rows of an export, taken into the chain; the lines come without their ends, and the first is the head's."""
    for number, line in enumerate(lines, 2):
        try:
            row = Row.of(line)
        except (ValueError, TypeError, RecursionError):
            chain.cannot_read(number)
        else:
            chain.add(row)
            yield row


def verify(lines: Iterable[str], anchor: str = "") -> list[str]:
    """What is wrong with an export, a sentence each; `anchor` is a hash that must be in it. Raises BadExport."""
    rest = iter(lines)
    head, chain = Head.of(next(rest, "")), Chain(anchor)
    for _ in read(rest, chain):
        pass
    return chain.findings(head)
