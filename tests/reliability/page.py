"""Writes `docs/reliability.md` from what was measured, and from nothing else."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from agent.faults import POINTS

Measure = dict[str, Any]

ABOUT = """# Reliability

What Signoff promises is held against every interleaving of a bounded model of it, against processes that are killed with
kill -9, a PostgreSQL that goes away, random stories, and input that nobody sends. `./scripts/reliability` does all of it and
writes this page; `./scripts/reliability --quick` does as much as five minutes allow. CI (`./scripts/test`) does about as much
in about five of its fifteen minutes: it explores the protocol, kills a process once at every fault point and some at random
times, cuts PostgreSQL once, tells stories and fuzzes.

*Lost* is an event that was acknowledged and is not processed, an answer that nobody sees, or a ticket that was approved and is
not filed. *Doubled* is a second ticket for an approval, a second decision on a card, or a message that is posted twice.
*Otherwise wrong* is another invariant that does not hold, a wrong variant that is not caught, or an input that is not refused
as it should be. What is counted are the rows of the database (`tests/invariants.py`), the tickets in the tracker, and the
messages in Slack.
"""

WHAT = """## What is tried

- **The protocol** (`tests/protocol`): its tables are explored breadth first, over all interleavings; wrong variants of them
  must be caught. [protocol.md](protocol.md) says what is modelled.
- **Fault points** (`agent/faults.py`): before and after each commit and each call outside. A process is armed by its
  environment to die there, the first time or a later one (`SIGNOFF_FAULT=filing-posted=crash ./scripts/signoff chat`; also
  `crash:3`, `sleep:2`, `raise`); it is started again as a supervisor would, and people repeat what
  was not acknowledged. A test holds the list of points to the code, and the sweep fails if a point is in no conversation's way.
- **Random kills**: at times from a seed, which is printed; `SIGNOFF_SEEDS=7-7` plays seed 7 again.
- **PostgreSQL**: all connections ended, a fast and an immediate stop, and kill -9 of the server, while six conversations go on.
- **Random stories** (`tests/stateful`): people, messages, clicks on any card that was ever shown, repeats, workers that hang
  and come back, answers of trackers that are lost or late, deaths at fault points; the invariants I1 to I8 are asked of the
  tables after each step. A story that breaks one shrinks.
- **Fuzzing** (`tests/fuzz`): mutated inputs of everything that reads what came from outside, each within a bound of time.

What is not promised: that a terminal prints an answer once. A process that dies between printing and the record of it has it
printed again. The same holds for what Slack shows to one person alone (`chat.postEphemeral`), which cannot be looked for.
"""


def page(measures: Sequence[Measure]) -> str:
    """The whole of it."""
    by_what = defaultdict(list)
    for one in measures:
        by_what[one["what"]].append(one)
    parts = {one["part"]: one for one in by_what["part"]}
    lines = [ABOUT, *_machine(by_what["machine"]), *_summary(by_what, parts), *_wrong(measures)]
    lines += [*_sweep(by_what["sweep"]), *_fuzz(by_what["fuzz"]), *_stories(by_what["stories"]), WHAT]
    return "\n".join(lines)


def _machine(machines: Sequence[Measure]) -> list[str]:
    return [
        f"Measured on {one['date']} with {'the quick' if one['quick'] else 'the long'} version, on {one['cores']} cores: "
        f"Python {one['python']}, PostgreSQL {one['postgresql']}.\n"
        for one in machines
    ]


def _summary(by_what: dict[str, list[Measure]], parts: dict[str, Measure]) -> list[str]:
    lines = [
        "## In numbers",
        "",
        "| what | how much | lost | doubled | otherwise wrong | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for what, (title, part, rows) in ROWS.items():
        ended = parts.get(part)
        if not (found := by_what[what]):
            lines.append(
                f"| {title} | {'**failed**, and counted nothing' if ended and ended['status'] else 'not run'} | | | | |"
            )
            continue
        failed = " (**failed**)" if ended and ended["status"] else ""
        told = rows(found)
        for row in told:
            seconds = row.seconds if row.seconds is not None else ended["seconds"] if ended and len(told) == 1 else None
            cells = (title + row.about + failed, row.much, row.lost, row.doubled, row.wrong)
            lines.append(f"| {' | '.join(map(str, cells))} | {'' if seconds is None else f'{seconds:,.0f}'} |")
    return [*lines, ""]


class Row:
    """One line of the table."""

    def __init__(
        self, about: str, much: str, lost: int = 0, doubled: int = 0, wrong: object = 0, seconds: float | None = None
    ) -> None:
        self.about, self.much, self.lost, self.doubled, self.wrong, self.seconds = about, much, lost, doubled, wrong, seconds


def _protocol(found: Sequence[Measure]) -> list[Row]:
    return [
        Row(
            f": {one['scenario']}",
            f"{one['states']:,} states, {one['transitions']:,} transitions, depth {one['depth']}",
            wrong=0 if one["found"] in ("", "nothing", None) else f"**{one['found']}**",
            seconds=one["seconds"],
        )
        for one in found
    ]


def _variants(found: Sequence[Measure]) -> list[Row]:
    return [Row("", f"{one['seeded']} put in, {one['caught']} caught", wrong=one["seeded"] - one["caught"]) for one in found]


def _mutants(found: Sequence[Measure]) -> list[Row]:
    return [
        Row(
            "",
            f"{one['tried']} tried: {one['caught']} caught, {one['same']} do the same, {one['harmless']} known to be harmless",
            wrong=one["tried"] - one["caught"] - one["same"] - one["harmless"],
        )
        for one in found
    ]


def _counted(about: str, much: str, found: Sequence[Measure]) -> Row:
    return Row(about, much, *(sum(one[kind] for one in found) for kind in ("lost", "doubled", "broken")))


def _points(found: Sequence[Measure]) -> list[Row]:
    kills = [(flow, point) for one in found for flow, points in one["kills"].items() for point in points]
    flows, points = {flow for flow, _ in kills}, {point for _, point in kills}
    much = f"{len(kills)} kills: {len(points)} of {len(POINTS)} fault points, in {len(flows)} conversations"
    return [_counted("", much, found)]


def _kills(found: Sequence[Measure]) -> list[Row]:
    much = f"{sum(one['died'] for one in found)} kills in {sum(one['conversations'] for one in found)} conversations"
    return [_counted("", f"{much}, {len(found)} seeds", found)]


def _cuts(found: Sequence[Measure]) -> list[Row]:
    return [
        _counted(f": {one['how']}", f"{one['cuts']} cuts under {one['conversations']} conversations", [one]) for one in found
    ]


def _told(found: Sequence[Measure]) -> list[Row]:
    return [Row("", f"{one['stories']:,} stories, {one['steps']:,} steps, each judged") for one in found]


def _tried(found: Sequence[Measure]) -> list[Row]:
    much = f"{sum(one['tried'] for one in found):,} inputs to {len(found)} targets"
    return [Row("", much, wrong=sum(one["wrong"] for one in found))]


ROWS = {
    "protocol": ("the protocol, explored", "protocol", _protocol),
    "variants": ("wrong variants of it", "protocol", _variants),
    "mutants": ("mutants of each of its rows", "protocol", _mutants),
    "sweep": ("kill -9 at a fault point", "sweep", _points),
    "kills": ("kill -9 at random times", "kills", _kills),
    "cuts": ("PostgreSQL is cut", "cuts", _cuts),
    "stories": ("random stories", "stories", _told),
    "fuzz": ("fuzzing", "fuzz", _tried),
}
"""For what is measured: its title, the part of the run that measures it, and its rows."""


def _wrong(measures: Sequence[Measure]) -> list[str]:
    found = [(name, why) for one in measures if isinstance(one.get("wrong"), dict) for name, why in one["wrong"].items()]
    if not found:
        return []
    lines = ["## What was wrong", ""]
    for name, why in found:
        lines += [f"- {name}:", "", *(f"      {line}" for line in why[-1500:].splitlines()), ""]
    return lines


def _sweep(sweeps: Sequence[Measure]) -> list[str]:
    lines = []
    for one in sweeps:
        wrong = Counter(case.split(" / ")[1] for case in one["wrong"])
        lines += ["## Points and conversations", ""]
        lines += ["How often a process died there, in which conversations, and in how many of those something was wrong.", ""]
        lines += ["| point | where it stands | kills | conversations | wrong |", "|---|---|---|---|---|"]
        for point, where in POINTS.items():
            kills = {flow: points.count(point) for flow, points in one["kills"].items() if point in points}
            lines.append(f"| `{point}` | {where} | {sum(kills.values())} | {', '.join(kills)} | {wrong[point]} |")
        lines.append("")
    return lines


def _fuzz(found: Sequence[Measure]) -> list[str]:
    if not found:
        return []
    rows = [f"| {one['target']} | {one['tried']:,} | {one['wrong']} | {one['seconds']:,.0f} |" for one in found]
    return ["## Inputs", "", "| target | inputs | wrong | seconds |", "|---|---|---|---|", *rows, ""]


def _stories(stories: Sequence[Measure]) -> list[str]:
    lines = []
    for one in stories:
        came_to = ", ".join(f"{what} {times}" for what, times in sorted(one["came_to"].items()))
        lines += ["## What the stories came to", "", f"What events and filings came to, and how often: {came_to}.", ""]
    return lines
