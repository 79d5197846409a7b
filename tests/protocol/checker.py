"""Explores a machine breadth first, so that the first trace to anything is a shortest one."""

import gc
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.rules import Row
from tests.protocol.invariants import INVARIANTS, POSSIBLE
from tests.protocol.model import Broken, Machine, World, alike

Label = tuple[Any, ...]
PEOPLE = ("accepted", "redelivered", "crash")
"""What does not happen by itself."""


@dataclass
class Report:
    """What was found: how much was explored, and if something is wrong, which invariant, how, and by which steps."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    complete: bool = True
    invariant: str = ""
    wrong: str = ""
    trace: list[Label] = field(default_factory=list)
    asked: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=dict)
    """What the tables were asked, and which row fitted."""

    @property
    def used(self) -> set[tuple[str, str]]:
        """The rows that were used, by table and name."""
        return {(table, row.name) for table, known in self.asked.items() for row in known.values()}


def explore(machine: Machine, only: Sequence[str] = (), limit: int = 20_000_000) -> Report:
    """All worlds that can be reached, or as far as the first in which an invariant fails; `only`: these invariants count."""
    return _Exploring(machine, only or tuple(INVARIANTS), limit).run()


class _Exploring:
    def __init__(self, machine: Machine, only: Sequence[str], limit: int) -> None:
        self._machine, self._limit, self._report = machine, limit, Report()
        self._holds = [(name, INVARIANTS[name]) for name in only]
        self._number: dict[World, int] = {}
        self._came: list[tuple[int, Label]] = []
        self._from, self._to = array("I"), array("I")

    def run(self) -> Report:
        began = time.process_time()
        gc.disable()  # nothing here is a cycle, and there is much of it
        try:
            self._breadth_first()
            if not self._report.wrong and self._report.complete and len(self._holds) == len(INVARIANTS):
                self._all_is_possible()
        finally:
            gc.enable()
            self._report.seconds = time.process_time() - began
            self._report.states, self._report.asked = len(self._number), self._machine.asked
        return self._report

    def _breadth_first(self) -> None:
        machine, number, came, holds = self._machine, self._number, self._came, self._holds
        try:
            start = machine.start()
        except Broken as error:
            self._fails("I8", f"a turn fails, or a step: {error}", 0, ())
            return
        number[alike(start)], layer = 0, [start]
        came.append((-1, ()))
        while layer:
            following = []
            for world in layer:
                here = number[alike(world)]
                for label, after, what in machine.next(world):
                    self._report.transitions += 1
                    if what is not None or after.tickets is not world.tickets:
                        for name, hold in holds:
                            if wrong := hold(world, what, after):
                                self._fails(name, wrong, here, label)
                                return
                    key = alike(after)
                    there = number.get(key)
                    if there is None:
                        there = number[key] = len(came)
                        came.append((here, label))
                        following.append(after)
                    if label[0] not in PEOPLE:
                        self._from.append(here)
                        self._to.append(there)
            if len(came) > self._limit:
                self._report.complete = False
                return
            layer = following
            self._report.depth += bool(layer)

    def _all_is_possible(self) -> None:
        """From every world, without any more acts, what must be possible from there is."""
        hashes = range(1, self._machine.bounds.versions + 1)
        wanted = [(one, hash_) for one in POSSIBLE for hash_ in (hashes if one.hashes else (0,))]
        needed, fine = array("I", bytes(4 * len(self._came))), array("I", bytes(4 * len(self._came)))
        for world, n in self._number.items():
            for bit, (one, hash_) in enumerate(wanted):
                if one.needed(world, hash_, self._machine):
                    needed[n] |= 1 << bit
                if one.reached(world, hash_, self._machine):
                    fine[n] |= 1 << bit
        leads: dict[int, list[int]] = {}
        for here, there in zip(self._from, self._to, strict=True):
            leads.setdefault(there, []).append(here)
        waiting = [n for n, bits in enumerate(fine) if bits]
        while waiting:
            there = waiting.pop()
            bits = fine[there]
            for here in leads.get(there, ()):
                if bits & ~fine[here]:
                    fine[here] |= bits
                    waiting.append(here)
        for n, bits in enumerate(needed):
            if stuck := bits & ~fine[n]:
                one, _ = wanted[(stuck & -stuck).bit_length() - 1]
                self._fails(one.invariant, one.wrong, n, ())
                return

    def _fails(self, invariant: str, wrong: str, here: int, label: Label) -> None:
        self._report.invariant, self._report.wrong = invariant, wrong
        trace = [label] if label else []
        while here > 0:
            here, label = self._came[here]
            trace.append(label)
        self._report.trace = [("begun",), *trace[::-1]] if self._machine.bounds.begun else trace[::-1]


CONTENTS = ("nothing", "A", "B", "C", "something that leaves a question open")
LINKS = {
    "offered": "it is the ticket that was offered",
    "another": "it is one that was not offered",
    "gone": "it is one that is gone",
}


def in_words(trace: Iterable[Label]) -> list[str]:
    """A trace as people would tell it."""
    return [_told(label) for label in trace if label]


def _told(label: Label) -> str:
    kind, *rest = label
    match kind:
        case "begun":
            return "somebody says A, its card is shown, and ann approves it"
        case "accepted":
            return _event(rest[0])
        case "redelivered":
            return f"Slack delivers that again: {_event(rest[0])}"
        case "reads":
            return f"worker {rest[0] + 1} reads: {_event(rest[1])}"
        case "commits":
            number, event, then, row, said, opened = rest
            more = f" and shows a card with {CONTENTS[opened]}" if opened else f" and goes on at {said!r}" if said else ""
            return f"worker {number + 1} commits {_event(event)!r}: {then}{f' ({row})' if row else ''}{more}"
        case "begins":
            return f"worker {rest[0] + 1} finds the filing of {CONTENTS[rest[1]]} {rest[2]}: {rest[3]}"
        case "step":
            return f"worker {rest[0] + 1}, {CONTENTS[rest[2]]}: {rest[1]}"
        case "records":
            return f"worker {rest[0] + 1} puts {CONTENTS[rest[1]]} on record: {rest[2]}"
        case "crash":
            return f"worker {rest[0] + 1} dies"
        case "index":
            return f"the tracker's index catches up with {CONTENTS[rest[0]]}"
        case "ties" | "cannot tie":
            return (
                f"worker {rest[0] + 1} {kind if kind == 'ties' else 'cannot yet tie'} {CONTENTS[rest[1]]} to its conversation"
            )
        case "stops":
            return f"worker {rest[0] + 1} fails: {rest[1]}"
        case _:
            return f"{kind} {', '.join(str(one) for one in rest)}"


def _event(event: Label) -> str:
    match event:
        case ("say" | "new" as kind, content):
            return f"somebody {'says' if kind == 'say' else 'asks for a new ticket:'} {CONTENTS[content]}"
        case ("click", person, act, card, link, late):
            about = " after its time" if late else ""
            about += f" ({LINKS[link]})" if link else ""
            return f"{person} clicks {act} on {f'card {card + 1}' if card >= 0 else 'a card that never was'}{about}"
        case ("settle", person, act, hash_, attempt):
            return f"{person} says {act!r} of attempt {attempt} at {CONTENTS[hash_]}"
        case ("outcome", hash_, status, attempt, fields):
            return f"attempt {attempt} at {CONTENTS[hash_]} is {status}{' for its fields' if fields else ''}"
        case (kind,):
            return f"somebody says {kind!r}"
    return str(event)
