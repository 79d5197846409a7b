"""Tickets there are that may be the same: shown before the card, and linked by a click."""

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import pytest

from agent import graph, turn
from agent.protocol import Found, Likeness, SimilarRequest
from agent.turn import Turns
from tests.slack.channel import COMPLETE, Channel, buttons, words
from tests.slack_sim import Message

KEY = "LOCAL-1"


def read(message: Message) -> str:
    """What people read in a message: links by their labels."""
    return re.sub(r"<[^<>|]+\|([^<>]+)>", r"\1", words(message.blocks))


async def found(request: SimilarRequest) -> Found:
    """The first ticket is like every other, and so are two that are no longer there."""
    if request.title == "The first":
        return Found()
    known = Likeness(key=KEY, url="https://tickets.example/1", title="Export <!channel> fails", why="the same title")
    return Found(tickets=[known, Likeness(key="LOCAL-98", title="Gone"), Likeness(key="LOCAL-99", title="Gone, too")])


@pytest.fixture(autouse=True)
def looking_for_similar(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for is looked for by `found`."""
    build: Callable[..., Any] = graph.build
    find: Callable[[SimilarRequest], Awaitable[Found]] = found

    class Finding(Turns):
        @wraps(Turns.__init__)
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more | {"find": find})

    monkeypatch.setattr(graph, "build", lambda *given, **more: build(*given, **more | {"looks": True}))
    monkeypatch.setattr(turn, "Turns", Finding)


async def offered(ops: Channel) -> tuple[str, Message, Message]:
    """A thread, the message in it that offers a filed ticket, and its card."""
    first = await ops.mention(COMPLETE.replace("Export fails", "The first"))
    await ops.slack.click("U1ANN", await ops.card(first.ts), "approve_draft")
    await ops.until(lambda: f"Filed as *{KEY}*" in words(ops.said(first.ts)[-1].blocks), "filed")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    [offer] = [one for one in ops.said(said.ts) if "same_as:0" in buttons(one)]
    return said.ts, offer, card


async def test_similar_tickets_come_before_the_card(ops: Channel) -> None:
    _, offer, card = await offered(ops)
    assert offer.ts < card.ts
    shown = words(offer.blocks)
    assert f"<https://tickets.example/1|{KEY}> Export &lt;!channel&gt; fails" in shown
    assert "the same title" in shown
    assert sorted(buttons(offer)) == ["same_as:0", "same_as:1", "same_as:2"]


async def test_what_is_said_with_them_comes_before_the_card_too(ops: Channel) -> None:
    said = await ops.mention(f"{COMPLETE}\u202e")
    card = await ops.card(said.ts)
    [offer] = [one for one in ops.said(said.ts) if "same_as:0" in buttons(one)]
    assert "invisible character" in words(offer.blocks)
    assert offer.ts < card.ts


async def test_it_is_linked_by_a_click_and_nothing_is_filed(ops: Channel) -> None:
    thread, offer, card = await offered(ops)
    await ops.slack.click("U2BOB", offer, "same_as:0")
    await ops.until(lambda: f"Linked to {KEY} instead" in read(ops.slack.latest(card)), "linked")
    await ops.quiet()
    now = ops.slack.latest(card)
    assert "by <@U2BOB>" in words(now.blocks) or "by @bob" in words(now.blocks)
    assert list(buttons(now)) == ["new_ticket"]
    assert await ops.count("tickets") == 1
    for action, message in (("same_as:0", offer), ("approve_draft", card)):
        before = len(ops.heard("U1ANN"))
        await ops.slack.click("U1ANN", message, action)
        await ops.until(lambda before=before: len(ops.heard("U1ANN")) > before, "an answer")
        assert re.search(rf"Already linked to \S*{KEY}>? by <@U2BOB>", ops.heard("U1ANN")[-1])
    await ops.slack.click("U1ANN", card, "request_changes")
    await ops.until(lambda: f"It is {KEY} instead" in ops.heard("U1ANN")[-1], "an answer")
    assert ops.slack.views("U1ANN") == []
    await ops.slack.click("U1ANN", now, "new_ticket")
    await ops.until(lambda: "What is the problem" in words(ops.said(thread)[-1].blocks), "a question for the next ticket")
    await ops.quiet()
    assert f"Linked to {KEY} instead" in read(ops.slack.latest(card))


@pytest.mark.parametrize("forged", ["LOCAL-77", "LOCAL-98", "", "../1", "LOCAL-1:"])
async def test_what_was_not_offered_or_is_gone_is_not_linked(ops: Channel, forged: str) -> None:
    _, offer, card = await offered(ops)
    button = buttons(offer)["same_as:0"]
    value = button["value"].removesuffix(KEY) + forged
    block_id = next(block["block_id"] for block in offer.blocks if "accessory" in block)
    action = {"type": "button", "action_id": "same_as:0", "block_id": block_id, "value": value, "action_ts": "1.1"}
    await ops.slack.click("U1ANN", offer, "same_as:0", actions=[action])
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    await ops.quiet()
    assert "approve_draft" in buttons(ops.slack.latest(card))
    assert await ops.count("approvals") == 1  # of the first


async def test_it_is_linked_from_a_direct_message_whose_card_stands_elsewhere(ops: Channel) -> None:
    first = await ops.mention(COMPLETE.replace("Export fails", "The first"))
    await ops.slack.click("U1ANN", await ops.card(first.ts), "approve_draft")
    await ops.until(lambda: f"Filed as *{KEY}*" in words(ops.said(first.ts)[-1].blocks), "filed")
    await ops.slack.command("U0ADA", "C1OPS", "/signoff", "setup")
    await ops.slack.submit("U0ADA", await ops.view("U0ADA"), {"options": ["home"]})
    ops.slack.add_channel("D4ZOE", "", ["U4ZOE"], im=True)
    direct = Channel(ops.slack, ops.database, "D4ZOE")
    said = await ops.slack.say("U4ZOE", "D4ZOE", COMPLETE)  # zoe may not approve in #ops
    card = await ops.until(lambda: next((one for one in at_top(ops) if "approve_draft" in buttons(one)), None), "a card")
    [offer] = [one for one in direct.said(said.ts) if "same_as:0" in buttons(one)]
    await ops.slack.click("U4ZOE", offer, "same_as:0")
    await ops.until(lambda: f"Linked to {KEY} instead" in read(ops.slack.latest(card)), "linked")


def at_top(ops: Channel) -> list[Message]:
    """The messages at the top of the channel."""
    return [one for one in ops.slack.channel_messages(ops.id) if one.root == one.ts]


async def test_who_may_not_decide_links_nothing(ops: Channel) -> None:
    _, offer, card = await offered(ops)
    await ops.slack.click("U3GUS", offer, "same_as:0")
    await ops.until(lambda: ops.heard("U3GUS"), "an answer")
    assert "guests may not" in ops.heard("U3GUS")[0]
    assert "approve_draft" in buttons(ops.slack.latest(card))


async def test_an_offer_counts_for_the_card_that_it_came_with(ops: Channel) -> None:
    thread, offer, _ = await offered(ops)
    await ops.mention("Priority: high", thread=thread)
    card = await ops.card(thread, "high")
    await ops.slack.click("U1ANN", offer, "same_as:0")
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    assert "no longer current" in ops.heard("U1ANN")[0]
    assert "approve_draft" in buttons(ops.slack.latest(card))
