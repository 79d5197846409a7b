"""What a turn has to know of Slack before it is taken: what was said in readable words, and whether who clicked may decide."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.draft import TicketDraft
from agent.listening import reads
from agent.operations import on_mark
from agent.ports import Event, NotYet, Snapshot, Unheard, Unreachable, Verdict
from agent.protocol import Decision, Question, Reply, Settlement
from slack_adapter import approvers, marks
from slack_adapter.approvers import Person
from slack_adapter.desk import Desk
from slack_adapter.files import Files
from slack_adapter.inbound import SPOKEN, read_message, thread_of
from slack_adapter.paging import Paging
from slack_adapter.quotes import Quotes
from slack_adapter.text import names, readable, said, without_mention
from slack_adapter.workspaces import ABSENT, REVOKED, UNANSWERED, NotInstalled, Workspace, asked, named, passes, pause_of

THREAD_MESSAGES = 100
"""Messages of a running thread that are read, the newest."""

CALLS = ("mention", "command")
"""The kinds of events that call the agent into a thread with a message of its own; what is said after that are events."""

POINTERS = ("shortcut", "reaction")
"""Those that point to a message; the whole thread is read."""

ELSEWHERE = "Nothing was changed: that button counts only in its own conversation."
NO_MARK = "Nothing was changed: the card no longer marks that, because somebody settled it before."
INVITE = "I am not in that channel, so I can neither read nor write there: invite me with /invite, then ask again."


class SlackFacts:
    """`agent.ports.Facts` for Slack."""

    def __init__(self, desk: Desk, *, overhears: bool) -> None:
        self._desk, self._overhears = desk, overhears
        self._files, self._paging = Files(), Paging()
        self._quotes = Quotes(self._files)

    @contextmanager
    def _reaching(self, snapshot: Snapshot) -> Iterator[None]:
        """Raises Unreachable or NotYet for what may be better later."""
        try:
            yield
        except SlackApiError as error:
            if named(error) in REVOKED:
                self._desk.workspaces.forget(snapshot.event.session_id.partition(":")[0])
            if (seconds := pause_of(error)) is not None:
                raise NotYet(seconds) from None
            if not passes(error):
                raise
            raise Unreachable(named(error) or "Slack is ill") from error
        except (NotInstalled, *UNANSWERED) as error:
            raise Unreachable(str(error) or type(error).__name__) from error

    async def hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        """The reply in readable words; when it brings the agent into a thread, with what was said there before."""
        with self._reaching(snapshot):
            return await self._hear(snapshot, reply)

    async def _hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        event = snapshot.event
        if reply.amends:
            return reply
        team, channel, thread_ts = event.session_id.split(":")
        workspace = await self._desk.workspaces.of(team)
        settings = self._desk.settings
        setting = (await settings.of(team, await settings.place(team, channel))).setting()
        reply.setting = await self._desk.catalogue.setting(setting, snapshot.state)
        kind, ts = event.surface.get("kind", ""), event.surface.get("ts", "")
        if kind == "click":
            return await self._pressed(snapshot, reply)
        if kind in ("form", "settled"):
            return reply
        read: list[Mapping[str, Any]] = []
        if kind in (*CALLS, *POINTERS) and not snapshot.state:
            read, reply.thread, reply.left_out = await self._thread(workspace, snapshot, reply.by)
            if kind in POINTERS and not reply.thread:
                raise Unheard("I could not read that message any more: mention me in the thread and say what it is about.")
        if kind in POINTERS:
            reply.thread += await self._quoted(workspace, event, read)
            return reply if reply.thread else reply.model_copy(update={"show": True})
        if channel.startswith("D"):
            await workspace.show_status(channel, thread_ts, "is working on it …")
        message = {"text": reply.text, "ts": ts, "thread_ts": thread_ts, "user": reply.by}
        message |= {name: event.surface[name] for name in ("files", "attachments") if name in event.surface}
        heard = await self._heard(workspace, channel, message)
        reply.thread += await self._quoted(workspace, event, [*read, message])
        return reply.model_copy(update={name: getattr(heard, name) for name in ("text", "permalink", "files")})

    async def _pressed(self, snapshot: Snapshot, reply: Reply) -> Reply:
        """What a button says that names an option, or a mark, of what the session waits for now."""
        surface, state = snapshot.event.surface, snapshot.state
        if surface.get("channel") not in await self._desk.places(snapshot.event.session_id):
            raise Unheard(ELSEWHERE)
        if reply.question:
            asked = [Question.model_validate(one) for one in state.get("asking", [])]
            options = next((one.options for one in asked if one.id == reply.question), [])
            return reply.model_copy(update={"text": "".join(options[surface["option"] :][:1])})
        if "mark" in surface:
            draft = TicketDraft.model_validate(state.get("draft", {}))
            if not (pressed := marks.named(surface["mark"], draft.unsaid)):
                raise Unheard(NO_MARK)
            said = "\n".join(f"{surface['act']} {one.field}: {one.value}" for one in pressed)
            edits = [on_mark(surface["act"], one) for one in pressed]
            return reply.model_copy(update={"edits": edits, "text": said})
        return reply

    async def _quoted(self, workspace: Workspace, event: Event, read: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """What messages quote, if whoever listens can tell a quote from what is said to it."""
        return await self._quotes.read(workspace, event, read[::-1]) if self._overhears else []

    async def _heard(self, workspace: Workspace, channel: str, message: Mapping[str, Any]) -> Reply:
        ts, text = message["ts"], said(message)
        if not text and not self._overhears:
            text = await self._quotes.passed_on(workspace, channel, message)
        files = [file for file in message.get("files") or [] if isinstance(file, Mapping) and file.get("id")]
        return Reply(
            text=await readable(without_mention(text, workspace.bot_user), workspace.name),
            by=message.get("user") or "",
            event_id=f"{workspace.team}:{channel}:{ts}",
            addressed=names(message.get("text") or "", workspace.bot_user),
            permalink=workspace.permalink(channel, ts, message.get("thread_ts", "")),
            files=list(await asyncio.gather(*(self._files.attachment(workspace, file) for file in files))),
        )

    async def _thread(
        self, workspace: Workspace, snapshot: Snapshot, requester: str
    ) -> tuple[list[Mapping[str, Any]], list[Reply], int]:
        """What was said in the thread that the agent is called into, and is read: before the call, and where it points to.

        Twice, as messages and as replies; and how many older ones are left out.
        """
        event = snapshot.event
        team, channel, thread_ts = event.session_id.split(":")
        called, ts = event.surface["kind"] in CALLS, event.surface["ts"]
        read = []
        for message in await self._messages(workspace, event.session_id):
            person = message.get("user") and not message.get("bot_id") and message["user"] != workspace.bot_user
            person = person and message.get("subtype") in SPOKEN
            pointed = not called and message["ts"] == ts and message.get("user") != workspace.bot_user
            if called and float(message["ts"]) > float(ts):
                await self._accept(team, channel, thread_ts, message, workspace.bot_user)
            elif (person or pointed) and not (called and message["ts"] == ts):
                addressed = bool(pointed) or names(message.get("text") or "", workspace.bot_user)
                about = Reply(by=message.get("user") or "", addressed=addressed)
                if reads(about, requester, overhears=self._overhears):
                    read.append((message, addressed))
        kept = [one for n, one in enumerate(read) if n >= len(read) - THREAD_MESSAGES or one[0]["ts"] == ts]
        heard = await asyncio.gather(*(self._heard(workspace, channel, message) for message, _ in kept))
        for reply, (_, addressed) in zip(heard, kept, strict=True):
            reply.addressed = addressed
        return [message for message, _ in kept], list(heard), len(read) - len(kept)

    async def _messages(self, workspace: Workspace, session_id: str) -> list[Mapping[str, Any]]:
        """The messages of a thread, the oldest first; none if it is gone. Raises Unheard."""
        channel, thread_ts = thread_of(session_id)

        async def page(cursor: str | None) -> Any:
            asking = {"channel": channel, "ts": thread_ts, "limit": 200, "cursor": cursor}
            return await asked(workspace.client.conversations_replies, **asking)

        try:
            found = await self._paging.read(session_id, page, "messages")
        except SlackApiError as error:
            if named(error) in ABSENT:
                raise Unheard(INVITE) from None
            if named(error) != "thread_not_found":
                raise
            return []
        by_ts = {message["ts"]: message for message in found}  # a page may begin with the thread's first message again
        return sorted(by_ts.values(), key=lambda one: float(one["ts"]))

    async def _accept(self, team: str, channel: str, thread_ts: str, message: Mapping[str, Any], bot_user: str) -> None:
        """A reply that Slack may have told us of before the call it follows, when there was no session to take it."""
        told = {"type": "message", **message, "channel": channel, "thread_ts": thread_ts, "edited": None}
        if (came := read_message(team, told, bot_user)) and isinstance(came.taken, Event):
            await self._desk.accept(came.taken)

    async def may_decide(self, snapshot: Snapshot, decision: Decision | Settlement) -> Verdict:
        """Whether the policy of the session's channel lets this person approve, or this person may discard."""
        with self._reaching(snapshot):
            verdict = await self._may_decide(snapshot, decision)
            if not (verdict.allowed and isinstance(decision, Decision)):
                return verdict
            team, channel, thread_ts = snapshot.event.session_id.split(":")
            workspace = await self._desk.workspaces.of(team)
            known = {"name": await workspace.name("user", decision.by), "thread": workspace.permalink(channel, thread_ts)}
            return verdict.model_copy(update=known)

    async def _may_decide(self, snapshot: Snapshot, decision: Decision | Settlement) -> Verdict:
        event, settings = snapshot.event, self._desk.settings
        if event.surface.get("kind") == "operator":
            return Verdict()
        team, channel, _ = event.session_id.split(":")
        workspace, place = await self._desk.workspaces.of(team), await settings.place(team, channel)
        if await self._is_elsewhere(snapshot, {channel, place}):
            return Verdict(allowed=False, why="that is a copy of the card; the one that counts is in its own conversation.")
        requester = await self._requester(snapshot, decision)
        gives_up = decision.type == "reject" or (isinstance(decision, Settlement) and decision.act == "leave")
        if gives_up and decision.by == requester:
            return Verdict()
        rule = (await settings.of(team, place)).approvers
        person = Person(decision.by, event.surface.get("user_team") or "")
        return await approvers.verdict(workspace, rule, place, person, requester)

    async def _requester(self, snapshot: Snapshot, decision: Decision | Settlement) -> str:
        """Who asked for the ticket that the click is about; after *new* the session may be about another."""
        if isinstance(decision, Settlement) and snapshot.filing:
            for card in await self._desk.outbox.cards(snapshot.event.session_id):
                if card.preview_id == snapshot.filing.approval.preview_id and card.requester:
                    return card.requester
        return str(snapshot.state.get("requester", ""))

    async def _is_elsewhere(self, snapshot: Snapshot, places: set[str]) -> bool:
        """Whether a click came from another channel than its card's."""
        preview_id = snapshot.clicked.preview_id if snapshot.clicked else ""
        answer = snapshot.event.answer
        settles = isinstance(answer, Settlement)
        if settles and snapshot.filing:
            preview_id = snapshot.filing.approval.preview_id
        if not preview_id or snapshot.event.surface.get("kind") == "form":
            return False
        cards = await self._desk.outbox.cards(snapshot.event.session_id)
        posted = next((card.posted for card in cards if card.preview_id == preview_id), None)
        if settles or (isinstance(answer, Decision) and answer.same_as):  # its buttons are in the conversation, too
            return snapshot.event.surface.get("channel") not in {*places, *([posted.channel] if posted else [])}
        return snapshot.event.surface.get("channel") not in ({posted.channel} if posted else places)
