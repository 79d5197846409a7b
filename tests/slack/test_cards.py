"""The card: one a ticket, whole, current, and decided on once."""

import asyncio
import hashlib
import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from persistence.tables import effects, inbox, previews
from slack_adapter import cards
from tests.slack.channel import COMPLETE, Channel, buttons, words


async def test_a_change_replaces_the_card_where_it_stands_and_says_what_changed(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    posts = ops.slack.count("chat.postMessage")
    await ops.mention("Priority: high", thread=said.ts)
    await ops.mention("Labels: export, urgent", thread=said.ts)
    card = await ops.card(said.ts, "urgent")
    assert card.ts == first.ts
    shown = words(card.blocks)
    assert "Version 3" in shown
    assert "Priority, added: \nhigh" in shown
    assert ops.slack.count("chat.postMessage") == posts
    assert ops.slack.count("chat.update") == 1  # two changes within five seconds are one new card


async def test_a_card_that_scrolled_out_of_sight_is_posted_anew(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    for n in range(cards.OUT_OF_SIGHT):
        await ops.slack.say("U2BOB", "C1OPS", f"chatter {n}", thread_ts=said.ts)
    await ops.quiet()
    await ops.mention("Priority: high", thread=said.ts)
    card = await ops.card(said.ts, "high")
    await ops.quiet()
    assert card.ts != first.ts
    assert ops.cards(said.ts) == [card]
    assert "no longer current" in words(ops.slack.latest(first).blocks)


async def test_show_brings_the_card_down(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "chatter", thread_ts=said.ts)
    await ops.mention("show", thread=said.ts)
    await ops.quiet()
    [card] = ops.cards(said.ts)
    assert card.ts != first.ts
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


async def test_a_stale_click_is_told_what_changed_and_where_the_card_is(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    old = await ops.card(said.ts)
    await ops.mention("Priority: high", thread=said.ts)
    now = await ops.card(said.ts, "high")
    await ops.slack.click("U2BOB", old, "approve_draft")
    await ops.until(lambda: ops.heard("U2BOB"), "an answer")
    [answer] = ops.heard("U2BOB")
    assert "no longer current" in answer
    assert "Priority, added: \nhigh" in answer
    assert f"/p{now.ts.replace('.', '')}" in answer
    assert await ops.count("approvals") == 0


async def test_a_card_that_was_open_for_too_long_is_shown_anew(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    old = await ops.card(said.ts)
    await ops.quiet()
    async with ops.database.engine.begin() as connection:
        for table in (previews, inbox, effects):
            await connection.execute(update(table).values(at=table.c.at - timedelta(days=31)))
    await ops.slack.click("U1ANN", old, "approve_draft")
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    assert "shown more than 30 days ago. The current card is version 2" in ops.heard("U1ANN")[0]
    await ops.quiet()
    assert await ops.count("approvals") == 0
    [card] = ops.cards(said.ts)
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


async def test_every_click_is_answered_and_the_first_counts(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U3GUS", card, "approve_draft")
    await ops.slack.click("U4ZOE", card, "approve_draft")
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.slack.click("U2BOB", card, "reject_draft")
    await ops.until(lambda: len(ops.heard("U2BOB")) == 2, "two answers")
    await ops.quiet()
    assert "guests may not" in ops.heard("U3GUS")[0]
    # zoe is not in the channel, so Slack shows her nothing there: she is told directly
    assert "may approve" in words(
        [b for m in ops.slack.channel_messages(ops.slack.im_with("U4ZOE", ops.slack.workspaces[0]).id) for b in m.blocks]
    )
    assert all("Already approved by <@U1ANN>" in answer for answer in ops.heard("U2BOB"))
    assert (await ops.rows("SELECT approved_by FROM approvals"))[0]["approved_by"] == "U1ANN"
    assert await ops.count("tickets") == 1


async def test_the_same_click_delivered_again_is_one(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")
    payload = ops.slack.deliveries[-1][1]
    for _ in range(3):
        assert (await ops.slack.deliver_interaction(payload)).status == 200
    await ops.quiet()
    assert await ops.count("inbox") == 3  # the mention, the click, and what became of the filing
    assert ops.heard("U2BOB") == []


async def test_discard_keeps_what_was_said(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert "confirm" in buttons(card)["reject_draft"]
    await ops.slack.click("U2BOB", card, "reject_draft")
    await ops.until(lambda: "Discarded" in words(ops.slack.latest(card).blocks), "discarded")
    assert buttons(ops.slack.latest(card)) == {}
    await ops.mention("Priority: high", thread=said.ts)
    card = await ops.card(said.ts, "high")
    assert "it finishes" in words(card.blocks)
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


async def test_who_asked_may_discard_but_a_bystander_may_not(ops: Channel) -> None:
    ops.slack.add_user("U5HAL", "hal", guest=True)
    ops.slack.channels["C1OPS"].members.append("U5HAL")
    said = await ops.mention(COMPLETE, by="U5HAL")
    card = await ops.card(said.ts)
    await ops.slack.click("U3GUS", card, "reject_draft")
    await ops.until(lambda: ops.heard("U3GUS"), "an answer")
    await ops.slack.click("U5HAL", card, "approve_draft")
    await ops.until(lambda: ops.heard("U5HAL"), "an answer")
    await ops.slack.click("U5HAL", card, "reject_draft")
    await ops.until(lambda: "*Discarded* by <@U5HAL>" in words(ops.slack.latest(card).blocks), "discarded")


async def test_what_a_card_cannot_show_in_one_message_it_shows_in_several(ops: Channel) -> None:
    criteria = "\n".join(f"- criterion {n} " + "word " * 50 for n in range(60))
    said = await ops.mention(f"Title: Long\nProblem: it is long\nAcceptance criteria:\n{criteria}")
    await ops.quiet()
    parts = [one for one in ops.said(said.ts) if "Part " in words(one.blocks)]
    assert len(parts) > 1
    assert [bool(buttons(part)) for part in parts] == [False] * (len(parts) - 1) + [True]
    for n in range(60):
        assert f"criterion {n} " in "".join(words(part.blocks) for part in parts)
    await ops.slack.click("U1ANN", parts[-1], "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(parts[0]).blocks), "filed")
    await ops.quiet()
    assert [name for part in parts for name in buttons(ops.slack.latest(part))] == ["comment", "new_ticket"]


async def test_a_card_that_shrinks_takes_its_messages_away(ops: Channel) -> None:
    criteria = "\n".join(f"- criterion {n} " + "word " * 50 for n in range(60))
    said = await ops.mention(f"Title: Long\nProblem: it is long\nAcceptance criteria:\n{criteria}")
    await ops.quiet()
    await ops.mention("Acceptance criteria: it is short", thread=said.ts)
    card = await ops.card(said.ts, "it is short")
    await ops.quiet()
    assert ops.cards(said.ts) == [card]
    assert "criterion 59" not in "".join(words(one.blocks) for one in ops.said(said.ts) if one.ts != card.ts)


async def test_a_secret_is_marked_and_asks_once_more(ops: Channel) -> None:
    said = await ops.mention(COMPLETE.replace("It answers 500.", "It answers 500, password=hunter22"))
    card = await ops.card(said.ts)
    assert "looks like it holds a password" in words(card.blocks)
    assert "confirm" in buttons(card)["approve_draft"]


async def test_files_are_listed_and_sealed_by_their_digest(ops: Channel) -> None:
    ops.slack.add_file("F1", "screen.png", b"pixels", "image/png")
    said = await ops.slack.say("U1ANN", "C1OPS", f"<@{ops.slack.bot_user}> {COMPLETE}", files=["F1"])
    card = await ops.card(said.ts)
    assert "screen.png" in words(card.blocks)
    [row] = await ops.rows("SELECT convert_from(sealed, 'UTF8') AS sealed FROM previews")
    assert hashlib.sha256(b"pixels").hexdigest() in row["sealed"]
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


async def test_twenty_people_click_at_once(ops: Channel) -> None:
    people = [f"U9P{n:02}" for n in range(20)]
    for person in people:
        ops.slack.add_user(person, person.lower())
        ops.slack.channels["C1OPS"].members.append(person)
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await asyncio.gather(*(ops.slack.click(person, card, "approve_draft") for person in people))
    await ops.until(lambda: sum(len(ops.heard(person)) for person in people) == 19, "19 answers")
    await ops.quiet()
    assert (await ops.count("approvals"), await ops.count("tickets")) == (1, 1)


async def test_a_stale_click_while_changes_settle_is_told_where_the_next_card_comes(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.mention("Priority: high", thread=said.ts)
    while len(await ops.rows("SELECT FROM previews")) < 2:
        await asyncio.sleep(0.02)
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: ops.heard("U2BOB"), "an answer")
    assert "no longer current" in ops.heard("U2BOB")[0]
    assert f"/p{card.ts.replace('.', '')}" in ops.heard("U2BOB")[0]


async def test_what_became_of_a_card_is_shown_though_its_posts_answer_was_lost(ops: Channel) -> None:
    ops.slack.drop_reply("chat.postMessage", times=2)
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U1ANN", card, "reject_draft")
    await ops.quiet()
    assert ops.cards(said.ts) == []
    assert "Discarded" in words(ops.slack.latest(card).blocks)


async def test_new_ticket_starts_the_next_one(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "new_ticket" in buttons(ops.slack.latest(card)), "filed")
    await ops.quiet()
    card = ops.slack.latest(card)
    await ops.slack.click("U2BOB", card, "new_ticket")
    await ops.until(lambda: "What is the problem" in words(ops.said(said.ts)[-1].blocks), "a question")
    await ops.slack.click("U1ANN", card, "new_ticket")
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    assert "begun here already" in ops.heard("U1ANN")[0]
    assert len([one for one in ops.said(said.ts) if "What is the problem" in words(one.blocks)]) == 1
    await ops.slack.say("U2BOB", "C1OPS", COMPLETE.replace("Export", "Import"), thread_ts=said.ts)
    await ops.slack.click("U1ANN", await ops.card(said.ts, "Import fails"), "approve_draft")
    await ops.quiet()
    assert await ops.count("tickets") == 2


def called(ops: Channel) -> list[str]:
    """The messages of cards that call somebody: an update calls nobody."""
    posts = [call.arguments for call in ops.slack.calls if call.method == "chat.postMessage"]
    cards = [str(post["blocks"]) for post in posts if "approve_draft" in str(post["blocks"])]
    return [found for card in cards for found in re.findall(r"<@U\w+>", card)]


async def test_people_are_called_once_when_an_approval_is_first_needed(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    assert "asked for by <@U1ANN>" in words(first.blocks)
    for n in range(cards.OUT_OF_SIGHT):
        await ops.slack.say("U2BOB", "C1OPS", f"chatter {n}", thread_ts=said.ts)
    await ops.mention("Priority: high", by="U2BOB", thread=said.ts)
    below = await ops.card(said.ts, "high")
    assert below.ts != first.ts
    assert "asked for by @ann · with @bob" in words(below.blocks)
    await ops.mention("show", thread=said.ts)
    await ops.until(lambda: [one for one in ops.cards(said.ts) if one.ts > below.ts], "the card again")
    await ops.quiet()
    assert len(called(ops)) == 1


async def test_a_card_that_outgrows_its_messages_is_not_torn_apart_by_what_was_said_since(
    ops: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "chatter", thread_ts=said.ts)
    criteria = "\n".join(f"- criterion {n} " + "word " * 50 for n in range(60))
    changed = await ops.mention(f"Acceptance criteria:\n{criteria}", thread=said.ts)
    await ops.quiet()
    parts = [one for one in ops.said(said.ts) if "Part " in words(one.blocks)]
    assert len(parts) > 1
    assert all(part.ts > changed.ts for part in parts)
    assert "no longer current" in words(ops.slack.latest(first).blocks)


async def test_a_file_of_another_organisation_is_looked_up(ops: Channel) -> None:
    ops.slack.add_file("F1", "screen.png", b"pixels", "image/png")
    event = {"type": "app_mention", "channel": "C1OPS", "user": "U1ANN", "text": f"<@{ops.slack.bot_user}> {COMPLETE}"}
    event |= {
        "ts": ops.slack.new_ts(),
        "event_ts": ops.slack.new_ts(),
        "files": [{"id": "F1", "mode": "file_access", "file_access": "check_file_info"}],
    }
    await ops.slack.deliver_event(ops.slack.workspaces[0], event)
    await ops.until(lambda: ops.slack.count("chat.postMessage"), "a card")
    [row] = await ops.rows("SELECT convert_from(sealed, 'UTF8') AS sealed FROM previews")
    assert hashlib.sha256(b"pixels").hexdigest() in row["sealed"]
    assert "screen.png" in row["sealed"]


async def test_the_next_tickets_card_is_compared_with_nothing(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.slack.click("U1ANN", await ops.card(said.ts), "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.said(said.ts)[-1].blocks), "filed")
    await ops.mention(f"new {COMPLETE}\nPriority: high", thread=said.ts)
    assert "Changed since" not in words((await ops.card(said.ts, "high")).blocks)


async def test_a_discarded_card_names_who_discarded_it_for_good(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "reject_draft")
    await ops.until(lambda: "*Discarded* by <@U2BOB>" in words(ops.slack.latest(card).blocks), "discarded")
    await ops.mention("show", thread=said.ts)
    again = await ops.card(said.ts)
    await ops.slack.click("U1ANN", again, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(again).blocks), "filed")
    await ops.quiet()
    assert "*Discarded* by <@U2BOB>" in words(ops.slack.latest(card).blocks)


async def test_forms_do_not_push_a_card_out_of_sight(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    card = first = await ops.card(said.ts)
    for n in range(cards.OUT_OF_SIGHT + 1):
        await ops.slack.click("U2BOB", card, "request_changes")
        await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"title": f"title {n}"})
        card = await ops.card(said.ts, f"title {n}")
    assert card.ts == first.ts


async def test_a_part_that_somebody_deleted_is_not_put_under_the_buttons(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    criteria = "\n".join(f"- criterion {n} " + "word " * 50 for n in range(60))
    said = await ops.mention(f"Title: Long\nProblem: it is long\nAcceptance criteria:\n{criteria}")
    await ops.quiet()
    ops.slack.remove(next(one for one in ops.said(said.ts) if "Part 1" in words(one.blocks)))
    await ops.mention("Priority: high", thread=said.ts)
    await ops.quiet()
    parts = [one for one in ops.said(said.ts) if "Part " in words(one.blocks)]
    assert ["Part 1" in words(one.blocks) for one in parts] == [True] + [False] * (len(parts) - 1)
    assert [bool(buttons(one)) for one in parts] == [False] * (len(parts) - 1) + [True]


async def test_a_put_away_card_that_somebody_deleted_stays_deleted(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "reject_draft")
    await ops.until(lambda: "Discarded" in words(ops.slack.latest(card).blocks), "discarded")
    await ops.quiet()
    ops.slack.remove(ops.slack.latest(card))
    await ops.mention("show", thread=said.ts)
    await ops.card(said.ts)
    await ops.quiet()
    assert not [one for one in ops.said(said.ts) if "Discarded" in words(one.blocks)]


LONG = "Acceptance criteria:\n" + "\n".join(f"- criterion {n} " + "word " * 50 for n in range(60))


@pytest.mark.parametrize("decide", ["reject_draft", "approve_draft"])
async def test_a_new_card_stands_below_a_decided_one(ops: Channel, monkeypatch: pytest.MonkeyPatch, decide: str) -> None:
    monkeypatch.setattr(cards, "SETTLE", 0)
    said = await ops.mention(COMPLETE)
    first = await ops.card(said.ts)
    await ops.mention(LONG, thread=said.ts)  # too long for the first one's place, which is put away
    await ops.quiet()
    [second] = ops.cards(said.ts)
    assert second.ts > first.ts
    await ops.slack.click("U2BOB", second, decide)
    await ops.quiet()
    await ops.mention(f"new {COMPLETE}\nPriority: high", thread=said.ts)
    assert (await ops.card(said.ts, "high")).ts > second.ts


async def test_a_decided_card_that_somebody_deleted_stays_deleted(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    ops.slack.remove(ops.slack.latest(card))
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.said(said.ts)[-1].blocks), "filed")
    await ops.quiet()
    assert not [one for one in ops.said(said.ts) if "Approved by" in words(one.blocks)]


async def test_a_filed_card_names_its_people_for_good(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    await ops.mention("Priority: high", by="U2BOB", thread=said.ts)
    card = await ops.card(said.ts, "high")
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "new_ticket" in buttons(ops.slack.latest(card)), "filed")
    await ops.quiet()
    await ops.slack.click("U3GUS", ops.slack.latest(card), "new_ticket")
    await ops.until(lambda: "What is the problem" in words(ops.said(said.ts)[-1].blocks), "a question")
    await ops.quiet()
    assert "asked for by <@U1ANN> · with <@U2BOB>" in words(ops.slack.latest(card).blocks)
