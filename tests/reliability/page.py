"""Writes `docs/reliability.md` from what was measured: `python -m tests.reliability.page MEASURES`."""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from agent.faults import POINTS

ABOUT = """# Reliability

What Signoff promises is held against processes that are killed with kill -9, a PostgreSQL that goes away, and random stories.
`./scripts/reliability` does all of it and writes this page; `./scripts/reliability --quick` does a part of it. CI runs the
stories alone.

*Lost* is an event that was acknowledged and is not processed, an answer that nobody sees, or a ticket that was approved and is
not filed. *Doubled* is a second ticket for an approval, a second decision on a card, or a message that is posted twice. What is
counted are the rows of the database (`tests/invariants.py`), the tickets in the tracker, and the messages in Slack.
"""


def page(measures: list[dict[str, Any]]) -> str:
    """The whole of it."""
    by_name = defaultdict(list)
    for one in measures:
        by_name[one["name"]].append(one)
    return "\n".join([ABOUT, *_summary(by_name), *_sweep(by_name["sweep"]), *_stories(by_name["stories"]), WHAT]) + "\n"


def _summary(by_name: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = ["## In numbers", "", "| what | how much | lost or doubled |", "|---|---|---|"]
    for one in by_name["sweep"]:
        flows = sum(bool(points) for points in one["flows"].values())
        points = len({point for points in one["flows"].values() for point in points})
        what = f"{one['cases']} kills ({points} of {len(POINTS)} fault points, {flows} conversations)"
        lines.append(f"| kill -9 at a fault point | {what}, {one['died']} processes died | {len(one['wrong'])} |")
    if kills := by_name["random kills"]:
        number, talks = sum(one["kills"] for one in kills), sum(one["conversations"] for one in kills)
        wrong = sum(len(one["wrong"]) for one in kills)
        lines.append(f"| kill -9 at random times | {number} kills, {talks} conversations, {len(kills)} seeds | {wrong} |")
    for one in by_name["cuts"]:
        what = f"{one['cuts']} cuts under {one['conversations']} conversations"
        lines.append(f"| PostgreSQL is cut: {one['how']} | {what} | {len(one['wrong'])} |")
    for one in by_name["stories"]:
        lines.append(f"| random stories | {one['stories']} stories, {one['steps']} steps, each judged | 0 |")
    for name, others in by_name.items():
        if name not in ("sweep", "random kills", "cuts", "stories"):
            lines += [f"| {name} | {json.dumps({k: v for k, v in one.items() if k != 'name'})} | |" for one in others]
    return [*lines, ""]


def _sweep(sweeps: list[dict[str, Any]]) -> list[str]:
    lines = []
    for one in sweeps:
        wrong = Counter(tuple(case.split(" / ")[:2]) for case in one["wrong"])
        lines += [
            "## Points and conversations",
            "",
            "How often a process died there, in which conversations, and what was wrong.",
        ]
        lines += ["", "| point | where it stands | kills | conversations | wrong |", "|---|---|---|---|---|"]
        for point, where in POINTS.items():
            kills = {flow: points.count(point) for flow, points in one["flows"].items() if point in points}
            bad = sum(times for (_, its), times in wrong.items() if its == point)
            lines.append(f"| `{point}` | {where} | {sum(kills.values())} | {', '.join(kills)} | {bad} |")
        lines.append("")
    return lines


def _stories(stories: list[dict[str, Any]]) -> list[str]:
    lines = []
    for one in stories:
        came_to = ", ".join(f"{what} {times}" for what, times in sorted(one["came_to"].items()))
        lines += ["## What the stories came to", "", f"What events and filings came to, and how often: {came_to}.", ""]
    return lines


WHAT = """## What is tried

- **Fault points** (`agent/faults.py`): before and after each commit and each call outside. A process is armed by its
  environment to die there, the first time or a later one; it is started again as a supervisor would, and people repeat what
  was not acknowledged. A test holds the list of points to the code, and the sweep fails if a point is in no conversation's way.
- **Random kills**: at times from a seed, which is printed; `SIGNOFF_SEEDS=7-7` plays seed 7 again.
- **PostgreSQL**: all connections ended, a fast and an immediate stop, and kill -9 of the server, while six conversations go on.
- **Random stories** (`tests/stateful`): people, messages, clicks on any card that was ever shown, repeats, workers that hang
  and come back, answers of trackers that are lost or late, deaths at fault points; the invariants I1 to I8 are asked of the
  tables after each step. A story that breaks one shrinks.

What is not promised: that a terminal prints an answer once. A process that dies between printing and the record of it has it
printed again. The same holds for what Slack shows to one person alone (`chat.postEphemeral`), which cannot be looked for."""


if __name__ == "__main__":
    print(page([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]), end="")
