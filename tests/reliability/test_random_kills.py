"""kill -9 at random times, from a seed that is printed; then all is counted.

In CI it is one seed; SIGNOFF_SEEDS=1-40 plays forty.
"""

import asyncio
import os
import random
from contextlib import ExitStack
from functools import partial

import pytest

from tests.measures import measured
from tests.processes import Forker
from tests.reliability.conftest import Databases
from tests.reliability.flows import FLOWS
from tests.reliability.sweep import played, summed, wrong
from tests.reliability.world import World

SEEDS = [int(seed) for seed in os.environ.get("SIGNOFF_SEEDS", "1-1").split("-")]
KILLS = 4
"""In one conversation."""
IN_RANDOM = [flow for flow in FLOWS if flow.name != "it is that ticket" and not flow.deaths]
"""Without those that have several processes one after the other by themselves."""


async def killer(here: World, rng: random.Random) -> None:
    """Kills what runs, now and then, until it has done so often enough."""
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.05, 1.5))
        while not here.processes or not here.process.runs():
            await asyncio.sleep(0.02)
        os.kill(here.process.pid, 9)


@pytest.mark.parametrize("seed", range(SEEDS[0], SEEDS[-1] + 1))
async def test_nothing_is_lost_or_doubled_whenever_a_process_dies(
    forkers: dict[str, Forker], databases: Databases, seed: int
) -> None:
    print(f"SIGNOFF_SEEDS={seed}-{seed} plays this again")
    rng = random.Random(seed)
    flows = rng.sample(IN_RANDOM, 4)
    rngs = [random.Random(f"{seed} {flow.name}") for flow in flows]
    with ExitStack() as stack:
        results = await asyncio.gather(
            *(
                played(flow, forkers, stack.enter_context(databases()), beside=partial(killer, rng=its))
                for flow, its in zip(flows, rngs, strict=True)
            )
        )
    outcomes = dict(zip((flow.name for flow in flows), results, strict=True))
    measured("kills", seed=seed, **summed(outcomes))
    assert wrong(outcomes) == {}
