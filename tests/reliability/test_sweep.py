"""kill -9 at every fault point: real processes, a real PostgreSQL, and people who go on; then all is counted.

In CI each point is tried once, in one conversation that comes by it; SIGNOFF_SWEEP=all tries each in every conversation,
as often as it comes by there.
"""

import os
from collections import Counter
from pathlib import Path

from agent.faults import POINTS
from tests.measures import measured
from tests.processes import Forker
from tests.reliability.conftest import Databases
from tests.reliability.flows import FLOWS
from tests.reliability.sweep import Case, mapped, summed, swept, wrong
from tests.reliability.world import Outcome

AT_ONCE = int(os.environ.get("SIGNOFF_AT_ONCE", "6"))
TIMES = {"": 0, "once": 1, "all": 4}
"""How often a point is tried in each conversation; 0: in one conversation alone."""


async def test_nothing_is_lost_or_doubled_wherever_a_process_dies(
    forkers: dict[str, Forker], databases: Databases, tmp_path: Path
) -> None:
    reached = await mapped(forkers, databases, tmp_path, AT_ONCE)
    never = [name for name in POINTS if not any(name in points for points in reached.values())]
    assert never == [], "each point is in the way of some conversation"
    if times := TIMES[os.environ.get("SIGNOFF_SWEEP", "")]:
        outcomes = await swept(
            [
                Case(flow, point, n)
                for flow in FLOWS
                for point, hits in reached[flow.name].items()
                for n in range(1, min(hits, times) + 1)
            ],
            forkers,
            databases,
            AT_ONCE,
        )
    else:
        outcomes = await _each_once(reached, forkers, databases)
    named = {str(case): outcome for case, outcome in outcomes.items()}
    died = [case for case, outcome in outcomes.items() if outcome.deaths]
    kills = {flow.name: [case.point for case in died if case.flow is flow] for flow in FLOWS}
    measured("sweep", kills=kills, **summed(named))
    assert wrong(named) == {}
    assert {case.point for case in died} == set(POINTS), "a process died at each of them"


async def _each_once(reached: dict[str, Counter[str]], forkers: dict[str, Forker], databases: Databases) -> dict[Case, Outcome]:
    """Each point in the shortest conversation that comes by it; in another one if it ended sooner this time."""
    outcomes: dict[Case, Outcome] = {}
    flows = sorted(FLOWS, key=lambda flow: len(reached[flow.name]))
    left = {point: [Case(flow, point) for flow in flows if point in reached[flow.name]] for point in POINTS}
    while left:
        tried = await swept([cases.pop(0) for cases in left.values()], forkers, databases, AT_ONCE)
        outcomes |= tried
        died = {case.point for case, outcome in tried.items() if outcome.deaths}
        left = {point: cases for point, cases in left.items() if cases and point not in died}
    return outcomes
