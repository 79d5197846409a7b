"""Errands: acts whose session is not known, or is not only one, when they come in; and comments, which change no session."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.faults import point
from agent.ports import Event, NotYet
from agent.protocol import Reply
from agent.surfaces import Effect, Outbox, Sessions
from agent.trackers import Later, Refused
from slack_adapter.inbound import session_of, thread_of
from slack_adapter.pieces import section
from slack_adapter.posting import Poster, Talk
from slack_adapter.text import cut, escape
from slack_adapter.workspaces import ABSENT, asked, named, passes

Accept = Callable[[Event], Awaitable[bool]]
Comment = Callable[[str, str, str, str, str], Awaitable[None]]
"""Adds a comment to a ticket: the session it was filed from, the comment's id (a repeat changes nothing), the ticket's key,
who says it, and the text. Raises Refused or Later."""

PATIENCE = 3600.0
"""Seconds after which a comment that cannot be added is given up, and its author told."""

LONGEST_PAUSE = 300.0
"""Seconds between two tries to add a comment."""

NOT_THERE = "I am not in that channel: invite me with /invite, then ask again."
NOT_READ = "I could not read that message: invite me with /invite."
NO_MESSAGE = "That message is gone: mention me in the conversation and say what it is about."


class Errands:
    """Runs errands; each may be run again, and leads to the same events."""

    def __init__(self, poster: Poster, outbox: Outbox, sessions: Sessions, accept: Accept, comment: Comment) -> None:
        self._poster, self._outbox, self._sessions, self._accept, self._comment = poster, outbox, sessions, accept, comment

    async def run(self, talk: Talk, effect: Effect) -> None:
        """Does what the effect asks for."""
        match effect.body["kind_of"]:
            case "comment":
                await self._add_comment(talk, effect)
            case "commented":
                text = effect.body["text"]
                await self._poster.once(talk, effect, text, [section(text)])
            case "settled":
                await self._settle(talk, effect)
            case "new":
                await self._begin(talk, effect)
            case "reaction":
                await self._react(talk, effect)

    async def _add_comment(self, talk: Talk, effect: Effect) -> None:
        """Adds it, then says so in the ticket's conversation."""
        session_id, ticket, user, text = (effect.body[name] for name in ("of", "ticket", "user", "text"))
        there = Talk(talk.workspace, session_id)
        try:
            name = await talk.workspace.name("user", user)
            point("comment-adding")
            await self._comment(session_id, effect.key, ticket, name, text)
            point("comment-added")
        except (Later, Refused) as error:
            if isinstance(error, Later) and (datetime.now(UTC) - effect.at).total_seconds() < PATIENCE:
                raise NotYet(error.seconds or min(2.0**effect.attempts, LONGEST_PAUSE)) from error
            await self._poster.whisper(there, effect, user, f"Your comment is not on {escape(ticket)}: {escape(str(error))}")
            return
        said = f"<@{user}> commented on {escape(ticket)}: {escape(cut(text, 500))}"
        news = {"kind": "errand", "kind_of": "commented", "text": said}
        await self._outbox.send(f"{effect.key}:said", session_id, talk.channel, news)

    async def _settle(self, talk: Talk, effect: Effect) -> None:
        """The open cards of a channel follow its settings; those of direct messages, too, where it is their home."""
        team, user = talk.workspace.team, effect.body["user"]
        following = await self._sessions.with_open_card(team, f"{talk.channel}:")
        if effect.body["direct"]:
            following += await self._sessions.with_open_card(team, "D")
        for session_id in following:
            await self._accept(
                Event(
                    event_id=f"{effect.key}:{session_id}",
                    session_id=session_id,
                    origin=thread_of(session_id)[0],
                    surface={"kind": "settled"},
                    answer=Reply(by=user, addressed=False, settled=True),
                )
            )
            where = thread_of(session_id)[0]  # who may approve stands on the card, and is nothing that the graph knows
            await self._outbox.send(f"{effect.key}:{session_id}", session_id, where, {"kind": "settled"})

    async def _begin(self, talk: Talk, effect: Effect) -> None:
        """A new ticket in a thread of its own, under a message that says whose it is."""
        user, text = effect.body["user"], effect.body["text"]
        about = f": {escape(cut(text, 2000))}" if text else ". What is it about? Answer in this thread."
        said = f"<@{user}> starts a ticket{about}"
        try:
            ts = await self._poster.once(talk, effect, said, [section(said)], root=True)
        except SlackApiError as error:
            if passes(error):
                raise
            await self._poster.whisper(talk, effect, user, NOT_THERE)
            return
        await self._hand_over(talk, effect, ts, {"kind": "command", "ts": ts}, Reply(text=text, by=user, show=not text))

    async def _react(self, talk: Talk, effect: Effect) -> None:
        """A reaction does not say which thread its message is in."""
        user, ts = effect.body["user"], effect.body["ts"]
        try:
            found = await asked(self._poster.call, talk, "conversations_replies", talk.channel, ts=ts, limit=1)
        except SlackApiError as error:
            if passes(error):
                raise
            await self._poster.whisper(talk, effect, user, NOT_READ if named(error) in ABSENT else NO_MESSAGE)
            return
        if (await talk.workspace.user(user)).get("is_bot"):
            return
        root = found["messages"][0].get("thread_ts") or ts
        await self._hand_over(talk, effect, root, {"kind": "reaction", "ts": ts}, Reply(by=user))

    async def _hand_over(self, talk: Talk, effect: Effect, root: str, surface: dict[str, Any], reply: Reply) -> None:
        session_id = session_of(talk.workspace.team, talk.channel, root)
        surface = {**surface, "user_team": talk.workspace.team}
        await self._accept(
            Event(event_id=effect.key, session_id=session_id, origin=talk.channel, surface=surface, answer=reply)
        )
