"""Random traffic from a seed through two real replicas, with all that goes wrong on a bad day; then promises are counted."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from persistence.database import Database
from tests.slack.channel import Channel, buttons
from tests.slack.replicas import Replica
from tests.slack_sim import Slack

PEOPLE = ["U1ANN", "U2BOB", "U3GUS"]
STEPS = 60
METHODS = ("chat.postMessage", "chat.update", "chat.postEphemeral", "conversations.replies", "users.info")
SAYINGS = (
    "Title: Export {n} fails\nProblem: It answers 500.\nAcceptance criteria: it finishes",
    "Export {n} fails\nIt answers 500.",
    "it finishes in {n} seconds",
    "Priority: {n}",
    "Labels: label-{n}, other",
    "show",
    "new",
    "thanks, let me look",
    "Title: Number {n}",
)


class Day:
    """What people do in one channel, and what was acknowledged of it."""

    def __init__(self, ops: Channel, seed: int) -> None:
        self.ops, self.slack, self.random = ops, ops.slack, random.Random(seed)
        self.threads: list[str] = []
        self.clicks: Counter[str] = Counter()
        """Acknowledged clicks on a card's deciding buttons, by person."""

    async def step(self, n: int) -> None:
        """Somebody does something."""
        if self.random.random() < 0.3:
            self.trouble()
        person = self.random.choice(PEOPLE)
        match self.random.choice(["mention", "say", "say", "click", "click", "click", "form", "edit"]):
            case "click" if cards := self.cards():
                card = self.random.choice(cards)
                action = self.random.choice(["approve_draft", "approve_draft", "reject_draft"])
                if (await self.slack.click(person, card, action)).status == 200:
                    self.clicks[person] += 1
                    if self.random.random() < 0.3:  # the same again, as a network may do
                        await self.slack.deliver_interaction(self.slack.deliveries[-1][1])
            case "form" if cards := self.cards():
                await self.slack.click(person, self.random.choice(cards), "request_changes")
                if views := self.slack.views(person):
                    await self.slack.submit(person, views[-1], {"title": f"{person}'s title {n}"})
            case "edit" if self.threads:
                said = self.slack.message("C1OPS", self.random.choice(self.threads))
                await self.slack.edit(said, f"{said.text} (edited)")
            case "say" if self.threads:
                text = self.random.choice(SAYINGS).format(n=n)
                mention = f"<@{self.slack.bot_user}> " * self.random.randrange(2)
                await self.slack.say(person, "C1OPS", mention + text, thread_ts=self.random.choice(self.threads))
            case _:
                said = await self.ops.mention(self.random.choice(SAYINGS[:2]).format(n=n), by=person)
                self.threads.append(said.ts)

    def trouble(self) -> None:
        """Slack or the network does not do what it should."""
        method, times = self.random.choice(METHODS), self.random.randrange(1, 3)
        match self.random.choice(["drop", "break", "limit"]):
            case "drop":
                self.slack.drop_reply(method, times=times)
            case "break":
                self.slack.break_http(method, times=times)
            case "limit":
                self.slack.rate_limit(method, 1, times=times)

    def cards(self) -> list[Any]:
        """All messages that show a card which can be decided on, as people see them now."""
        return [card for thread in self.threads for card in self.ops.cards(thread)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_promises_hold_on_a_bad_day(slack: Slack, looking: Database, start: Callable[..., Any], seed: int) -> None:
    replicas: list[Replica] = [await start(), await start()]
    slack.deliver_to(*(one.url for one in replicas))
    slack.duplicate = 1
    ops = Channel(slack, looking, "C1OPS")
    day = Day(ops, seed)
    for n in range(STEPS):
        await day.step(n)
        await asyncio.sleep(day.random.uniform(0, 0.3))
        if n % 20 == 19:
            await replicas.pop(0).kill()
            slack.deliver_to(replicas[0].url)
            replicas.append(await start())
            slack.deliver_to(*(one.url for one in replicas))
    slack.heal()
    await ops.quiet(90)

    outcomes = Counter(row["outcome"] for row in await ops.rows("SELECT outcome FROM inbox"))
    assert outcomes["failed"] == 0, outcomes
    assert await ops.rows("SELECT problem FROM effects WHERE problem IS NOT NULL") == []
    approved = await ops.rows("SELECT session_id, draft_hash FROM approvals WHERE status = 'approved'")
    filed = await ops.rows("SELECT draft_hash, sealed FROM tickets")
    assert len(filed) == len(approved)
    for ticket in filed:
        assert hashlib.sha256(ticket["sealed"]).hexdigest() == ticket["draft_hash"]
    keys = Counter(one.metadata["event_payload"]["key"] for one in slack.channel_messages("C1OPS") if one.metadata)
    assert [key for key, times in keys.items() if times > 1] == [], "nothing is said twice"
    rows = await ops.rows("SELECT session_id, draft_hash FROM previews WHERE status = 'open'")
    open_cards = {row["session_id"]: row["draft_hash"] for row in rows}
    for thread in day.threads:
        shown = [buttons(card)["approve_draft"]["value"].rpartition(":")[2] for card in ops.cards(thread)]
        expected = open_cards.get(f"T1:C1OPS:{thread}")
        assert shown == ([expected] if expected else []), "people see what is true"
    decided = Counter(row["approved_by"] for row in await ops.rows(
        "SELECT approved_by FROM approvals UNION ALL SELECT approved_by FROM approval_history"
    ))  # fmt: skip
    for person in PEOPLE:
        answers = len(slack.ephemerals(person)) + len(slack.channel_messages(slack.im_with(person, slack.workspaces[0]).id))
        assert decided[person] + answers >= day.clicks[person], "every act gets an answer"
