"""kill -9 at every fault point, and in the middle of the POST, before every tracker: real processes, real HTTP."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.processes import Forker, Signoff
from tests.support import COMPLETE
from tests.trackers.places import PLACES, Place, soon
from tests.trackers_sim.github import running_github
from tests.trackers_sim.proxy import FaultProxy, fault_proxy

POINTS = ("approval-committed", "filing-sent", "acting", "filing-posted", "filing-recorded", "filing-lost", "filing-looked")
AT_ONCE = 14
"""Cases that are played at once: most of their time they wait."""

SCRIPT = COMPLETE.replace("\n", "\\n") + "\n/approve\n"


@dataclass(frozen=True)
class Case:
    """A process that dies at a fault point, before a tracker; `acting`: while that makes the ticket."""

    tracker: str
    point: str


async def finished(process: Signoff) -> Signoff:
    await asyncio.to_thread(process.wait)
    return process


async def played(case: Case, place: Place, signoff: Forker, dsn: str) -> str:
    """What is wrong after the process died and another went on; empty if nothing is."""
    posts = {"path": place.path, "within": place.within}
    async with fault_proxy(place.url) as proxy:
        environ = place.behind(proxy.url)
        chat = ("chat", "--json", "--session", "killed")
        if case.point == "acting":
            proxy.plan("delay_reply", **posts, seconds=60)
            with signoff.start(dsn, *chat, script=SCRIPT, environ=environ) as process:
                await soon(lambda: _reached(proxy, place))
                process.kill()
        else:
            if case.point in ("filing-lost", "filing-looked"):
                proxy.plan("drop_reply", **posts)
            armed = environ | {"SIGNOFF_FAULT": f"{case.point}=crash"}
            died = await finished(signoff.start(dsn, *chat, script=SCRIPT, environ=armed))
            if died.status != -9:
                return f"it did not die: {died.status} {died.stderr}"
        after = await finished(signoff.start(dsn, *chat, script="", environ=environ))
        listed = await finished(signoff.start(dsn, "filings", "--all", "--json", script=""))
        [filing] = [json.loads(line) for line in listed.stdout.splitlines()]
        made = await place.tickets()
        sent = proxy.count("POST", **posts)
    if case.point == "filing-sent":  # nothing was sent, and nobody can know
        held = (filing["status"], filing["asked"], made, sent) == ("unknown", True, 0, 0) and after.of_kind("unsettled")
        return "" if held else f"{filing}, {made} made, {sent} sent"
    return "" if (filing["status"], made, sent) == ("filed", 1, 1) else f"{filing}, {made} made, {sent} sent"


async def _reached(proxy: FaultProxy, place: Place) -> bool:
    """The tracker has made the ticket, and its answer is held back."""
    return await place.tickets() == 1 and proxy.count("POST", place.path, within=place.within) == 1


async def test_a_process_that_dies_files_no_second_ticket(signoff: Forker, dsns: Callable[[], str], tmp_path: Path) -> None:
    cases = [Case(tracker, point) for tracker in PLACES for point in POINTS]
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> str:
        folder = tmp_path / f"{case.tracker} {case.point}"
        folder.mkdir()
        async with at_once, PLACES[case.tracker](folder) as place:
            return await played(case, place, signoff, dsns())

    results = await asyncio.gather(*map(one, cases))
    wrong = {case: result for case, result in zip(cases, results, strict=True) if result}
    assert wrong == {}


async def test_a_process_that_dies_after_a_persons_word_files_once(signoff: Forker, dsn: str, tmp_path: Path) -> None:
    async with running_github() as github:
        github.add_repository("acme/web")
        environ = {"GITHUB_TOKEN": github.token, "GITHUB_API_URL": github.url, "SIGNOFF_DESTINATION": "github:acme/web"}
        chat = ("chat", "--json", "--session", "killed")
        refusal = {"message": "Resource not accessible by personal access token", "documentation_url": "x", "status": "403"}
        github.answer(403, refusal, method="POST")
        first = await finished(signoff.start(dsn, *chat, script=SCRIPT, environ=environ))
        assert first.of_kind("unsettled")[0]["status"] == "failed"
        github.heal()
        armed = environ | {"SIGNOFF_FAULT": "settlement-committed=crash"}
        assert (await finished(signoff.start(dsn, *chat, script="/again\n", environ=armed))).status == -9
        after = await finished(signoff.start(dsn, *chat, script="/again\n", environ=environ))
        assert after.of_kind("filed")[0]["key"] == "acme/web#1"
        assert len(github.issues) == 1
