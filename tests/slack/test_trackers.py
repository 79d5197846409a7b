"""A team with a tracker of its own: what its people see when it refuses, is slow to find, or never answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agent import catalogue, ladder
from persistence.database import Database
from tests.slack.channel import COMPLETE, Channel, buttons, words
from tests.slack_sim import Slack
from tests.slack_sim.world import Message
from tests.trackers_sim.github import GitHub, running_github
from tests.trackers_sim.proxy import FaultProxy, fault_proxy

FORBIDDEN = {
    "message": "Resource not accessible by personal access token",
    "documentation_url": "https://docs.github.com/rest/issues/issues#create-an-issue",
    "status": "403",
}


@dataclass
class Tracked:
    """GitHub, and the way to it."""

    github: GitHub
    proxy: FaultProxy


@pytest.fixture
async def tracked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tracked]:
    """GitHub behind a proxy that misbehaves on demand; tickets go there. It comes before `ops`, which reads that."""
    monkeypatch.setattr(ladder, "LOOKS", (0.1,) * 12)
    monkeypatch.setattr(catalogue, "FAILED", 0.0)
    async with running_github() as github, fault_proxy(github.url) as proxy:
        github.add_repository("acme/web")
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.setenv("GITHUB_API_URL", proxy.url)
        monkeypatch.setenv("SIGNOFF_DESTINATION", "github:acme/web")
        yield Tracked(github, proxy)


async def approved(ops: Channel, said: str = COMPLETE) -> tuple[str, Message]:
    """A thread whose card is approved by bob."""
    message = await ops.mention(said)
    card = await ops.card(message.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")
    return message.ts, card


async def asked(ops: Channel, thread: str, seconds: float = 25) -> Message:
    """The message that asks what became of the filing."""

    def found() -> Message | None:
        return next((one for one in ops.said(thread) if "file_again" in buttons(one) and "<@U2BOB>" in one.text), None)

    message: Message = await ops.until(found, "a way to settle it", seconds)
    return message


async def filed(ops: Channel, card: Message) -> None:
    await ops.until(lambda: "Open acme/web#" in words(ops.slack.latest(card).blocks), "filed")


async def test_a_ticket_in_github_carries_its_receipt_and_the_card_links_it(tracked: Tracked, ops: Channel) -> None:
    thread, card = await approved(ops)
    await filed(ops, card)
    [issue] = tracked.github.issues
    assert issue.title == "Export fails"
    assert "Approved by bob on " in issue.body
    assert f"/archives/C1OPS/p{thread.replace('.', '')}" in issue.body
    await ops.until(lambda: "Filed as" in ops.said(thread)[-1].text, "the news")


async def test_the_card_says_what_will_be_added(tracked: Tracked, ops: Channel) -> None:
    message = await ops.mention(COMPLETE)
    assert "a last line that says who approved it, when, where" in words((await ops.card(message.ts)).blocks)


async def test_an_answer_that_never_came_is_settled_by_the_ticket_itself(tracked: Tracked, ops: Channel) -> None:
    tracked.proxy.plan("drop_reply")
    _, card = await approved(ops)
    await filed(ops, card)
    assert len(tracked.github.issues) == 1


async def test_a_refusal_is_told_to_who_approved_and_filing_again_needs_no_second_approval(
    tracked: Tracked, ops: Channel
) -> None:
    tracked.github.answer(403, FORBIDDEN, method="POST")
    thread, card = await approved(ops)
    message = await asked(ops, thread)
    assert "was not filed" in message.text
    assert "file_again" in buttons(ops.slack.latest(card))
    tracked.github.heal()
    await ops.slack.click("U3GUS", message, "file_again")
    await ops.until(lambda: any("guests may not" in one for one in ops.heard("U3GUS")), "a refusal")
    assert tracked.github.issues == []
    await ops.slack.click("U2BOB", message, "file_again")
    await filed(ops, card)
    await ops.slack.click("U1ANN", message, "file_again")
    await ops.until(lambda: any("That is settled: it is filed as acme/web#1" in one for one in ops.heard("U1ANN")), "an answer")
    assert len(tracked.github.issues) == 1


async def test_who_asked_may_leave_a_failure_and_the_ticket_can_be_approved_anew(tracked: Tracked, ops: Channel) -> None:
    tracked.github.answer(403, FORBIDDEN, method="POST")
    thread, card = await approved(ops)
    message = await asked(ops, thread)
    tracked.github.heal()
    await ops.slack.click("U1ANN", message, "leave_filing")
    await ops.until(lambda: any("What should change" in words(one.blocks) for one in ops.said(thread)), "a question")
    assert "its approval was withdrawn" in words(ops.slack.latest(card).blocks)
    await ops.mention("show", thread=thread)
    anew = await ops.card(thread)
    await ops.slack.click("U2BOB", anew, "approve_draft")
    await filed(ops, anew)
    assert len(tracked.github.issues) == 1


async def test_somebody_names_the_ticket_that_is_there(tracked: Tracked, ops: Channel) -> None:
    tracked.github.list_lag = 3600
    tracked.proxy.plan("drop_reply")
    other = tracked.github.add_issue("acme/web", "Another", "Not this one.")
    thread, card = await approved(ops)
    message = await asked(ops, thread)
    assert set(buttons(message)) == {"filing_there", "file_again", "leave_filing"}
    await ops.slack.click("U2BOB", message, "filing_there")
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"key": f"#{other.number}"})
    await ops.until(lambda: any("does not carry" in one for one in ops.heard("U2BOB")), "a refusal")
    await ops.slack.click("U2BOB", message, "filing_there")
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"key": "acme/web#2"})
    await filed(ops, card)
    assert len(tracked.github.issues) == 2
    assert "file_again" not in buttons(ops.slack.latest(card))


async def test_what_is_left_in_doubt_ends_the_thread_and_new_starts_another(tracked: Tracked, ops: Channel) -> None:
    tracked.github.list_lag = 3600
    tracked.proxy.plan("drop_reply")
    thread, card = await approved(ops)
    await ops.slack.click("U2BOB", await asked(ops, thread), "leave_filing")
    await ops.until(lambda: "it was left so" in words(ops.slack.latest(card).blocks), "left")
    await ops.mention(f"new {COMPLETE.replace('Export', 'Import')}", thread=thread)
    await ops.card(thread, "Import fails")


async def test_a_comment_is_made_once_by_somebody_with_a_name(tracked: Tracked, ops: Channel) -> None:
    _, card = await approved(ops)
    await filed(ops, card)
    tracked.proxy.plan("drop_reply", path="comments")
    await ops.slack.click("U1ANN", ops.slack.latest(card), "comment")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"text": "Seen again today, @everyone."})
    await ops.until(lambda: any("commented on" in one.text for one in ops.said(card.root)), "the comment", 30)
    [comment] = tracked.github.issues[0].comments
    assert "Seen again today" in comment["body"]
    assert "ann" in comment["body"]


async def test_a_comment_that_waits_holds_up_no_conversation(tracked: Tracked, ops: Channel) -> None:
    _, card = await approved(ops)
    await filed(ops, card)
    await tracked.proxy.refuse()
    await ops.slack.click("U1ANN", ops.slack.latest(card), "comment")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"text": "Seen again today."})
    await ops.mention("and now?", thread=card.root)
    await ops.until(lambda: any("is filed; say *new*" in words(one.blocks) for one in ops.said(card.root)), "an answer")
    await tracked.proxy.reopen()
    await ops.until(lambda: any("commented on" in one.text for one in ops.said(card.root)), "the comment", 30)


async def test_a_tracker_that_cannot_be_asked_holds_up_no_answer(tracked: Tracked, ops: Channel) -> None:
    await tracked.proxy.refuse()
    message = await ops.mention(COMPLETE)
    await ops.until(
        lambda: any("I cannot tell yet what github acme/web takes" in one.text for one in ops.said(message.ts)), "why"
    )
    await tracked.proxy.reopen()
    await ops.mention("show", thread=message.ts)
    await ops.card(message.ts)


async def test_two_replicas_one_of_which_dies_while_answers_are_lost(
    slack: Slack, looking: Database, start: Callable[..., Any]
) -> None:
    async with running_github() as github, fault_proxy(github.url) as proxy:
        github.add_repository("acme/web")
        github.list_lag = 2
        where = {"GITHUB_TOKEN": github.token, "GITHUB_API_URL": proxy.url, "SIGNOFF_DESTINATION": "github:acme/web"}
        one, two = await asyncio.gather(start(**where), start(**where))
        slack.deliver_to(one.url, two.url)
        ops = Channel(slack, looking, "C1OPS")
        cards = []
        for number in range(8):
            said = await ops.mention(COMPLETE.replace("Export", f"Export {number}"))
            cards.append(await ops.card(said.ts, f"Export {number}"))
        for fault in ("drop_reply", "half_body", "503_after", "429", "garbage"):
            proxy.plan(fault)  # type: ignore[arg-type]
        proxy.plan("delay_reply", seconds=5)
        clicks = [slack.click(user, card, "approve_draft") for card in cards for user in ("U1ANN", "U2BOB", "U0ADA")]
        clicking = asyncio.gather(*clicks)
        await ops.until(lambda: len(github.issues) >= 3, "some tickets", 30)
        await one.kill()
        slack.deliver_to(two.url)
        await clicking
        await ops.until_rows("SELECT * FROM filings WHERE status <> 'filed' AND asked_at IS NULL", 0, 120)
        rows = await ops.rows("SELECT status, key, reason FROM filings")
        filed_ones = [row["key"] for row in rows if row["status"] == "filed"]
        assert sorted(filed_ones) == sorted(f"acme/web#{issue.number}" for issue in github.issues), rows
        assert len({issue.title for issue in github.issues}) == len(github.issues)
        held = [row for row in rows if row["status"] == "unknown"]  # killed between the record and the sending
        assert len(filed_ones) + len(held) == 8
        assert len(held) <= 4, held
        assert await ops.count("approvals") == 8
