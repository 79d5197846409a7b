"""The page says what was measured, and what was not."""

from typing import Any

from agent.faults import POINTS
from tests.reliability.page import ROWS, page

FINE = {"lost": 0, "doubled": 0, "broken": 0, "wrong": {}}
ALL: list[dict[str, Any]] = [
    {"what": "machine", "date": "2026-01-02", "python": "3.11.7", "postgresql": "18.6", "cores": 2, "quick": False},
    {"what": "protocol", "scenario": "a", "states": 1000, "transitions": 2000, "depth": 9, "seconds": 1.5, "found": "nothing"},
    {
        "what": "protocol",
        "scenario": "b",
        "states": 1,
        "transitions": 2,
        "depth": 3,
        "seconds": 1.0,
        "found": "I3: two",
    },
    {"what": "variants", "seeded": 7, "caught": 7},
    {"what": "mutants", "tried": 10, "caught": 6, "same": 3, "harmless": 1},
    {
        "what": "sweep",
        "conversations": 2,
        "kills": {"Slack": ["turn-found", "turn-written"]},
        **FINE,
        "doubled": 1,
        "wrong": {"Slack / turn-found / 1": "posted twice: card:1"},
    },
    {"what": "kills", "seed": 1, "conversations": 4, "died": 9, **FINE},
    {"what": "cuts", "how": "fast", "cuts": 4, "conversations": 6, **FINE, "lost": 2},
    {"what": "stories", "stories": 60, "steps": 1683, "came_to": {"filing filed": 3}},
    {"what": "fuzz", "target": "answers", "tried": 12345, "wrong": 0, "seconds": 3.0},
    {"what": "part", "part": "sweep", "status": 1, "seconds": 61.0},
]


def test_what_was_measured_is_on_the_page() -> None:
    said = page(ALL).splitlines()
    points = f"2 kills: 2 of {len(POINTS)} fault points, in 1 conversations"
    for line in (
        "Measured on 2026-01-02 with the long version, on 2 cores: Python 3.11.7, PostgreSQL 18.6.",
        "| the protocol, explored: a | 1,000 states, 2,000 transitions, depth 9 | 0 | 0 | 0 | 2 |",
        "| the protocol, explored: b | 1 states, 2 transitions, depth 3 | 0 | 0 | **I3: two** | 1 |",
        "| wrong variants of it | 7 put in, 7 caught | 0 | 0 | 0 |  |",
        "| mutants of each of its rows | 10 tried: 6 caught, 3 do the same, 1 known to be harmless | 0 | 0 | 0 |  |",
        f"| kill -9 at a fault point (**failed**) | {points} | 0 | 1 | 0 | 61 |",
        "| kill -9 at random times | 9 kills in 4 conversations, 1 seeds | 0 | 0 | 0 |  |",
        "| PostgreSQL is cut: fast | 4 cuts under 6 conversations | 2 | 0 | 0 |  |",
        "| random stories | 60 stories, 1,683 steps, each judged | 0 | 0 | 0 |  |",
        "| fuzzing | 12,345 inputs to 1 targets | 0 | 0 | 0 |  |",
        f"| `turn-found` | {POINTS['turn-found']} | 1 | Slack | 1 |",
        "      posted twice: card:1",
    ):
        assert line in said


def test_what_was_not_measured_is_on_the_page_too() -> None:
    said = page([{"what": "part", "part": "kills", "status": 1, "seconds": 1.0}])
    assert said.count("| not run |") == len(ROWS) - 1
    assert "| kill -9 at random times | **failed**, and counted nothing |" in said
