"""One conversation with one fault: played to its end, and counted."""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.faults import POINTS
from tests.processes import Forker
from tests.reliability.conftest import Databases
from tests.reliability.flows import FLOWS, Flow
from tests.reliability.world import Outcome, World, notes, world

SECONDS = 300
"""After which a conversation that is not over is lost."""


@dataclass(frozen=True)
class Case:
    """A flow whose process dies when it reaches a point for the `time`-th time."""

    flow: Flow
    point: str
    time: int = 1

    def __str__(self) -> str:
        return f"{self.flow.name} / {self.point} / {self.time}"


async def played(
    flow: Flow,
    forkers: dict[str, Forker],
    dsn: str,
    fault: str = "",
    *,
    may_end: tuple[int, ...] = (-9,),
    beside: Callable[[World], Coroutine[Any, Any, None]] | None = None,
) -> Outcome:
    """Plays a flow to its end, and counts. `beside`: what is done to its processes while people act."""
    deaths = 0
    try:
        async with world(flow.kind, forkers, dsn, fault, outside=flow.outside) as here:
            here.may_end = may_end
            async with asyncio.timeout(SECONDS):
                doing = asyncio.create_task(beside(here)) if beside else None
                try:
                    await flow.play(here)
                finally:
                    if doing:
                        doing.cancel()
                        await asyncio.gather(doing, return_exceptions=True)
                    deaths = here.kills - flow.deaths
                await here.finish()
            outcome: Outcome = here.judged(flow.tickets)
            outcome.deaths -= flow.deaths
            return outcome
    except Exception:
        return Outcome(deaths, lost=[traceback.format_exc()[-3000:]])


def summed(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """What a measure says of conversations: how many there were, and what is wrong with which."""
    return {
        "conversations": len(outcomes),
        "died": sum(outcome.deaths for outcome in outcomes.values()),
        "lost": sum(len(outcome.lost) for outcome in outcomes.values()),
        "doubled": sum(len(outcome.doubled) for outcome in outcomes.values()),
        "broken": sum(len(outcome.broken) for outcome in outcomes.values()),
        "wrong": wrong(outcomes),
    }


def wrong(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """The conversations with which something is wrong, and what."""
    return {name: outcome.wrong for name, outcome in outcomes.items() if outcome.wrong}


async def mapped(forkers: dict[str, Forker], databases: Databases, folder: Path, at_once: int) -> dict[str, Counter[str]]:
    """The points that each flow comes by when nothing goes wrong, and how often."""
    slots = asyncio.Semaphore(at_once)

    async def one(number: int, flow: Flow) -> Counter[str]:
        path = folder / f"notes-{number}"
        async with slots:
            with databases() as dsn:
                outcome = await played(flow, forkers, dsn, ",".join(f"{name}=note:{path}" for name in POINTS))
        assert not outcome.wrong, f"{flow.name}: {outcome.wrong}"
        return notes(path)

    found = await asyncio.gather(*(one(number, flow) for number, flow in enumerate(FLOWS)))
    return {flow.name: points for flow, points in zip(FLOWS, found, strict=True)}


async def swept(cases: list[Case], forkers: dict[str, Forker], databases: Databases, at_once: int) -> dict[Case, Outcome]:
    """Plays them all, some at once."""
    slots = asyncio.Semaphore(at_once)

    async def one(case: Case) -> Outcome:
        async with slots:
            with databases() as dsn:
                return await played(case.flow, forkers, dsn, f"{case.point}=crash:{case.time}")

    results = await asyncio.gather(*map(one, cases))
    return dict(zip(cases, results, strict=True))
