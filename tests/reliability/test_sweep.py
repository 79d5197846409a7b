"""kill -9 at every fault point: real processes, a real PostgreSQL, and people who go on; then all is counted.

In CI each point is tried once, in one conversation that comes by it; SIGNOFF_SWEEP=all tries each in every conversation,
as often as it comes by there.
"""

import os
from pathlib import Path

from agent.faults import POINTS
from tests.measures import measured
from tests.processes import Forker
from tests.reliability.conftest import Databases
from tests.reliability.flows import FLOWS
from tests.reliability.sweep import Case, mapped, summed, swept, wrong

AT_ONCE = int(os.environ.get("SIGNOFF_AT_ONCE", "6"))
TIMES = {"": 0, "once": 1, "all": 4}
"""How often a point is tried in one conversation; 0: in one conversation alone."""


async def test_nothing_is_lost_or_doubled_wherever_a_process_dies(
    forkers: dict[str, Forker], databases: Databases, tmp_path: Path
) -> None:
    reached = await mapped(forkers, databases, tmp_path, AT_ONCE)
    never = [name for name in POINTS if not any(name in points for points in reached.values())]
    assert never == [], "each point is in the way of some conversation"
    times = TIMES[os.environ.get("SIGNOFF_SWEEP", "")]
    cases = [
        Case(flow, point, n)
        for flow in FLOWS
        for point, hits in reached[flow.name].items()
        for n in range(1, min(hits, times or 1) + 1)
    ]
    if not times:  # each point once, in the conversation with the fewest of them that has it
        scarce = sorted(cases, key=lambda case: len(reached[case.flow.name]))
        cases = list({case.point: case for case in reversed(scarce)}.values())
    outcomes = {str(case): outcome for case, outcome in (await swept(cases, forkers, databases, AT_ONCE)).items()}
    died = {str(case) for case in cases if outcomes[str(case)].deaths}
    kills = {flow.name: [case.point for case in cases if case.flow is flow and str(case) in died] for flow in FLOWS}
    measured("sweep", kills=kills, **summed(outcomes))
    assert wrong(outcomes) == {}
    if not times:  # each process comes by its point for the first time, whatever else happens
        assert {str(case) for case in cases} == died
