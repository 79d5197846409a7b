"""Delivery when Slack or the network fails: everything arrives once, or an operator can see why it never will."""

import asyncio
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from persistence.outbox import PostgresOutbox
from persistence.sessions import PostgresPlaces, PostgresSessions
from slack_adapter import cards, delivery, posting
from slack_adapter.workspaces import NotInstalled, Workspace, Workspaces
from tests.slack.channel import COMPLETE, Channel, buttons, words


async def test_a_post_whose_answer_was_lost_is_not_made_again(ops: Channel) -> None:
    ops.slack.drop_reply("chat.postMessage", times=2)
    said = await ops.mention("Export fails\nIt answers 500.")
    await ops.until(lambda: [m for m in ops.said(said.ts) if "must be true" in words(m.blocks)], "a question")
    await ops.quiet()
    texts = [words(one.blocks) for one in ops.said(said.ts)]
    assert ["guided interview" in text for text in texts].count(True) == 1
    assert ["must be true" in text for text in texts].count(True) == 1


async def test_a_card_whose_answer_was_lost_is_one_card(ops: Channel) -> None:
    ops.slack.drop_reply("chat.postMessage", times=2)
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    assert [one.ts for one in ops.cards(said.ts)] == [card.ts]
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


@pytest.mark.parametrize("method", ["chat.postMessage", "conversations.replies", "chat.update"])
async def test_an_outage_passes(ops: Channel, method: str) -> None:
    ops.slack.break_http(method, times=2)
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed", 25)


async def test_a_pause_that_slack_wants_holds_up_nobody_else(ops: Channel) -> None:
    ops.slack.add_channel("C3DEV", "dev", ["U1ANN", "U2BOB"])
    ops.slack.rate_limit("chat.postMessage", 2, times=1, channel="C1OPS")
    slow = await ops.mention(COMPLETE)
    dev = Channel(ops.slack, ops.database, "C3DEV")
    quick = await dev.mention(COMPLETE)
    await dev.card(quick.ts)
    assert ops.cards(slow.ts) == []
    await ops.card(slow.ts)
    posted = [call.at for call in ops.slack.calls if call.method == "chat.postMessage" and call.arguments["channel"] == "C1OPS"]
    assert posted[1] - posted[0] >= 1.9


async def test_what_can_never_be_delivered_is_seen_by_an_operator(ops: Channel) -> None:
    said = await ops.mention("Export fails\nIt answers 500.")
    await ops.quiet()
    ops.slack.fail("chat.postMessage", "is_archived", times=99)
    await ops.slack.say("U1ANN", "C1OPS", "it finishes", thread_ts=said.ts)
    await ops.quiet()
    lost = await PostgresOutbox(ops.database).undelivered()
    assert {(one["problem"], one["session_id"]) for one in lost} == {("is_archived", f"T1:C1OPS:{said.ts}")}


async def test_who_cannot_be_checked_may_not_approve_until_slack_answers(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    ops.slack.break_http("users.info", times=1)
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: ops.heard("U2BOB"), "an answer")
    assert "Slack could not be asked" in ops.heard("U2BOB")[0]
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


async def test_an_update_that_comes_late_does_not_bring_back_an_old_card(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    ops.slack.rate_limit("chat.update", 1, times=1)
    await ops.mention("Priority: high", thread=said.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")  # stale by now
    await ops.mention("Priority: low", thread=said.ts)
    now = await ops.card(said.ts, "low")
    await ops.quiet()
    assert "approve_draft" in buttons(ops.slack.latest(now))
    assert "Version 3" in words(ops.slack.latest(now).blocks)
    assert await ops.count("approvals") == 0


async def test_a_card_that_is_brought_down_is_one_card_whatever_is_lost(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "chatter", thread_ts=said.ts)
    ops.slack.drop_reply("chat.postMessage", times=2)
    await ops.mention("show", thread=said.ts)
    await ops.quiet()
    assert len(ops.cards(said.ts)) == 1


async def test_a_thread_that_cannot_be_read_for_a_while_is_read_then(ops: Channel) -> None:
    top = await ops.slack.say("U1ANN", "C1OPS", COMPLETE)
    ops.slack.break_http("conversations.replies", times=5)
    await ops.mention("please", thread=top.ts)
    await ops.card(top.ts, "Export fails")


async def test_what_follows_a_failure_waits_for_it(ops: Channel) -> None:
    said = await ops.mention("Export fails\nIt answers 500.")
    await ops.quiet()
    ops.slack.break_http("chat.postMessage")
    await ops.mention("Title:", thread=said.ts)
    await ops.mention("Problem:", thread=said.ts)
    await ops.quiet()
    texts = [words(one.blocks) for one in ops.said(said.ts)]
    assert [n for n, text in enumerate(texts) if "label for title" in text] < [
        n for n, text in enumerate(texts) if "label for problem" in text
    ]


async def test_a_pause_that_slack_wants_before_a_thread_is_read_is_kept(ops: Channel) -> None:
    top = await ops.slack.say("U1ANN", "C1OPS", COMPLETE)
    ops.slack.rate_limit("conversations.replies", 2, times=1, channel="C1OPS")
    await ops.mention("please", thread=top.ts)
    await ops.card(top.ts, "Export fails")
    read = [call.at for call in ops.slack.calls if call.method == "conversations.replies"]
    assert read[1] - read[0] >= 1.9


async def test_a_card_whose_posts_answer_was_lost_is_found_though_the_draft_has_changed(
    ops: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention("Export fails\nIt answers 500.")
    await ops.quiet()
    ops.slack.drop_reply("chat.postMessage", times=1)
    await ops.slack.say("U1ANN", "C1OPS", "it finishes", thread_ts=said.ts)
    await ops.until(lambda: ops.cards(said.ts), "posted")
    await ops.mention("Priority: high", thread=said.ts)
    await ops.card(said.ts, "high")
    await ops.quiet()
    assert len(ops.cards(said.ts)) == 1


async def test_a_card_of_which_a_part_was_posted_is_whole_or_gone(ops: Channel) -> None:
    criteria = "\n".join(f"- criterion {n} " + "word " * 50 for n in range(60))
    ops.slack.strict_rates = True  # one post a second: a pause between the parts
    said = await ops.mention(f"Title: Long\nProblem: it is long\nAcceptance criteria:\n{criteria}")
    await ops.until(lambda: [one for one in ops.said(said.ts) if "Part 1" in words(one.blocks)], "a part")
    await ops.mention("Acceptance criteria: it is short", thread=said.ts)
    await ops.card(said.ts, "it is short")
    await ops.quiet()
    assert not [one for one in ops.said(said.ts) if "Part " in words(one.blocks)]


async def test_a_word_in_a_direct_message_is_said_once(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    ops.slack.drop_reply("chat.postMessage", times=1)
    await ops.slack.click("U4ZOE", card, "approve_draft")  # she is not in the channel
    await ops.quiet()
    assert len(ops.slack.channel_messages(ops.slack.im_with("U4ZOE", ops.slack.workspaces[0]).id)) == 1


async def test_a_message_is_looked_for_only_where_it_can_be(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "SKEW", 0)
    said = await ops.mention("Export fails\nIt answers 500.")
    await ops.quiet()
    for _ in range(1000):
        ops.slack.post("C1OPS", text="chatter", user="U2BOB", team="T1", thread_ts=said.ts)
    await asyncio.sleep(0.2)  # their times are a little ahead
    read = ops.slack.count("conversations.replies")
    ops.slack.drop_reply("chat.postMessage", times=1)
    await ops.slack.say("U1ANN", "C1OPS", "it finishes", thread_ts=said.ts)
    await ops.card(said.ts)
    await ops.quiet()
    assert len(ops.cards(said.ts)) == 1
    assert ops.slack.count("conversations.replies") == read + 1


async def test_who_we_are_is_known_before_the_first_event(ops: Channel) -> None:
    asked = ops.slack.count("auth.test")
    ops.slack.fail("auth.test", "ratelimited", times=99)
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    assert ops.slack.count("auth.test") == asked


async def test_a_workspace_that_removed_the_app_is_left_alone(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    await ops.until(ops.ready, "a worker")
    tried = []

    async def gone(_: Workspaces, team: str) -> Workspace:
        tried.append(team)
        raise NotInstalled("The app is not installed there.")

    monkeypatch.setattr(Workspaces, "of", gone)
    monkeypatch.setattr(delivery, "PATIENCE", 0)
    monkeypatch.setattr(delivery, "TRIES", 1)
    outbox = PostgresOutbox(ops.database)
    await outbox.send("k1", "T1:D1ANN:1.2", "D1ANN", {"kind": "say", "text": "hi"})
    await ops.quiet()
    before = len(tried)
    await asyncio.sleep(2)
    assert len(tried) == before
    assert [one["problem"] for one in await outbox.undelivered()] == ["The app is not installed there."]


async def test_who_approved_is_told_directly_where_the_conversation_cannot_be_written_to(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    ops.slack.channels["C1OPS"].members.remove(ops.slack.bot_user)
    for method in ("chat.update", "chat.postMessage"):
        ops.slack.fail(method, "not_in_channel", times=1)
    await ops.slack.click("U2BOB", card, "approve_draft")
    place = ops.slack.im_with("U2BOB", ops.slack.workspaces[0])
    await ops.until(
        lambda: "It is filed as LOCAL-1" in words([b for m in ops.slack.channel_messages(place.id) for b in m.blocks]), "news"
    )
    await ops.quiet()
    ops.slack.heal()
    ops.slack.channels["C1OPS"].members.append(ops.slack.bot_user)
    await ops.slack.say("U1ANN", "C1OPS", "show", thread_ts=said.ts)
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "the card as it stands")


async def test_an_answer_at_once_survives_a_hiccup(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    ops.slack.break_http("chat.postEphemeral", times=1)
    action = {"type": "button", "action_id": "vote", "block_id": "b", "value": "x", "action_ts": "1.2"}
    await ops.slack.click("U2BOB", card, "approve_draft", actions=[action])
    await ops.until(lambda: ops.heard("U2BOB"), "an answer")


async def test_a_pause_after_each_page_of_a_thread_is_no_new_beginning(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    top = await ops.slack.say("U1ANN", "C1OPS", COMPLETE)
    for n in range(450):
        ops.slack.post("C1OPS", text=f"chatter {n}", user="U2BOB", team="T1", thread_ts=top.ts)
    pages: list[str] = []

    async def grudging(self: AsyncWebClient, **options: Any) -> AsyncSlackResponse:
        """One page, then a pause."""
        pages.append(options["cursor"] or "")
        if len(pages) % 2 == 0:
            ops.slack.rate_limit("conversations.replies", 1, times=1, channel="C1OPS")
        return await read(self, **options)

    read = AsyncWebClient.conversations_replies
    monkeypatch.setattr(AsyncWebClient, "conversations_replies", grudging)
    await ops.mention("please", thread=top.ts)
    await ops.card(top.ts, "Export fails")
    assert len(set(pages)) == 3
    assert len(pages) <= 7


async def test_an_interrupted_move_ends_in_one_card_that_calls_nobody(ops: Channel) -> None:
    rule = {"who": "listed", "people": ["U2BOB"]}
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": rule}, "U1ANN")
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "chatter", thread_ts=said.ts)
    await ops.quiet()
    ops.slack.break_http("chat.postMessage", times=1)
    ops.slack.drop_reply("chat.postMessage", times=1)
    await ops.mention("show", thread=said.ts)
    await ops.until(lambda: [one for one in ops.cards(said.ts) if one.ts > first.ts], "the card below")
    await ops.quiet()
    assert len(ops.cards(said.ts)) == 1
    posts = [str(call.arguments["blocks"]) for call in ops.slack.calls if call.method == "chat.postMessage"]
    assert len([post for post in posts if "*Waits for* <@U2BOB>" in post]) == 1
    keys = [one.metadata["event_payload"]["key"] for one in ops.said(said.ts) if one.metadata]
    assert len(keys) == len(set(keys))


async def test_pauses_that_slack_wants_make_no_other_pause_longer(ops: Channel) -> None:
    ops.slack.rate_limit("chat.postMessage", 0.2, times=12)
    ops.slack.break_http("chat.postMessage", times=1)
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)


async def test_what_goes_wrong_after_an_acknowledgement_is_told(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)

    async def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(PostgresSessions, "standing", broken)
    assert (await ops.slack.click("U2BOB", card, "request_changes")).status == 200
    await ops.until(lambda: ops.heard("U2BOB"), "an answer")
    assert "Something went wrong" in ops.heard("U2BOB")[0]
