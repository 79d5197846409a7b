"""The slash command `/signoff`: help, what waits for somebody, a new ticket, and the settings of a channel."""

import asyncio
from collections.abc import Sequence
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.web.async_client import AsyncWebClient

from agent.faults import point
from agent.protocol import AskRequest, PreviewRequest, from_hitl
from agent.sealing import SHORT
from agent.surfaces import Standing
from slack_adapter import approvers
from slack_adapter.answers import OLD_FORM, Body, answering, refuse, show_form, submission, team, tell
from slack_adapter.approvers import Person
from slack_adapter.desk import Desk
from slack_adapter.inbound import command_word, errand_session, thread_of
from slack_adapter.pieces import pieces, section
from slack_adapter.setup_form import SETUP, read_setup, setup_form
from slack_adapter.text import escape, link
from slack_adapter.workspaces import UNANSWERED, Workspace

HELP = """*Signoff* drafts a ticket with you, shows the exact ticket, and files it once somebody approves it.
• Mention me in a channel or thread, write me directly, put :ticket: on a message, or use its shortcut *Draft a ticket*.
• `/signoff new` and what it is about: starts a ticket here.
• `/signoff status`: what waits for you.
• `/signoff setup`: where this channel's tickets go, and who may approve."""
IN_DIRECT = "Direct messages follow a channel's settings: use /signoff setup in a channel."
BY_FILE = "This channel is settled in the settings file, so it cannot be changed here."
ADMINS = "Only an admin of the workspace can settle where the cards of direct messages go."
NO_ANSWER = "Slack does not say who you are just now: press Save again."

ASK_SECONDS = 1.5
"""Seconds that Slack has to say who somebody is, where that is asked before an acknowledgement."""

LISTED = 20
"""Lines of `/signoff status`."""

LOOKED_INTO = 30
"""Channels of which it is asked whether somebody is in them, those of the newest conversations."""


class Commands:
    """The listeners of `/signoff` and of its form."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: AsyncApp) -> None:
        """Tells the app which listener answers what."""
        app.command("/signoff")(self.command)
        app.view(SETUP)(self.save_setup)

    async def command(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """`/signoff`, with help, status, new or setup."""
        word = command_word(body)
        match word:
            case "new":
                await ack("I start a ticket here.")  # it is durable already
            case "status":
                await ack(**await self._status(body["user_id"], team(context)))
            case "setup":
                await ack()
                acted = {"user": {"id": body["user_id"]}, "channel": {"id": body["channel_id"]}}
                async with answering(client, acted):
                    await self._setup({**acted, "trigger_id": body["trigger_id"]}, team(context), client)
            case "" | "help":
                await ack(HELP)
            case _:
                await ack(f"I do not know `{escape(word[:40])}`.\n{HELP}")

    async def _status(self, user: str, team_id: str) -> dict[str, Any]:
        """What waits for the one who asks, with links."""
        workspace = await self._desk.workspaces.of(team_id)
        waiting = [one for one in await self._desk.sessions.unsettled(workspace.team) if _waits_for(one, user)]
        others = [*dict.fromkeys(_place(one)[0] for one in waiting if one.state.get("requester") != user)]
        readable, unknown = await _readable(workspace, others[:LOOKED_INTO], user)
        mine = [one for one in waiting if one.state.get("requester") == user or _place(one)[0] in readable]
        lines = [_line(workspace, one, user) for one in mine[:LISTED]] + ["• and more."] * (len(mine) > LISTED)
        text = "\n".join(["*This waits for you:*", *lines]) if lines else "Nothing waits for you."
        if unknown or len(others) > LOOKED_INTO:
            text += "\nThere may be more: I could not look into every channel just now."
        return {"text": text, "blocks": [section(piece) for piece in pieces(text)]}

    async def _setup(self, acted: Body, team_id: str, client: AsyncWebClient) -> None:
        channel = acted["channel"]["id"]
        if channel.startswith("D") or self._desk.settings.fixed(channel):
            await tell(client, acted, IN_DIRECT if channel.startswith("D") else BY_FILE)
            return
        settings = self._desk.settings
        setting, home = await settings.of(team_id, channel), await settings.home(team_id) == channel
        await show_form(client, acted, setup_form(team_id, channel, setting, tuple(self._desk.catalogue.trackers), home=home))

    async def save_setup(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, view: Body) -> None:
        """Keeps what was settled, if its author may, and has the open cards that it is about follow it."""
        try:
            team_id, channel, setting, home, wrong = read_setup(view)
            if team_id != team(context):
                raise ValueError("of another workspace")
            if setting.tracker not in self._desk.catalogue.trackers and not wrong:
                raise ValueError("of a process that has other trackers")
        except ValueError:
            await refuse(ack, view, OLD_FORM)
            return
        settings, user = self._desk.settings, body["user"]["id"]
        was_home = await settings.home(team_id) == channel
        if not wrong and (refused := await self._may_settle(body, team_id, channel, all_direct=home != was_home)):
            wrong = {"options" if refused == ADMINS else "": refused}
        if wrong:
            await refuse(ack, view, wrong)
            return
        await settings.store(team_id, channel, setting, user)
        point("setting-stored")
        if home != was_home:
            await settings.set_home(team_id, channel if home else "", user)
        key = submission(body, view)
        settled = {"kind": "errand", "kind_of": "settled", "user": user, "direct": home or was_home}
        await self._desk.outbox.send(key, errand_session(team_id, channel, key), channel, settled)
        await ack()

    async def _may_settle(self, body: Body, team_id: str, channel: str, *, all_direct: bool) -> str:
        """Why somebody may not change the settings; empty for approvers and admins, and what is everybody's for admins."""
        workspace, person = await self._desk.workspaces.of(team_id), body["user"]
        who = Person(person["id"], person.get("team_id") or "")
        rule = (await self._desk.settings.of(team_id, channel)).approvers
        try:
            async with asyncio.timeout(ASK_SECONDS):
                user = await workspace.user(who.user)
                admin = (user.get("is_admin") or user.get("is_owner")) and not approvers.outside(workspace, user, who)
                if admin or all_direct:
                    return "" if admin else ADMINS
                verdict = await approvers.verdict(workspace, rule, channel, who, requester="")
        except UNANSWERED:
            return NO_ANSWER
        return "" if verdict.allowed else f"Only who may approve here, or an admin, may change this: {verdict.why}"


async def _readable(workspace: Workspace, channels: Sequence[str], user: str) -> tuple[set[str], bool]:
    """Those of the channels that somebody is in, and whether there are some of which Slack does not say it in time."""

    async def is_member(channel: str) -> bool | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return user in await workspace.members(channel)
        except UNANSWERED:
            return None

    found = await asyncio.gather(*(is_member(channel) for channel in channels))
    return {channel for channel, member in zip(channels, found, strict=True) if member}, None in found


def _place(standing: Standing) -> tuple[str, str]:
    """The channel and the message where a session is to be seen: its card, or else where it begins."""
    if standing.posted and standing.posted.ts:
        return standing.posted.channel, standing.posted.ts[-1]
    return thread_of(standing.session_id)


def _line(workspace: Workspace, standing: Standing, user: str) -> str:
    title = standing.state.get("draft", {}).get("title") or "A ticket without a title"
    return f"• {link(workspace.permalink(*_place(standing)), title)}: {_waits_for(standing, user)}"


def _waits_for(standing: Standing, user: str) -> str:
    """What a session waits for, if it may be for this person."""
    match from_hitl(standing.pending.request) if standing.pending else None:
        case PreviewRequest() as request:
            return f"a decision on version {request.version}, `{request.draft_hash[:SHORT]}`"
        case AskRequest() as request if standing.state.get("requester") == user:
            return f"an answer: {escape(request.questions[0].text)}"
    return ""
