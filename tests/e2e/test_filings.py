"""What an operator has: the list of filings, a word on one, and whether a ticket is still what was approved."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.processes import Forker, Signoff
from tests.support import COMPLETE
from tests.trackers_sim.github import GitHub, running_github
from tests.trackers_sim.proxy import FaultProxy, fault_proxy

SCRIPT = COMPLETE.replace("\n", "\\n") + "\n/approve\n"
FORBIDDEN = {"message": "Resource not accessible by personal access token", "documentation_url": "x", "status": "403"}


class Desk:
    """Commands on one database, with GitHub behind a proxy."""

    def __init__(self, signoff: Forker, dsn: str, github: GitHub, proxy: FaultProxy) -> None:
        self.signoff, self.dsn, self.github, self.proxy = signoff, dsn, github, proxy
        self.environ = {"GITHUB_TOKEN": github.token, "GITHUB_API_URL": proxy.url, "SIGNOFF_DESTINATION": "github:acme/web"}

    async def run(self, *args: str, script: str = "") -> Signoff:
        """A command, run to its end."""
        process = self.signoff.start(self.dsn, *args, script=script, environ=self.environ)
        await asyncio.to_thread(process.wait)
        return process

    async def file(self, session: str = "one") -> Signoff:
        """A conversation whose ticket is approved."""
        return await self.run("chat", "--json", "--session", session, script=SCRIPT)

    async def id(self) -> str:
        """The id of the only filing that is open."""
        [line] = (await self.run("filings", "--json")).stdout.splitlines()
        return str(json.loads(line)["id"])


@pytest.fixture
async def desk(signoff: Forker, dsn: str) -> AsyncIterator[Desk]:
    async with running_github() as github, fault_proxy(github.url) as proxy:
        github.add_repository("acme/web")
        yield Desk(signoff, dsn, github, proxy)


async def test_a_ticket_is_verified_and_what_was_changed_since_is_shown(desk: Desk) -> None:
    await desk.file()
    verified = await desk.run("verify", "acme/web#1")
    assert (verified.status, "acme/web#1 is what was approved" in verified.stdout) == (0, True)
    assert "Approved by " in verified.stdout
    issue = desk.github.issues[0]
    issue.body = issue.body.replace("it finishes", "it finishes some day")
    changed = await desk.run("verify", "acme/web#1")
    assert changed.status == 1
    assert "+ " in changed.stdout
    assert "it finishes some day" in changed.stdout
    result = json.loads((await desk.run("verify", "acme/web#1", "--json")).stdout)
    assert (result["as_approved"], result["marker"], result["receipt"]) == (False, True, True)
    assert result["now"] != result["draft_hash"]


async def test_a_receipt_that_was_changed_is_noticed(desk: Desk) -> None:
    await desk.file()
    issue = desk.github.issues[0]
    issue.body = issue.body.replace("Approved by", "Never approved by")
    verified = await desk.run("verify", "acme/web#1")
    assert verified.status == 1
    assert "Its receipt was changed" in verified.stdout


async def test_what_was_never_filed_from_here_is_said(desk: Desk) -> None:
    verified = await desk.run("verify", "acme/web#9")
    assert verified.status == 2
    assert "No ticket acme/web#9 was filed from here" in verified.stderr
    verified = await desk.run("verify", "acme/web#9\udcff")
    assert (verified.status, "Traceback" in verified.stderr) == (2, False)


async def test_a_failure_is_listed_and_filed_again_by_an_operator(desk: Desk) -> None:
    desk.github.answer(403, FORBIDDEN, method="POST")
    await desk.file()
    listed = (await desk.run("filings")).stdout
    assert "failed" in listed
    assert "Export fails" in listed
    desk.github.heal()
    resolved = await desk.run("filings", "resolve", await desk.id(), "--again")
    assert resolved.status == 0, resolved.stderr
    assert "Filed as acme/web#1" in resolved.stdout
    assert "Nothing is open" in (await desk.run("filings")).stdout
    assert len(desk.github.issues) == 1


async def test_doubt_is_settled_by_an_operator_with_the_right_key(desk: Desk) -> None:
    desk.github.list_lag = 3600
    desk.github.add_issue("acme/web", "Another")
    desk.proxy.plan("drop_reply")
    chat = await desk.file()
    assert chat.of_kind("unsettled")[0]["status"] == "unknown"
    again = await desk.run("chat", "--json", "--session", "one")
    assert again.of_kind("unsettled"), "who comes back is told, too"
    named = await desk.id()
    wrong = await desk.run("filings", "resolve", named, "--key", "acme/web#1")
    assert (wrong.status, "does not carry" in wrong.stdout) == (1, True)
    right = await desk.run("filings", "resolve", named, "--key", "acme/web#2")
    assert (right.status, right.stdout.count("Filed as acme/web#2")) == (0, 1)
    late = await desk.run("filings", "resolve", named, "--leave")
    assert (late.status, "it is filed as acme/web#2" in late.stdout) == (1, True)


@pytest.mark.parametrize("given", ["nothing-like-it", "1234", "signoff-"])
async def test_an_id_that_names_no_filing_is_said(desk: Desk, given: str) -> None:
    resolved = await desk.run("filings", "resolve", given, "--leave")
    assert resolved.status == 2
    assert "names no filing" in resolved.stderr


async def test_a_long_pause_is_told_and_the_terminal_takes_lines_meanwhile(desk: Desk) -> None:
    desk.proxy.plan("429", seconds=12)
    with desk.signoff.start(desk.dsn, "chat", "--json", environ=desk.environ) as chat:
        for line in SCRIPT.splitlines():
            chat.send(line)
        await asyncio.to_thread(chat.wait_for, "decision")
        while not any("is filed in 12 s" in show["text"] for show in chat.of_kind("say")):
            await asyncio.sleep(0.05)
        chat.send("/again")
        await asyncio.to_thread(chat.wait_for, "private")
        assert "on its way" in chat.of_kind("private")[0]["text"]
        await asyncio.to_thread(chat.wait_for, "filed")
    assert len(desk.github.issues) == 1


async def test_tickets_of_the_local_tracker_are_exported(signoff: Forker, dsn: str, tmp_path: Path) -> None:
    await asyncio.to_thread(signoff.run, dsn, "chat", "--json", script=SCRIPT)
    exported = await asyncio.to_thread(signoff.run, dsn, "tickets", "export", f"{tmp_path}/out")
    assert exported.stdout == f"1 ticket written to {tmp_path}/out.\n"
    text = await asyncio.to_thread((tmp_path / "out" / "LOCAL-1.md").read_text)
    assert text.startswith("# LOCAL-1: Export fails")
    assert "Approved by " in text
    verified = await asyncio.to_thread(signoff.run, dsn, "verify", "LOCAL-1")
    assert "LOCAL-1 is what was approved" in verified.stdout
