"""A channel as people use it: what they do in it, and what they then see."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from persistence.database import Database
from tests.slack_sim import Slack
from tests.slack_sim.world import Message, View

COMPLETE = "Title: Export fails\nProblem: It answers 500.\nAcceptance criteria:\n- it finishes\n- it is logged"


def words(blocks: Iterable[dict[str, Any]]) -> str:
    """Everything that can be read in blocks."""
    return "\n".join(_texts(list(blocks)))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for name, item in value.items():
            if not (name == "text" and isinstance(item, str)):
                yield from _texts(item)


def buttons(message: Message) -> dict[str, dict[str, Any]]:
    """The buttons of a message by their action ids."""
    rows = [*message.blocks, *({"elements": [block["accessory"]]} for block in message.blocks if "accessory" in block)]
    return {one["action_id"]: one for row in rows for one in row.get("elements", []) if one.get("type") == "button"}


class Channel:
    """One channel with Signoff in it."""

    def __init__(self, slack: Slack, database: Database, channel: str, url: str = "", dsn: str = "") -> None:
        self.slack, self.database, self.id, self.url, self.dsn = slack, database, channel, url, dsn

    def ready(self) -> bool:
        """Whether a worker runs."""
        return self.database.queue.ready

    async def mention(self, text: str, by: str = "U1ANN", thread: str | None = None) -> Message:
        """Somebody mentions the bot; gives the message."""
        before = {message.ts for message in self.slack.channel_messages(self.id)}
        await self.slack.say(by, self.id, f"<@{self.slack.bot_user}> {text}", thread_ts=thread)
        [said] = [one for one in self.slack.channel_messages(self.id) if one.ts not in before and one.user == by]
        return said

    async def until(self, found: Callable[[], Any], what: str, seconds: float = 15) -> Any:
        """Waits for something to be seen, and gives it."""
        async with asyncio.timeout(seconds + 5):
            await self.slack.until(found, seconds=seconds, what=what)
        return found()

    def said(self, thread: str) -> list[Message]:
        """What Signoff said in a thread."""
        return [one for one in self.slack.thread(self.id, thread) if one.user == self.slack.bot_user]

    def cards(self, thread: str) -> list[Message]:
        """Its messages that have a decision's buttons."""
        return [one for one in self.said(thread) if "approve_draft" in buttons(one)]

    async def card(self, thread: str, showing: str = "") -> Message:
        """The card that can be decided on."""
        return await self.until(
            lambda: next((one for one in self.cards(thread) if showing in words(one.blocks)), None), f"a card with {showing!r}"
        )

    async def quiet(self, seconds: float = 30) -> None:
        """Waits until nothing more will come of what was accepted."""
        query = """
            SELECT (SELECT count(*) FROM inbox WHERE processed_at IS NULL)
                 + (SELECT count(*) FROM effects WHERE done_at IS NULL)
                 + (SELECT count(*) FROM filings WHERE status IN ('intended', 'sent')) AS left
        """
        async with asyncio.timeout(seconds):
            while True:
                async with self.database.turns.connection() as connection:
                    row = await (await connection.execute(query)).fetchone()
                if row and not row["left"]:
                    return
                await asyncio.sleep(0.02)

    async def view(self, user: str) -> View:
        """The form in front of somebody, once it is open."""
        await self.until(lambda: self.slack.views(user), "a form")
        return self.slack.views(user)[-1]

    def heard(self, user: str) -> list[str]:
        """What one person alone was told."""
        return [words(one.blocks) or one.text for one in self.slack.ephemerals(user)]

    async def top(self) -> list[Message]:
        """The messages that stand in the channel itself."""
        return [one for one in self.slack.channel_messages(self.id) if one.root == one.ts]

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return int((await self.rows(f"SELECT count(*) AS n FROM {table}"))[0]["n"])

    async def until_rows(self, query: str, number: int, seconds: float) -> list[Any]:
        """Waits until a query finds so many rows, and gives them."""
        async with asyncio.timeout(seconds):
            while len(found := await self.rows(query)) != number:
                await asyncio.sleep(0.1)
        return found

    async def rows(self, query: str) -> list[Any]:
        """What the database says."""
        async with self.database.turns.connection() as connection:
            return await (await connection.execute(query)).fetchall()
