"""Keeping cards: their messages are brought to what the rows say now, so a late update cannot bring back an old state.

A card has no place of its own: it takes the messages of the card that it replaces, or gets new ones below if those are out of
sight. That posts were begun is on record before the first of them, so that one whose answer was lost is found, whatever the
draft became meanwhile.
"""

import hashlib
import json
import logging
import time
from itertools import takewhile
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.ports import PAST
from agent.surfaces import CardView, Effect, Outbox, Posted
from slack_adapter import approvers
from slack_adapter.approvers import Person
from slack_adapter.blocks import build_draft_preview_blocks_with_hash, card_text
from slack_adapter.pieces import Block, quiet, section
from slack_adapter.posting import Poster, Talk
from slack_adapter.settings import Settings
from slack_adapter.text import link
from slack_adapter.workspaces import UNANSWERED, named, passes

SETTLE = 5.0
"""Seconds in which changes are collected before a card that people see is replaced by a newer one."""

OUT_OF_SIGHT = 6
"""Messages under a card after which a newer one is posted below, and no longer in its place."""

CLOSED = 600.0
"""Seconds for which it is believed that a home channel cannot be written to."""

log = logging.getLogger(__name__)


def _last(posted: Posted) -> Posted:
    return posted.model_copy(update={"ts": posted.ts[-1:]})


def _undecided(card: CardView) -> bool:
    return card.status != "approved"


def _give_up(talk: Talk, error: SlackApiError) -> None:
    """Raises an error that may pass; one that will not keeps a card as it is."""
    if passes(error):
        raise error
    log.warning("a card of %s cannot be updated: %s", talk.session_id, named(error))


class Cards:
    """The cards of sessions, one session at a time."""

    def __init__(self, settings: Settings, outbox: Outbox, poster: Poster) -> None:
        self._settings, self._outbox, self._poster = settings, outbox, poster
        self._closed: dict[str, float] = {}  # homes that could not be written to, and until when that is believed

    async def refresh(self, talk: Talk, effect: Effect) -> float | None:
        """Brings every card of the session to what is true now; gives the seconds to wait if the newest is not settled."""
        cards = await self._outbox.cards(talk.session_id)
        if not cards:
            return None
        newest = await self._found(talk, cards[0])
        others = [found for card in cards[1:] if (found := await self._old(talk, card)) and found.posted and found.posted.ts]
        before = others[0] if others and others[0].status in PAST else None
        again = effect.body.get("again") and effect.body.get("preview_id") == newest.preview_id
        called = [*takewhile(_undecided, others)]  # for this ticket, with another card
        first, moved = f"card:{newest.preview_id}", f"card:{newest.preview_id}:{effect.id}"
        if newest.posted is None and newest.status not in PAST:
            if before and newest.status == "open" and newest.age < SETTLE:
                return SETTLE - newest.age
            stands = before.posted if before and await self._fits_there(talk, newest, before) else None
            await self._show(talk, newest, stands, call=not called)
            others = [card for card in others if not (stands and card is before)]
        elif newest.posted and newest.posted.ts and await self._is_to_move(talk, newest, bool(again), moved):
            await self._move(talk, newest, newest.posted, moved)
        elif newest.posted and (newest.posted.ts or newest.status == "open"):
            lost = not newest.posted.ts and newest.posted.key == first
            await self._show(talk, newest, newest.posted, call=lost and not called)
        for card in others:
            await self._old(talk, card, show=True)
        return None

    async def refresh_beside(self, talk: Talk, effect: Effect) -> None:
        """The same beside something else that is to be said, which a card that can never be updated must not hold back."""
        try:
            await self.refresh(talk, effect)
        except SlackApiError as error:
            _give_up(talk, error)

    async def _old(self, talk: Talk, card: CardView, *, show: bool = False) -> CardView | None:
        """A card that a newer one follows: found, or brought to what is true; None where that will never be possible."""
        try:
            if show:
                await self._show(talk, card, card.posted)
                return card
            return await self._found(talk, card)
        except SlackApiError as error:
            _give_up(talk, error)
            return None

    async def _found(self, talk: Talk, card: CardView) -> CardView:
        """The card with the messages that were posted for it and never recorded; if there are none, only an open one stays."""
        if card.posted is None or len(card.posted.ts) >= card.posted.parts:
            return card
        posted = card.posted.model_copy(deep=True)
        thread_ts = talk.thread_ts if posted.channel == talk.channel else None
        assert card.posted_at
        there = await self._poster.there(talk, posted.channel, thread_ts, card.posted_at)
        for n in range(len(posted.ts), posted.parts):
            if (ts := there.get(f"{posted.key}:{n}")) is None:
                break
            posted.ts.append(ts)
        posted.parts = len(posted.ts)
        stands = posted if posted.ts or card.status == "open" else None
        await self._outbox.shown(card, stands, "", moved=False)
        return card.model_copy(update={"posted": stands, "digest": ""})

    async def _fits_there(self, talk: Talk, card: CardView, before: CardView) -> bool:
        """Whether the messages of the card before are in sight, and enough: more would stand below what was said since."""
        assert before.posted
        if before.posted.channel != await self._channel_for(talk, card):
            return False  # another home was chosen
        if before.below == 0 or before.posted.channel != talk.channel:
            return True
        parts, _, _ = await self._built(talk, card, before.posted.channel)
        return before.below < OUT_OF_SIGHT and len(parts) <= len(before.posted.ts)

    async def _is_to_move(self, talk: Talk, card: CardView, again: bool, key: str) -> bool:
        """Whether an open card is asked for and is not the last thing said, or should stand in another channel."""
        if card.status != "open" or card.posted is None or card.posted.key == key:
            return False
        return (again and card.below > 0) or card.posted.channel != await self._channel_for(talk, card)

    async def _built(self, talk: Talk, card: CardView, channel: str) -> tuple[list[list[Block]], str, str]:
        """The messages that show the card in this channel, its text, and the digest of both."""
        team, more = talk.workspace.team, dict[str, Any]()
        if card.status == "open":
            setting = await self._settings.of(team, await self._settings.place(team, talk.channel))
            more["private"] = setting.open_to == "everyone" and await self._is_private(talk)
            more["approvers"] = approvers.awaited(setting.approvers, card.requester)
        thread = talk.permalink() if channel != talk.channel else ""
        parts, text = build_draft_preview_blocks_with_hash(card, thread=thread, **more), card_text(card)
        return parts, text, hashlib.sha256(json.dumps([parts, text]).encode()).hexdigest()

    async def _is_private(self, talk: Talk) -> bool:
        try:
            channel = await talk.workspace.channel(talk.channel)
        except UNANSWERED:
            return True
        return bool(channel.get("is_private") or channel.get("is_im") or channel.get("is_mpim"))

    async def _show(self, talk: Talk, card: CardView, posted: Posted | None, *, call: bool = False) -> None:
        """Makes messages show the card: those given, and new ones where there are too few; `call`: these may call people."""
        channel = posted.channel if posted else await self._channel_for(talk, card)
        try:
            await self._show_in(channel, talk, card, posted, call=call)
        except SlackApiError as error:
            if passes(error) or channel == talk.channel or card.status in PAST:
                raise  # nobody needs one that was put away
            log.warning("a card of %s cannot be shown in its home %s: %s", talk.session_id, channel, named(error))
            self._closed[channel] = time.monotonic() + CLOSED
            await self._show_in(talk.channel, talk, card, None, call=call)

    async def _show_in(self, channel: str, talk: Talk, card: CardView, posted: Posted | None, *, call: bool) -> None:
        parts, text, digest = await self._built(talk, card, channel)
        if posted and card.posted and digest == card.digest:
            return
        standing = []
        for n, ts in enumerate(posted.ts if posted else []):
            if n >= len(parts):
                await self._poster.delete(talk, channel, ts)
            elif await self._poster.update(talk, channel, ts, text, parts[n]):
                standing.append(ts)
        if posted and len(standing) < min(len(parts), len(posted.ts)):  # somebody has deleted one
            if card.status != "open":
                parts = parts[: len(standing)]  # nobody needs it any more
            else:  # the buttons must not stand above a part: all anew
                for ts in standing:
                    await self._poster.delete(talk, channel, ts)
                standing = []
        key = f"card:{card.preview_id}"
        if posted and posted.key.startswith(key):  # of a card that was moved, whose first messages have the plain key
            key = posted.key
        stands = Posted(channel=channel, ts=standing, parts=len(parts), key=key)
        await self._post_rest(talk, card, stands, parts, text, call=call)
        if channel != talk.channel and not card.digest and stands.ts:
            await self._outbox.shown(card, stands, "", moved=False)
            await self._say_where(talk, card, stands)
        await self._outbox.shown(card, stands, digest, moved=False)

    async def _post_rest(
        self, talk: Talk, card: CardView, stands: Posted, parts: list[list[Block]], text: str, *, call: bool = False
    ) -> None:
        """Posts the parts that no message shows yet, each on record before the next."""
        thread_ts = talk.thread_ts if stands.channel == talk.channel else None
        for n in range(len(stands.ts), len(parts)):
            await self._outbox.shown(card, stands, "", moved=not stands.ts)
            shown = parts[n] if call else await quiet(parts[n], talk.workspace.name)
            stands.ts.append(await self._poster.post(talk, stands.channel, thread_ts, f"{stands.key}:{n}", text, shown))

    async def _move(self, talk: Talk, card: CardView, posted: Posted, key: str) -> None:
        """Shows an open card anew, at the end of the conversation where it belongs; where it stood, its buttons go first."""
        await self._outbox.shown(card, posted, "", moved=False)  # from here on it does not show the card whole
        [away] = build_draft_preview_blocks_with_hash(card, moved=True)
        *above, last = posted.ts
        await self._poster.update(talk, posted.channel, last, card_text(card), away)
        for ts in above:
            await self._poster.delete(talk, posted.channel, ts)
        channel = await self._channel_for(talk, card)
        parts, text, digest = await self._built(talk, card, channel)
        stands = Posted(channel=channel, ts=[], parts=len(parts), key=key)
        try:
            await self._post_rest(talk, card, stands, parts, text)
        except SlackApiError as error:
            if passes(error) or channel == posted.channel:
                raise
            self._closed[channel] = time.monotonic() + CLOSED  # back to where it stood
            await self._show_in(posted.channel, talk, card.model_copy(update={"digest": ""}), _last(posted), call=False)
            return
        if channel != talk.channel:
            await self._say_where(talk, card, stands)
        await self._outbox.shown(card, stands, digest, moved=False)

    async def _say_where(self, talk: Talk, card: CardView, stands: Posted) -> None:
        """Tells the conversation of a card that stands elsewhere."""
        key, where = f"{stands.key}:told", talk.workspace.permalink(stands.channel, stands.ts[-1])
        if card.posted_at and key in await self._poster.there(talk, talk.channel, talk.thread_ts, card.posted_at):
            return
        text = f"The card is in <#{stands.channel}>, where others may approve it: {link(where, f'version {card.version}')}."
        await self._poster.post(talk, talk.channel, talk.thread_ts, key, text, [section(text)])

    async def _channel_for(self, talk: Talk, card: CardView) -> str:
        """Where a card is posted: its conversation; the home channel for a direct message of somebody who may not approve."""
        home = await self._settings.place(talk.workspace.team, talk.channel)
        if home == talk.channel or self._closed.get(home, 0.0) > time.monotonic():
            return talk.channel
        rule = (await self._settings.of(talk.workspace.team, home)).approvers
        person = Person(card.requester, talk.workspace.team)
        try:
            may = await approvers.ask(talk.workspace, rule, home, person, card.requester)
        except SlackApiError as error:
            if passes(error):
                raise
            return talk.channel
        return talk.channel if may.allowed else home
