"""One conversation with one fault: played to its end, and counted."""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.faults import POINTS
from tests.processes import Forker
from tests.reliability.flows import FLOWS, Flow
from tests.reliability.world import notes, world


@dataclass(frozen=True)
class Case:
    """A flow whose process dies when it reaches a point for the `time`-th time."""

    flow: Flow
    point: str
    time: int = 1

    def __str__(self) -> str:
        return f"{self.flow.name} / {self.point} / {self.time}"


async def played(flow: Flow, forkers: dict[str, Forker], dsn: str, fault: str) -> tuple[int, str]:
    """How often a process died, and what is wrong in the end."""
    try:
        async with world(flow.kind, forkers, dsn, fault, outside=flow.outside) as here:
            async with asyncio.timeout(240):
                await flow.play(here)
                await here.finish()
            tickets = len(here.github.issues) if flow.outside else here.rows("SELECT count(*) AS n FROM tickets")[0]["n"]
            wrong = here.wrong()
            if tickets != flow.tickets:
                wrong += f"{tickets} tickets, not {flow.tickets}"
            return here.kills, wrong
    except Exception:
        return 0, traceback.format_exc()[-3000:]


async def mapped(forkers: dict[str, Forker], dsns: Callable[[], str], folder: Path, at_once: int) -> dict[str, Counter[str]]:
    """The points that each flow comes by when nothing goes wrong, and how often."""
    slots = asyncio.Semaphore(at_once)

    async def one(number: int, flow: Flow) -> tuple[Counter[str], str]:
        path = folder / f"notes-{number}"
        async with slots:
            _, wrong = await played(flow, forkers, dsns(), ",".join(f"{name}=note:{path}" for name in POINTS))
        return notes(path), wrong

    found = await asyncio.gather(*(one(number, flow) for number, flow in enumerate(FLOWS)))
    wrong = {flow.name: wrong for flow, (_, wrong) in zip(FLOWS, found, strict=True) if wrong}
    assert not wrong, "\n".join(f"{name}: {why}" for name, why in wrong.items())
    return {flow.name: points for flow, (points, _) in zip(FLOWS, found, strict=True)}


async def swept(
    cases: list[Case], forkers: dict[str, Forker], dsns: Callable[[], str], at_once: int
) -> dict[Case, tuple[int, str]]:
    """Plays them all, some at once."""
    slots = asyncio.Semaphore(at_once)

    async def one(case: Case) -> tuple[int, str]:
        async with slots:
            return await played(case.flow, forkers, dsns(), f"{case.point}=crash:{case.time}")

    results = await asyncio.gather(*map(one, cases))
    return dict(zip(cases, results, strict=True))
