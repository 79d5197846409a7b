"""Delivery: takes what people are to see to Slack, each thing once, and keeps every card at what the rows say now.

A post carries its key in its metadata. If a delivery was begun before, the thread is read for that key before anything is
posted again. A card's update only says "show what is true now", so a late one cannot bring back an old state.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.ports import Event
from agent.protocol import Reply
from agent.sealing import SHORT, FieldChange
from agent.surfaces import CardView, Effect, Outbox, Posted
from slack_adapter import approvers, blocks
from slack_adapter.approvers import Person
from slack_adapter.blocks import Block, build_draft_preview_blocks_with_hash, card_text
from slack_adapter.inbound import session_of
from slack_adapter.settings import Settings
from slack_adapter.text import cut, escape, link
from slack_adapter.workspaces import UNANSWERED, Workspace, Workspaces, named, passes, pause_of

SETTLE = 5.0
"""Seconds in which changes are collected before a card that people see is replaced by a newer one."""

OUT_OF_SIGHT = 6
"""Messages under a card after which a newer one is posted below, and no longer in its place."""

PATIENCE = 60
"""Deliveries that are tried before it is given up; with the pauses between them that is some hours."""

REVOKED = ("invalid_auth", "token_revoked", "account_inactive", "token_expired")
"""The token is no longer good; the app may have been installed anew meanwhile."""

EVENT_TYPE = "signoff"
log = logging.getLogger(__name__)

Accept = Callable[[Event], Awaitable[bool]]
Comment = Callable[[str, str, str, str], Awaitable[None]]
"""Adds a comment to a ticket: its id (a repeat changes nothing), the ticket's key, who says it, and the text."""


class _Limited(Exception):
    """Slack wants a pause of so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Delivery:
    """Delivers the effects of sessions; any number of processes may, one at a time for each session."""

    def __init__(self, workspaces: Workspaces, settings: Settings, outbox: Outbox, accept: Accept, comment: Comment) -> None:
        self._workspaces, self._settings, self._outbox = workspaces, settings, outbox
        self._accept, self._comment = accept, comment
        self._resting: dict[tuple[str, str], float] = {}  # (method, channel) -> when it may be called again

    async def deliver(self, session_id: str) -> float | None:
        """Delivers what is due; gives the seconds after which to look again, None if nothing is left."""
        for effect, absorbed in _merged(await self._outbox.due(session_id)):
            together = (effect, *absorbed)  # the question first: due before what is said with it, it still waits for that
            try:
                wait = await self._deliver(effect)
            except _Limited as limited:
                for one in together:
                    await self._outbox.later(one, limited.seconds, failed=True)
                break  # what comes after it in this conversation waits, too
            except Exception as error:
                if isinstance(error, SlackApiError) and named(error) in REVOKED:
                    self._workspaces.forget(effect.session_id.partition(":")[0])
                if (problem := self._hopeless(effect, error)) is None:
                    pause = float(min(2**effect.attempts, 300))
                    for one in together:
                        await self._outbox.later(one, pause, failed=True)
                    break
                log.warning("could not deliver %s: %s", effect.key, problem)
                for one in together:
                    await self._outbox.done(one, problem)
                continue
            if wait is None:
                for one in reversed(together):
                    await self._outbox.done(one)
            else:
                await self._outbox.later(effect, wait)
        await self._clear_status(session_id)
        return await self._outbox.wait(session_id)

    def _hopeless(self, effect: Effect, error: Exception) -> str | None:
        """Why a delivery will never succeed; None if it may."""
        said = named(error) if isinstance(error, SlackApiError) else ""
        if isinstance(error, SlackApiError) and not passes(error):
            return said
        return (said or str(error) or type(error).__name__) if effect.attempts >= PATIENCE else None

    async def _deliver(self, effect: Effect) -> float | None:
        """Delivers one effect; gives the seconds to wait if it is too early for it."""
        talk, body = await self._talk(effect), effect.body
        if body.get("again") or body["kind"] not in ("preview", "decision", "marked"):  # these only update a card
            await self._outbox.begin(effect)
        match body["kind"]:
            case "errand":
                await self._run(talk, effect)
            case "private":
                await self._whisper(talk, effect, body["to"], escape(body["text"]))
            case "decision" if body["status"] not in ("approved", "rejected"):
                await self._refresh(talk, effect)
                await self._answer(talk, effect)
            case "say":
                await self._post(talk, effect, escape(body["text"]), [blocks.section(piece) for piece in
                                 blocks.pieces(escape(body["text"]))])  # fmt: skip
            case "question":
                await self._refresh(talk, effect)
                said = [escape(text) for text in body.get("said", [])]
                asked = "\n".join([*said, *(escape(question["text"]) for question in body["questions"])])
                shown = [blocks.section(piece) for text in said for piece in blocks.pieces(text)]
                shown += blocks.question_blocks(effect.session_id, body["questions"])
                await self._post(talk, effect, asked, shown)
            case "contested":
                await self._refresh(talk, effect)
                text, shown = blocks.contested(effect.session_id, body)
                await self._whisper(talk, effect, body["to"], text, shown)
            case "filed":
                await self._refresh(talk, effect)
                await self._post(talk, effect, *_filed(body))
            case _:
                return await self._cards(talk, effect)
        return None

    async def _talk(self, effect: Effect) -> "_Talk":
        team, channel, thread_ts = effect.session_id.split(":")
        return _Talk(await self._workspaces.of(team), effect.session_id, channel, thread_ts)

    # --- Cards -------------------------------------------------------------------------------------------------------

    async def _cards(self, talk: "_Talk", effect: Effect) -> float | None:
        """Brings every card of the session to what is true now; gives the seconds to wait if the newest is not settled."""
        cards = await self._outbox.cards(talk.session_id)
        if not cards:
            return None
        newest, *others = cards
        before = next((card for card in others if card.posted and card.status == "superseded"), None)
        again = effect.body.get("again") and effect.body.get("preview_id") == newest.preview_id and newest.posted
        if newest.posted is None and newest.status != "superseded":
            if before and newest.status == "open" and newest.age < SETTLE:
                return SETTLE - newest.age
            stands = before.posted if before and await self._fits_there(talk, newest, before) else None
            called = any(card.posted and card.status != "approved" and card.version < newest.version for card in others)
            await self._show(talk, newest, stands, call=not called)
            others = [card for card in others if not (stands and card is before)]
        elif again and newest.status == "open" and newest.below:
            await self._move(talk, newest, effect)
        else:
            others = cards
        for card in others:
            if card.posted:
                await self._show(talk, card, card.posted)
        return None

    async def _refresh(self, talk: "_Talk", effect: Effect) -> None:
        """The same beside something else that is to be said, which a card that can never be updated must not hold back."""
        try:
            await self._cards(talk, effect)
        except SlackApiError as error:
            if passes(error):
                raise
            log.warning("a card of %s cannot be updated: %s", effect.session_id, named(error))

    async def _fits_there(self, talk: "_Talk", card: CardView, before: CardView) -> bool:
        """Whether the messages of the card before are in sight, and enough: more would stand below what was said since."""
        assert before.posted
        parts, _, _ = await self._built(talk, card, before.posted.channel)
        return before.below == 0 or (before.below < OUT_OF_SIGHT and len(parts) <= len(before.posted.ts))

    async def _built(self, talk: "_Talk", card: CardView, channel: str) -> tuple[list[list[Block]], str, str]:
        """The messages that show the card in this channel, its text, and the digest of both."""
        team, more = talk.workspace.team, dict[str, Any]()
        if card.status == "open":
            setting = await self._settings.of(team, await self._settings.place(team, talk.channel))
            more["private"] = setting.open_to == "everyone" and await self._is_private(talk)
            more["approvers"] = approvers.awaited(setting.approvers, card.requester)
        thread = talk.permalink() if channel != talk.channel else ""
        parts, text = build_draft_preview_blocks_with_hash(card, thread=thread, **more), card_text(card)
        return parts, text, hashlib.sha256(json.dumps([parts, text]).encode()).hexdigest()

    async def _show(self, talk: "_Talk", card: CardView, posted: Posted | None, *, call: bool = False) -> None:
        """Makes messages show the card: those it has, those of the card it replaces, or new ones, which may call people."""
        channel = posted.channel if posted else await self._channel_for(talk, card)
        parts, text, digest = await self._built(talk, card, channel)
        if posted and card.posted and digest == card.digest:
            return
        stands = Posted(channel=channel, ts=list(posted.ts) if posted else [])
        for n, part in enumerate(parts):
            if n < len(stands.ts) and await self._update(talk, channel, stands.ts[n], text, part):
                continue
            key, shown = f"card:{card.preview_id}:{n}", part if call else await blocks.quiet(part, talk.workspace.name)
            ts = await self._post_once(talk, channel, key, text, shown, maybe_there=True)
            stands.ts[n : n + 1] = [ts]
        for ts in stands.ts[len(parts) :]:
            await self._call(talk, "chat_delete", channel, ts=ts, missing_is_fine=True)
        stands.ts = stands.ts[: len(parts)]
        await self._outbox.shown(card, stands, digest, moved=posted is None)

    async def _move(self, talk: "_Talk", card: CardView, effect: Effect) -> None:
        """Shows an open card again at the end of its thread; where it stood, its buttons go first."""
        assert card.posted
        [away] = build_draft_preview_blocks_with_hash(card, moved=True)
        for n, ts in enumerate(card.posted.ts):
            if n == len(card.posted.ts) - 1:
                await self._update(talk, card.posted.channel, ts, card_text(card), away)
            else:
                await self._call(talk, "chat_delete", card.posted.channel, ts=ts, missing_is_fine=True)
        parts, text, digest = await self._built(talk, card, card.posted.channel)
        stands = Posted(channel=card.posted.channel, ts=[])
        for n, part in enumerate(parts):
            key, shown = f"card:{card.preview_id}:{effect.id}:{n}", await blocks.quiet(part, talk.workspace.name)
            stands.ts.append(await self._post_once(talk, stands.channel, key, text, shown, maybe_there=effect.attempts > 0))
        await self._outbox.shown(card, stands, digest, moved=True)

    async def _channel_for(self, talk: "_Talk", card: CardView) -> str:
        """Where a card is posted: its conversation; the home channel for a direct message of somebody who may not approve."""
        if not talk.channel.startswith("D"):
            return talk.channel
        home = await self._settings.home(talk.workspace.team)
        if not home:
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

    async def _is_private(self, talk: "_Talk") -> bool:
        try:
            channel = await talk.workspace.channel(talk.channel)
        except UNANSWERED:
            return True
        return bool(channel.get("is_private") or channel.get("is_im") or channel.get("is_mpim"))

    # --- Other messages ----------------------------------------------------------------------------------------------

    async def _answer(self, talk: "_Talk", effect: Effect) -> None:
        """Tells one person what a click came to that decided nothing."""
        body = effect.body
        cards = await self._outbox.cards(talk.session_id)
        standing = next((card for card in cards if card.posted and card.status in ("open", "approved")), None)
        standing = standing or next((card for card in cards if card.posted), None)  # the next version will stand there
        where = (
            talk.workspace.permalink(standing.posted.channel, standing.posted.ts[-1]) if standing and standing.posted else ""
        )
        filed = next((card for card in cards if card.draft_hash == body["draft_hash"] and card.filing == "filed"), None)
        by = f"<@{body['by']}>"
        as_ticket = (
            f" It is filed as {link(filed.url, filed.key) if filed.url.startswith('http') else escape(filed.key)}."
            if filed
            else ""
        )
        now = next((card for card in cards if card.status == "open"), None)
        current = f" The current card is version {now.version}, `{now.draft_hash[:SHORT]}`." if now else " No card is open now."
        texts = {
            "forbidden": f"You cannot decide this: {escape(body['text'].partition(': ')[2])}",
            "unknown": f"Nothing was decided: that card was never shown in this conversation.{current}",
            "decided": f"Already approved by {by}.{as_ticket}",
            "discarded": f"Already discarded by {by}.{current}",
            "stale": f"Nothing was decided: that card is no longer current.{current}",
        }
        since = [FieldChange.model_validate(change) for change in body["diff"]]
        text = texts.get(body["row"], escape(body["text"]))
        show = where if body["row"] in ("stale", "unknown", "discarded") else ""
        await self._whisper(talk, effect, body["to"], text, blocks.answer_blocks(text, since, show))

    async def _whisper(self, talk: "_Talk", effect: Effect, user: str, text: str, shown: Sequence[Block] | None = None) -> None:
        """Says something to one person: in the conversation, or where that cannot be, in a direct message."""
        channel = effect.origin or talk.channel
        answered = effect.body["kind"] in ("decision", "contested")  # of something in the thread; else there may be none
        shown = list(shown or [blocks.section(cut(text, blocks.BLOCK_CHARACTERS))])
        said: dict[str, Any] = {"user": user, "text": cut(text, blocks.FALLBACK), "blocks": shown}
        if channel == talk.channel and answered:
            said["thread_ts"] = talk.thread_ts
        try:
            await self._call(talk, "chat_postEphemeral", channel, **said)
        except SlackApiError as error:
            if passes(error):
                raise
            opened = await talk.workspace.client.conversations_open(users=user)
            direct, there = opened["channel"]["id"], effect.attempts > 0
            await self._post_once(talk, direct, effect.key, said["text"], shown, maybe_there=there, root=True)

    async def _post(self, talk: "_Talk", effect: Effect, text: str, shown: Sequence[Block]) -> None:
        await self._post_once(talk, talk.channel, effect.key, text, shown, maybe_there=effect.attempts > 0)

    async def _run(self, talk: "_Talk", effect: Effect) -> None:
        """Finds out which session an act is for, and hands it over to that."""
        body, team = effect.body, talk.workspace.team
        if body["kind_of"] == "comment":
            await self._comment(effect.key, body["ticket"], body["user"], body["text"])
            said = f"<@{body['user']}> commented on {escape(body['ticket'])}: {escape(cut(body['text'], 500))}"
            await self._post(talk, effect, said, [blocks.section(said)])
            return
        if body["kind_of"] == "new":
            said = f"<@{body['user']}> starts a ticket: {escape(cut(body['text'], 2000))}" if body["text"] else (
                f"<@{body['user']}> starts a ticket. What is it about? Answer in this thread.")  # fmt: skip
            try:
                ts = await self._post_once(
                    talk, talk.channel, effect.key, said, [blocks.section(said)], maybe_there=effect.attempts > 0, root=True
                )
            except SlackApiError as error:
                if passes(error):
                    raise
                said = "I am not in that channel: invite me with /invite, then ask again."
                await self._whisper(talk, effect, body["user"], said)
                return
            reply = Reply(text=body["text"], by=body["user"])
            surface = {"kind": "command", "ts": ts, "user_team": team}
            session_id = session_of(team, talk.channel, ts)
            if not body["text"]:
                reply.show = True
        else:
            try:
                found = await self._call(talk, "conversations_replies", talk.channel, ts=body["ts"], limit=1)
            except SlackApiError as error:
                if passes(error):
                    raise
                await self._whisper(talk, effect, body["user"], "I could not read that message: invite me with /invite.")
                return
            if (await talk.workspace.user(body["user"])).get("is_bot"):
                return
            root = found["messages"][0].get("thread_ts") or body["ts"]
            reply, session_id = Reply(by=body["user"]), session_of(team, talk.channel, root)
            surface = {"kind": "reaction", "ts": body["ts"], "user_team": team}
        await self._accept(
            Event(event_id=effect.key, session_id=session_id, origin=talk.channel, surface=surface, answer=reply)
        )

    async def _clear_status(self, session_id: str) -> None:
        """In a direct conversation: takes away that the agent is working, which not every answer does."""
        team, channel, thread_ts = session_id.split(":")
        if channel.startswith("D"):
            await (await self._workspaces.of(team)).show_status(channel, thread_ts, "")

    # --- Calls -------------------------------------------------------------------------------------------------------

    async def _post_once(
        self,
        talk: "_Talk",
        channel: str,
        key: str,
        text: str,
        shown: Sequence[Block],
        *,
        maybe_there: bool,
        root: bool = False,
    ) -> str:
        """Posts a message, unless one with this key is there already; gives its `ts`."""
        thread_ts = None if root or channel != talk.channel else talk.thread_ts
        if maybe_there and (ts := await self._find(talk, channel, thread_ts, key)):
            await self._update(talk, channel, ts, cut(text, blocks.FALLBACK), shown)  # it may show what was true before
            return ts
        posted = await self._call(
            talk,
            "chat_postMessage",
            channel,
            text=cut(text, blocks.FALLBACK),
            blocks=list(shown),
            thread_ts=thread_ts,
            metadata={"event_type": EVENT_TYPE, "event_payload": {"key": key}},
            unfurl_links=False,
            unfurl_media=False,
        )
        return str(posted["ts"])

    async def _find(self, talk: "_Talk", channel: str, thread_ts: str | None, key: str) -> str:
        """The `ts` of the message that carries this key; empty if there is none."""
        cursor = ""
        for _ in range(20):
            options: dict[str, Any] = {"limit": 200, "include_all_metadata": True, "cursor": cursor or None, "ts": thread_ts}
            method = "conversations_replies" if thread_ts else "conversations_history"
            page = await self._call(talk, method, channel, **options)
            for message in page["messages"]:
                if message.get("metadata", {}).get("event_payload", {}).get("key") == key:
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                break
        return ""

    async def _update(self, talk: "_Talk", channel: str, ts: str, text: str, shown: Sequence[Block]) -> bool:
        """Makes a message show this; False if it is no longer there."""
        found = await self._call(talk, "chat_update", channel, ts=ts, text=text, blocks=list(shown), missing_is_fine=True)
        return found is not None

    async def _call(self, talk: "_Talk", method: str, channel: str, *, missing_is_fine: bool = False, **arguments: Any) -> Any:
        """One call of Slack's API. Raises _Limited while Slack wants a pause; a call that got no answer may have acted."""
        if (left := self._resting.get((method, channel), 0.0) - time.monotonic()) > 0:
            raise _Limited(left)
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            async with asyncio.timeout(15):
                return await getattr(talk.workspace.client, method)(channel=channel, **given)
        except SlackApiError as error:
            if (pause := pause_of(error)) is not None:
                self._resting[method, channel] = time.monotonic() + pause
                raise _Limited(pause) from None
            if missing_is_fine and named(error) in ("message_not_found", "cant_update_message", "cant_delete_message"):
                return None
            raise


def _merged(effects: Sequence[Effect]) -> list[tuple[Effect, list[Effect]]]:
    """What is said right before a question of the same event goes into the question's message: one message, not two."""
    merged: list[tuple[Effect, list[Effect]]] = []
    for effect in effects:
        before = merged[-1][0] if merged else None
        together = before and before.body["kind"] == "say" and before.key.rpartition(":")[0] == effect.key.rpartition(":")[0]
        if before and together and effect.body["kind"] == "question":
            said = {**effect.body, "said": [before.body["text"]]}
            merged[-1] = (effect.model_copy(update={"body": said}), [before])
        else:
            merged.append((effect, []))
    return merged


class _Talk:
    """The conversation that an effect belongs to."""

    def __init__(self, workspace: Workspace, session_id: str, channel: str, thread_ts: str) -> None:
        self.workspace, self.session_id, self.channel, self.thread_ts = workspace, session_id, channel, thread_ts

    def permalink(self) -> str:
        """Where it begins."""
        return self.workspace.permalink(self.channel, self.thread_ts)


def _filed(body: dict[str, Any]) -> tuple[str, list[Block]]:
    key = link(body["url"], body["key"]) if body["url"].startswith(("http://", "https://")) else escape(body["key"])
    text = f":white_check_mark: Filed as *{key}*."
    return text, [blocks.section(text)]
