"""Messages of Slack's: posted once by the key in their metadata, updated, found again, or whispered to one person.

A call that got no answer may have acted. So nothing is posted a second time before its key was looked for, and a pause that
Slack wants is kept for that method and channel alone.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.faults import point
from agent.ports import NotYet
from agent.surfaces import Effect
from slack_adapter.inbound import thread_of
from slack_adapter.paging import Paging
from slack_adapter.pieces import BLOCK_CHARACTERS, FALLBACK, Block, section
from slack_adapter.text import cut
from slack_adapter.workspaces import Workspace, named, passes, pause_of

EVENT_TYPE = "signoff"

ANSWER_SECONDS = 15
"""Seconds that Slack has to answer one call."""

SKEW = 300
"""Seconds that Slack's clock and the database's may be apart."""

MISSING = ("message_not_found", "cant_update_message", "cant_delete_message")


@dataclass(frozen=True)
class Talk:
    """The conversation that an effect belongs to."""

    workspace: Workspace
    session_id: str

    @property
    def channel(self) -> str:
        """Its channel."""
        return thread_of(self.session_id)[0]

    @property
    def thread_ts(self) -> str:
        """The message that begins it."""
        return thread_of(self.session_id)[1]

    def permalink(self) -> str:
        """Where it begins."""
        return self.workspace.permalink(self.channel, self.thread_ts)


def since(effect: Effect) -> datetime | None:
    """From when on a message of this effect may be there already; None if it surely is not."""
    return effect.at if effect.attempts else None


class Poster:
    """Calls of Slack's API that are about messages."""

    def __init__(self) -> None:
        self._paging = Paging()
        self._resting: dict[tuple[str, str], float] = {}  # (method, channel) -> when it may be called again

    async def once(
        self, talk: Talk, effect: Effect, text: str, shown: Sequence[Block], *, channel: str = "", root: bool = False
    ) -> str:
        """Posts what an effect says into the conversation, or updates it if it is there; gives its `ts`.

        `channel`: another place; `root`: at its top, not in the thread.
        """
        channel = channel or talk.channel
        thread_ts = None if root or channel != talk.channel else talk.thread_ts
        if (begun := since(effect)) and (ts := (await self.there(talk, channel, thread_ts, begun)).get(effect.key)):
            await self.update(talk, channel, ts, text, shown)
            return ts
        return await self.post(talk, channel, thread_ts, effect.key, text, shown)

    async def post(self, talk: Talk, channel: str, thread_ts: str | None, key: str, text: str, shown: Sequence[Block]) -> str:
        """Posts a message under this key; gives its `ts`."""
        point("slack-posting")
        posted = await self.call(
            talk,
            "chat_postMessage",
            channel,
            text=cut(text, FALLBACK),
            blocks=list(shown),
            thread_ts=thread_ts,
            metadata={"event_type": EVENT_TYPE, "event_payload": {"key": key}},
            unfurl_links=False,
            unfurl_media=False,
        )
        point("slack-posted")
        return str(posted["ts"])

    async def there(self, talk: Talk, channel: str, thread_ts: str | None, begun: datetime) -> dict[str, str]:
        """Our messages that were posted since then: key -> `ts`."""
        method = "conversations_replies" if thread_ts else "conversations_history"
        oldest = f"{begun.timestamp() - SKEW:.6f}"
        options: dict[str, Any] = {"limit": 200, "include_all_metadata": True, "ts": thread_ts, "oldest": oldest}

        async def page(cursor: str | None) -> Any:
            return await self.call(talk, method, channel, cursor=cursor, **options)

        try:
            point("slack-looking")
            messages = await self._paging.read((talk.workspace.team, channel, thread_ts, oldest), page, "messages")
            point("slack-looked")
        except SlackApiError as error:
            if named(error) != "thread_not_found":  # somebody has deleted the message that began it
                raise
            return {}
        us = talk.workspace
        ours = [one for one in messages if one.get("bot_id") == us.bot_id or one.get("user") == us.bot_user]
        marked = [(one.get("metadata") or {}, one["ts"]) for one in ours]
        return {
            str(metadata["event_payload"].get("key")): str(ts)
            for metadata, ts in marked
            if metadata.get("event_type") == EVENT_TYPE and "event_payload" in metadata
        }

    async def update(self, talk: Talk, channel: str, ts: str, text: str, shown: Sequence[Block]) -> bool:
        """Makes a message show this; False if it is no longer there."""
        text = cut(text, FALLBACK)
        point("slack-updating")
        updated = await self.call(talk, "chat_update", channel, ts=ts, text=text, blocks=list(shown), or_gone=True)
        point("slack-updated")
        return updated is not None

    async def delete(self, talk: Talk, channel: str, ts: str) -> None:
        """Takes a message away, if it is still there."""
        point("slack-deleting")
        await self.call(talk, "chat_delete", channel, ts=ts, or_gone=True)
        point("slack-deleted")

    async def whisper(
        self, talk: Talk, effect: Effect, user: str, text: str, shown: Sequence[Block] | None = None, *, in_thread: bool = False
    ) -> None:
        """Says something to one person: where that person acted, or where that cannot be, in a direct message.

        `in_thread`: there are replies in the conversation's thread; else Slack would show it nowhere.
        """
        channel = effect.origin or talk.channel
        shown = list(shown or [section(cut(text, BLOCK_CHARACTERS))])
        thread_ts = talk.thread_ts if in_thread and channel == talk.channel else None
        said: dict[str, Any] = {"text": cut(text, FALLBACK), "blocks": shown, "thread_ts": thread_ts}
        try:
            point("slack-whispering")
            await self.call(talk, "chat_postEphemeral", channel, user=user, **said)
            point("slack-whispered")
        except SlackApiError as error:
            if passes(error):
                raise
            await self.directly(talk, effect, user, text, shown)

    async def directly(self, talk: Talk, effect: Effect, user: str, text: str, shown: Sequence[Block]) -> None:
        """Says something to one person in a direct message."""
        point("slack-opening")
        opened = await talk.workspace.client.conversations_open(users=user)
        point("slack-opened")
        await self.once(talk, effect, text, shown, channel=opened["channel"]["id"], root=True)

    async def call(self, talk: Talk, method: str, channel: str, *, or_gone: bool = False, **arguments: Any) -> Any:
        """One call; None with `or_gone` if its message is no longer there. Raises NotYet while Slack wants a pause."""
        if (left := self._resting.get((method, channel), 0.0) - time.monotonic()) > 0:
            raise NotYet(left)
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await getattr(talk.workspace.client, method)(channel=channel, **given)
        except SlackApiError as error:
            if (pause := pause_of(error)) is not None:
                self._resting[method, channel] = time.monotonic() + pause
                raise NotYet(pause) from None
            if or_gone and named(error) in MISSING:
                return None
            raise
