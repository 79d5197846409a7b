"""Every fault of the network before every tracker: as many tickets as approvals, or the doubt is held and people are asked."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from persistence.database import Database
from skills.trackers import connected
from tests.approved import Approved
from tests.support import make_shell
from tests.trackers.places import PLACES, Place
from tests.trackers_sim.proxy import FaultProxy, fault_proxy

ACTED = ("drop_reply", "reset_reply", "half_body", "half_head", "500_after", "502_after", "503_after", "garbage", "wrong_json",
         "empty_200")  # fmt: skip
"""The tracker made the ticket, and nobody was told so."""

NOT_ACTED = ("drop_request", "reset_request", "500", "502", "503", "garbage_before", "html_403", "redirect_302")
"""It did not, and nobody can know."""

WAITS = ("429", "429_http_date", "refuse")
"""It surely did not."""

HARMLESS = ("delay", "delay_reply", "slow_drip")


@pytest.fixture(params=list(PLACES), scope="module")
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Each tracker, which runs for all tests."""
    async with PLACES[request.param](tmp_path_factory.mktemp("place")) as place:
        yield place


@pytest.fixture
async def place(running: Place) -> AsyncIterator[Place]:
    """It, with the tickets of this test alone."""
    before = await running.tickets()

    async def tickets() -> int:
        return await running.tickets() - before

    yield replace(running, tickets=tickets)
    running.lag(0)


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(place.url) as proxy:
        yield proxy


@pytest.fixture
async def one(place: Place, proxy: FaultProxy, database: Database) -> Approved:
    """An approved ticket on its way there, in a session of its own: its marker is derived from that."""
    tracker = connected(place.behind(proxy.url))[place.tracker]
    approved = Approved(database, make_shell(database, tracker, place.project), uuid4().hex)
    await approved.begin()
    return approved


async def settled(one: Approved, steps: int = 12) -> str:
    """Steps until the filing is at its end, or people are asked; its state."""
    for _ in range(steps):
        await one.step()
        row = await one.row()
        if row.status in ("filed", "failed") or row.asked_at:
            return str(row.status)
    raise AssertionError(f"it is {row.status} after {steps} steps: {row.reason}")


@pytest.mark.parametrize("fault", ACTED)
async def test_a_ticket_whose_answer_was_lost_is_found_and_not_made_twice(
    place: Place, proxy: FaultProxy, one: Approved, fault: str
) -> None:
    proxy.plan(fault, path=place.path, within=place.within)  # type: ignore[arg-type]
    assert await settled(one) == "filed"
    assert await place.tickets() == 1
    assert proxy.count("POST", place.path, within=place.within) == 1


@pytest.mark.parametrize("fault", NOT_ACTED)
async def test_what_nobody_can_tell_is_held_until_a_person_says_so(
    place: Place, proxy: FaultProxy, one: Approved, fault: str
) -> None:
    proxy.plan(fault, path=place.path, within=place.within)  # type: ignore[arg-type]
    assert await settled(one) == "unknown"
    assert (await place.tickets(), proxy.count("POST", place.path, within=place.within)) == (0, 1)
    await one.settle("again")
    assert await settled(one) == "filed"
    assert (await place.tickets(), proxy.count("POST", place.path, within=place.within)) == (1, 2)


@pytest.mark.parametrize("fault", WAITS)
async def test_what_surely_was_not_sent_is_sent_later(place: Place, proxy: FaultProxy, one: Approved, fault: str) -> None:
    if fault == "refuse":
        await proxy.refuse()
    else:
        proxy.plan(fault, path=place.path, within=place.within, seconds=2)  # type: ignore[arg-type]
    await one.step()
    assert ((await one.row()).status, await place.tickets()) == ("intended", 0)
    await proxy.reopen() if fault == "refuse" else proxy.heal()
    assert await settled(one) == "filed"
    assert await place.tickets() == 1


@pytest.mark.parametrize("fault", HARMLESS)
async def test_what_is_only_slow_is_waited_for(place: Place, proxy: FaultProxy, one: Approved, fault: str) -> None:
    proxy.plan(fault, path=place.path, within=place.within, seconds=0.3)  # type: ignore[arg-type]
    assert await settled(one) == "filed"
    assert (await place.tickets(), proxy.count("POST", place.path, within=place.within)) == (1, 1)


async def test_an_index_that_lags_makes_no_second_ticket(place: Place, proxy: FaultProxy, one: Approved) -> None:
    place.lag(3600)
    proxy.plan("drop_reply", path=place.path, within=place.within)
    state = await settled(one)
    assert await place.tickets() == 1
    if state == "unknown":  # Linear and jira820 find what was just made
        for _ in range(3):
            await one.step()
        place.lag(0)
        await one.step()
    assert (await one.row()).status == "filed"
    assert await place.tickets() == 1


async def test_a_second_ticket_is_not_made_where_somebody_says_again_too_early(
    place: Place, proxy: FaultProxy, one: Approved
) -> None:
    place.lag(3600)
    proxy.plan("drop_reply", path=place.path, within=place.within)
    if await settled(one) == "unknown":
        place.lag(0)
        await one.settle("again")
        assert await settled(one) == "filed"
    assert (await place.tickets(), proxy.count("POST", place.path, within=place.within)) == (1, 1)


async def test_a_fault_while_looking_proves_nothing(place: Place, proxy: FaultProxy, one: Approved) -> None:
    proxy.plan("drop_reply", path=place.path, within=place.within)
    await one.step()
    for fault in ("500", "garbage", "drop_reply", "429"):
        proxy.heal()
        proxy.plan(fault, times=20, method=None)  # type: ignore[arg-type]
        await one.step()
        assert (await one.row()).status == "unknown"
    proxy.heal()
    await one.step()
    assert (await one.row()).status == "filed"
    assert await place.tickets() == 1
