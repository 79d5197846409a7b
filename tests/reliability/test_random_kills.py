"""kill -9 at random times, from a seed that is printed; then all is counted."""

import asyncio
import os
import random
import traceback
from collections.abc import Callable

import pytest

from tests.measures import measured
from tests.processes import Forker
from tests.reliability.flows import FLOWS, Flow
from tests.reliability.world import World, world

SEEDS = [int(seed) for seed in os.environ.get("SIGNOFF_SEEDS", "1-4").split("-")]
KILLS = 4
"""In one conversation."""
IN_RANDOM = [flow for flow in FLOWS if flow.name != "it is that ticket"]  # that one has two processes one after the other


async def killer(here: World, rng: random.Random) -> None:
    """Kills what runs, now and then, until it has done so often enough."""
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.05, 1.5))
        while not here.processes or not here.process.runs():
            await asyncio.sleep(0.02)
        os.kill(here.process.pid, 9)


async def killed(flow: Flow, rng: random.Random, forkers: dict[str, Forker], dsn: str) -> tuple[int, str]:
    """How often a process died, and what is wrong in the end."""
    try:
        async with world(flow.kind, forkers, dsn, "", outside=flow.outside) as here:
            killing = asyncio.create_task(killer(here, rng))
            async with asyncio.timeout(300):
                await flow.play(here)
                killing.cancel()
                await asyncio.gather(killing, return_exceptions=True)
                await here.finish()
            wrong = here.wrong()
            number = len(here.github.issues) if flow.outside else here.rows("SELECT count(*) AS n FROM tickets")[0]["n"]
            if number != flow.tickets:
                wrong += f"{number} tickets, not {flow.tickets}"
            return here.kills, wrong
    except Exception:
        return 0, traceback.format_exc()[-3000:]


@pytest.mark.parametrize("seed", range(SEEDS[0], SEEDS[-1] + 1))
async def test_nothing_is_lost_or_doubled_whenever_a_process_dies(
    forkers: dict[str, Forker], dsns: Callable[[], str], seed: int
) -> None:
    print(f"SIGNOFF_SEEDS={seed}-{seed} plays this again")
    rng = random.Random(seed)
    flows = rng.sample(IN_RANDOM, 4)
    rngs = [random.Random(f"{seed} {flow.name}") for flow in flows]
    results = await asyncio.gather(*(killed(flow, its, forkers, dsns()) for flow, its in zip(flows, rngs, strict=True)))
    wrong = {flow.name: wrong for flow, (_, wrong) in zip(flows, results, strict=True) if wrong}
    measured("random kills", seed=seed, conversations=len(flows), kills=sum(kills for kills, _ in results), wrong=wrong)
    assert wrong == {}
