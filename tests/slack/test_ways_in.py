"""The ways in: direct messages, the shortcut, the reaction, the command, the agent's own tab."""

import pytest

from agent.operations import Operation
from agent.ports import Event
from agent.protocol import Reply
from persistence.sessions import PostgresPlaces
from persistence.store import PostgresStore
from slack_adapter import cards
from slack_adapter.dedup import Memory
from tests.slack.channel import COMPLETE, Channel, buttons, words
from tests.slack_sim.world import Message


@pytest.fixture
async def home(ops: Channel) -> Channel:
    """The direct messages of zoe, whose cards go to #ops, where bob approves."""
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": {"who": "listed", "people": ["U2BOB"]}}, "U1ANN")
    await PostgresPlaces(ops.database).write("T1", {"home": "C1OPS"}, "U1ANN")
    ops.slack.add_channel("D4ZOE", "", ["U4ZOE"], im=True)
    return Channel(ops.slack, ops.database, "D4ZOE")


def cards_in(place: Channel) -> list[Message]:
    return [one for one in place.slack.channel_messages(place.id) if "approve_draft" in buttons(one)]


async def test_a_direct_message_goes_on_where_it_waits(ops: Channel) -> None:
    ops.slack.add_channel("D1ANN", "", ["U1ANN"], im=True)
    direct = Channel(ops.slack, ops.database, "D1ANN")
    first = await ops.slack.say("U1ANN", "D1ANN", "Export fails\nIt answers 500.")
    await ops.until(lambda: direct.said(first.ts), "a question")
    await ops.slack.say("U1ANN", "D1ANN", "it finishes")
    card = await direct.card(first.ts)
    assert "it finishes" in words(card.blocks)
    assert "private" in words(card.blocks)
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(direct.said(first.ts)[-1].blocks), "filed")


async def test_the_shortcut_drafts_from_the_message_and_its_thread(ops: Channel) -> None:
    top = await ops.slack.say("U2BOB", "C1OPS", "Title: Export fails\nProblem: It answers 500.")
    await ops.slack.say("U1ANN", "C1OPS", "Acceptance criteria: it finishes", thread_ts=top.ts)
    await ops.slack.shortcut("U1ANN", top, "draft_ticket")
    assert "it finishes" in words((await ops.card(top.ts)).blocks)


async def test_a_ticket_reaction_in_a_thread_drafts_from_that_thread(ops: Channel) -> None:
    top = await ops.slack.say("U2BOB", "C1OPS", "the export again")
    inside = await ops.slack.say("U2BOB", "C1OPS", COMPLETE, thread_ts=top.ts)
    await ops.slack.react("U1ANN", inside, "ticket")
    await ops.slack.react("U1ANN", top, "eyes")
    assert "Export fails" in words((await ops.card(top.ts)).blocks)
    await ops.quiet()
    assert len(ops.cards(top.ts)) == 1


async def test_the_command_starts_a_ticket_once(ops: Channel) -> None:
    ops.slack.drop_reply("chat.postMessage")
    answer = await ops.slack.command("U1ANN", "C1OPS", "/signoff", "new " + COMPLETE)
    assert answer.status == 200
    await ops.until(lambda: [m for m in ops.slack.channel_messages("C1OPS") if "approve_draft" in buttons(m)], "a card", 20)
    await ops.quiet()
    assert len([m for m in await ops.top() if m.user == ops.slack.bot_user]) == 1


async def test_the_command_answers_everything(ops: Channel) -> None:
    for text, expected in (("", "Mention me"), ("help", "Mention me"), ("dance", "I do not know"), ("status", "Nothing waits")):
        answer = await ops.slack.command("U1ANN", "C1OPS", "/signoff", text)
        assert expected in answer.body, text


async def test_status_lists_what_waits_for_whom(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    await ops.mention("Import fails\nIt answers 404.")
    await ops.quiet()
    for user, waits, other in (("U1ANN", 2, True), ("U2BOB", 1, False), ("U4ZOE", 0, False)):
        text = (await ops.slack.command(user, "C1OPS", "/signoff", "status")).json["text"]
        assert text.count("•") == waits, text
        assert ("an answer" in text) == other
    assert f"/p{card.ts.replace('.', '')}" in (await ops.slack.command("U2BOB", "C1OPS", "/signoff", "status")).body


async def test_where_it_is_not_invited_it_says_so(ops: Channel) -> None:
    ops.slack.add_channel("C2FAR", "far", ["U1ANN"], bot_is_member=False)
    message = await ops.slack.say("U1ANN", "C2FAR", COMPLETE)
    await ops.slack.shortcut("U1ANN", message, "draft_ticket")
    await ops.until(lambda: "invite me" in words(_direct(ops, "U1ANN")), "an answer in a direct message")
    await ops.slack.command("U1ANN", "C2FAR", "/signoff", "new Export fails")
    await ops.until(lambda: words(_direct(ops, "U1ANN")).count("invite me") == 2, "another")


def _direct(ops: Channel, user: str) -> list[dict]:
    place = ops.slack.im_with(user, ops.slack.workspaces[0])
    return [block for message in ops.slack.channel_messages(place.id) for block in message.blocks]


async def test_opening_the_agents_messages_offers_prompts(ops: Channel) -> None:
    await ops.slack.open_home("U1ANN")
    await ops.until(lambda: ops.slack.count("assistant.threads.setSuggestedPrompts"), "prompts")


async def test_edits_and_other_bots_start_nothing(ops: Channel) -> None:
    message = await ops.slack.say("U1ANN", "C1OPS", "hello")
    await ops.slack.edit(message, f"<@{ops.slack.bot_user}> Export fails")
    await ops.slack.bot_says("C1OPS", f"<@{ops.slack.bot_user}> Export fails")
    added = {"type": "app_mention", "channel": "C1OPS", "user": "U1ANN", "ts": message.ts, "edited": {"ts": message.ts}}
    added |= {"text": f"<@{ops.slack.bot_user}> Export fails", "event_ts": message.ts}
    await ops.slack.deliver_event(ops.slack.workspaces[0], added)
    ops.slack.add_user("U8BOT", "robot", bot=True)
    ops.slack.channels["C1OPS"].members.append("U8BOT")
    await ops.slack.react("U8BOT", message, "ticket")
    await ops.quiet()
    assert await ops.count("inbox") == 0


async def test_a_reaction_on_another_apps_message_drafts_from_that(ops: Channel) -> None:
    alert = await ops.slack.bot_says("C1OPS", COMPLETE)
    await ops.slack.react("U1ANN", alert, "ticket")
    assert "Export fails" in words((await ops.card(alert.ts)).blocks)


async def test_a_message_that_only_passes_another_on_is_read(ops: Channel) -> None:
    place = ops.slack.im_with("U1ANN", ops.slack.workspaces[0])
    message = ops.slack.post(place.id, text="", user="U1ANN", team="T1")
    passed = {"attachments": [{"is_msg_unfurl": True, "text": COMPLETE, "fallback": "[a message]"}]}
    await ops.slack.deliver_event(ops.slack.workspaces[0], ops.slack.posted_event(message) | passed)
    direct = Channel(ops.slack, ops.database, place.id)
    assert "Export fails" in words((await direct.card(message.ts)).blocks)


async def test_an_edited_direct_message_marks_what_rests_on_it(ops: Channel) -> None:
    ops.slack.add_channel("D1ANN", "", ["U1ANN"], im=True)
    direct = Channel(ops.slack, ops.database, "D1ANN")
    first = await ops.slack.say("U1ANN", "D1ANN", "Export fails\nIt answers 500.")
    await ops.until(lambda: direct.said(first.ts), "a question")
    answer = await ops.slack.say("U1ANN", "D1ANN", "it finishes")
    await direct.card(first.ts)
    await ops.slack.edit(answer, "it never finishes")
    await direct.card(first.ts, "(edited since)")


async def test_a_direct_message_delivered_again_begins_nothing(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    ops.slack.add_channel("D1ANN", "", ["U1ANN"], im=True)
    direct = Channel(ops.slack, ops.database, "D1ANN")
    first = await ops.slack.say("U1ANN", "D1ANN", "Export fails\nIt answers 500.")
    await ops.until(lambda: direct.said(first.ts), "a question")
    second = await ops.slack.say("U1ANN", "D1ANN", "it finishes")
    await ops.slack.click("U1ANN", await direct.card(first.ts), "approve_draft")
    await ops.until(lambda: "Filed as" in words(direct.said(first.ts)[-1].blocks), "filed")
    monkeypatch.setattr(Memory, "knows", lambda *_: False)  # another replica's
    await ops.slack.deliver_event(ops.slack.workspaces[0], ops.slack.posted_event(second))
    third = await ops.slack.say("U1ANN", "D1ANN", "Import fails\nIt answers 404.")
    await ops.until(lambda: direct.said(third.ts), "an answer under the new message")
    assert await ops.count("sessions") == 2


async def test_status_asks_slack_nothing_that_takes_too_long(ops: Channel) -> None:
    for n in range(25):
        ops.slack.add_channel(f"C7N{n:02}", f"n{n}", ["U1ANN"])
        await ops.slack.say("U1ANN", f"C7N{n:02}", f"<@{ops.slack.bot_user}> {COMPLETE}")
    await ops.quiet()
    ops.slack.slow("conversations.members", 2, times=25)  # all at once, on a slow day
    answer = await ops.slack.command("U4ZOE", "C1OPS", "/signoff", "status")
    assert "could not look into every channel" in answer.body


async def test_a_direct_messages_card_that_stands_elsewhere_is_told_of(ops: Channel, home: Channel) -> None:
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)
    card = await ops.until(lambda: next(iter(cards_in(ops)), None), "a card at home")
    where = f"/archives/C1OPS/p{card.ts.replace('.', '')}"
    await ops.until(lambda: [m for m in home.said(said.ts) if where in words(m.blocks)], "a word in the conversation")
    assert "|conversation>" in words(card.blocks)
    for user in ("U2BOB", "U4ZOE"):
        assert where in (await ops.slack.command(user, "C1OPS", "/signoff", "status")).body


async def test_a_home_that_it_was_not_invited_to_keeps_no_card(ops: Channel, home: Channel) -> None:
    ops.slack.channels["C1OPS"].members.remove(ops.slack.bot_user)
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)
    await home.card(said.ts)


async def test_a_card_at_home_is_told_of_once_for_each_version(
    ops: Channel, home: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)
    await ops.until(lambda: [m for m in home.said(said.ts) if "version 1" in words(m.blocks)], "a word")
    await ops.quiet()
    ops.slack.drop_reply("chat.postMessage", times=1)
    await ops.slack.say("U4ZOE", "D4ZOE", "Priority: high", thread_ts=said.ts)
    await ops.until(lambda: [m for m in home.said(said.ts) if "version 2" in words(m.blocks)], "a word")
    await ops.quiet()
    assert len([m for m in home.said(said.ts) if "version 2" in words(m.blocks)]) == 1


async def test_who_is_late_with_a_form_finds_the_way_back_in_a_direct_message(ops: Channel, home: Channel) -> None:
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)
    await ops.until(lambda: cards_in(ops), "a card")
    edit = Operation(field="title", value=["bob's title"], over="what it was")
    event = Event(
        event_id="T1:view:VBOB",
        session_id=f"T1:D4ZOE:{said.ts}",
        origin="D4ZOE",
        surface={"kind": "form"},
        answer=Reply(by="U2BOB", text="title", edits=[edit]),
    )
    await PostgresStore(ops.database).accept(event)
    place = ops.slack.im_with("U2BOB", ops.slack.workspaces[0]).id
    await ops.until(lambda: [m for m in ops.slack.channel_messages(place) if "reopen" in buttons(m)], "the way back")
    [told] = [m for m in ops.slack.channel_messages(place) if "reopen" in buttons(m)]
    await ops.slack.click("U2BOB", told, "reopen")
    assert "bob's title" in str((await ops.view("U2BOB")).blocks)


async def test_a_filed_card_is_commented_on_where_it_stands(ops: Channel, home: Channel) -> None:
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)
    await ops.until(lambda: cards_in(ops), "a card")
    [card] = cards_in(ops)
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "comment" in buttons(ops.slack.latest(card)), "filed")
    await ops.quiet()
    await PostgresPlaces(ops.database).write("T1", {"home": ""}, "U1ANN")
    await ops.slack.say("U4ZOE", "D4ZOE", f"new {COMPLETE}", thread_ts=said.ts)
    await home.card(said.ts)
    await ops.slack.click("U2BOB", ops.slack.latest(card), "comment")
    assert "Comment on LOCAL-1" in str((await ops.view("U2BOB")).blocks)


async def test_a_card_moves_to_the_home_that_is_chosen(ops: Channel, home: Channel) -> None:
    ops.slack.add_channel("C3DEV", "dev", ["U1ANN", "U2BOB", "U0ADA"])
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)
    await ops.until(lambda: cards_in(ops), "a card")
    await ops.quiet()
    dev = Channel(ops.slack, ops.database, "C3DEV")
    await ops.slack.command("U0ADA", "C3DEV", "/signoff", "setup")
    await ops.slack.submit("U0ADA", await ops.view("U0ADA"), {"options": ["home"]})
    await ops.until(lambda: cards_in(dev), "a card at the new home")
    await ops.quiet()
    assert cards_in(ops) == []
    ops.slack.channels["C3DEV"].archived = True
    await ops.slack.say("U4ZOE", "D4ZOE", "Priority: high", thread_ts=said.ts)
    await home.card(said.ts, "high")
    await ops.slack.say("U4ZOE", "D4ZOE", "Labels: late", thread_ts=said.ts)
    await home.card(said.ts, "late")
    await ops.quiet()
    assert not [one for one in home.said(said.ts) if "no longer current" in words(one.blocks)]


async def test_what_is_said_under_a_new_ticket_before_slack_has_answered_is_heard(ops: Channel) -> None:
    ops.slack.slow("chat.postMessage", 1.0)
    await ops.slack.command("U1ANN", "C1OPS", "/signoff", "new")
    await ops.until(lambda: ops.slack.channel_messages("C1OPS"), "the message that begins it")
    [root] = ops.slack.channel_messages("C1OPS")
    await ops.slack.say("U1ANN", "C1OPS", COMPLETE, thread_ts=root.ts)
    assert "Export fails" in words((await ops.card(root.ts)).blocks)


async def test_a_call_that_came_to_nothing_makes_nobody_else_the_requester(ops: Channel) -> None:
    ops.slack.add_channel("C2FAR", "far", ["U1ANN", "U2BOB"], bot_is_member=False)
    far = Channel(ops.slack, ops.database, "C2FAR")
    message = await ops.slack.say("U1ANN", "C2FAR", COMPLETE)
    await ops.slack.shortcut("U1ANN", message, "draft_ticket")
    await ops.quiet()
    ops.slack.channels["C2FAR"].members.append(ops.slack.bot_user)
    await ops.slack.say("U2BOB", "C2FAR", "Title: something else", thread_ts=message.ts)
    await ops.quiet()
    assert far.said(message.ts) == []
