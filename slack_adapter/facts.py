"""What a turn has to know of Slack before it is taken: what was said in readable words, and whether who clicked may decide."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError

from agent.draft import Attachment
from agent.ports import NotYet, Snapshot, Unheard, Verdict
from agent.protocol import Decision, Reply
from agent.surfaces import Outbox
from slack_adapter import approvers
from slack_adapter.approvers import Person
from slack_adapter.settings import Settings
from slack_adapter.text import names, readable, without_mention
from slack_adapter.workspaces import UNANSWERED, Workspace, Workspaces, named, pause_of

THREAD_MESSAGES = 100
"""Messages of a running thread that are read, the newest."""

FILE_LIMIT = 50_000_000
"""Bytes of a file that are read for its digest; a larger one is sealed by its id alone."""

INVITE = "I am not in that channel, so I can neither read nor write there: invite me with /invite, then ask again."
ABSENT = ("not_in_channel", "channel_not_found", "missing_scope")


class SlackFacts:
    """`agent.ports.Facts` for Slack."""

    def __init__(self, workspaces: Workspaces, settings: Settings, outbox: Outbox) -> None:
        self._workspaces, self._settings, self._outbox = workspaces, settings, outbox

    async def hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        """The reply in readable words; when it brings the agent into a thread, with what was said there before."""
        event = snapshot.event
        if reply.amends:
            return reply
        team, channel, thread_ts = event.session_id.split(":")
        workspace = await self._workspaces.of(team)
        reply.setting = (await self._settings.of(team, await self._settings.place(team, channel))).setting()
        kind, ts = event.surface.get("kind", ""), event.surface.get("ts", "")
        if kind in ("form", "settled", "click"):
            return reply
        if kind in ("mention", "shortcut", "reaction") and not snapshot.state:
            reply.thread = await self._thread(workspace, channel, thread_ts, ts, kind)
            if kind != "mention" and not reply.thread:
                raise Unheard("I could not read that message any more: mention me in the thread and say what it is about.")
        if kind in ("shortcut", "reaction"):
            return reply if reply.thread else reply.model_copy(update={"show": True})
        if channel.startswith("D"):
            await workspace.show_status(channel, thread_ts, "is working on it …")
        message = {"text": reply.text, "ts": ts, "thread_ts": thread_ts, "files": event.surface.get("files", [])}
        heard = await self._heard(workspace, channel, message)
        return reply.model_copy(update={name: getattr(heard, name) for name in ("text", "permalink", "files")})

    async def _heard(self, workspace: Workspace, channel: str, message: Mapping[str, Any]) -> Reply:
        ts = message["ts"]
        text = without_mention(message.get("text") or "", workspace.bot_user)
        files = [file for file in message.get("files") or [] if isinstance(file, Mapping) and file.get("id")]
        return Reply(
            text=await readable(text, workspace.name),
            by=message.get("user", ""),
            event_id=f"{workspace.team}:{channel}:{ts}",
            addressed=names(message.get("text") or "", workspace.bot_user),
            permalink=workspace.permalink(channel, ts, message.get("thread_ts", "")),
            files=list(await asyncio.gather(*(_attachment(workspace, file) for file in files))),
        )

    async def _thread(self, workspace: Workspace, channel: str, thread_ts: str, ts: str, kind: str) -> list[Reply]:
        """What people said in the thread: before a mention, or with the message that was pointed at."""
        found: dict[str, Mapping[str, Any]] = {}  # by ts: a page may begin with the thread's first message again
        cursor = ""
        try:
            while True:
                page = await workspace.client.conversations_replies(
                    channel=channel, ts=thread_ts, limit=200, cursor=cursor or None
                )
                found |= {message["ts"]: message for message in page["messages"]}
                cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
                if not cursor:
                    break
        except SlackApiError as error:
            if (seconds := pause_of(error)) is not None:
                raise NotYet(seconds) from None
            if named(error) in ABSENT:
                raise Unheard(INVITE) from None
            if named(error) != "thread_not_found":
                raise
        messages = sorted(found.values(), key=lambda one: float(one["ts"]))
        people = [one for one in messages if one.get("user") and not one.get("bot_id") and one["user"] != workspace.bot_user]
        pointed = [] if kind == "mention" else [one for one in people if one["ts"] == ts]
        before = [one for one in people if float(one["ts"]) < float(ts)] if kind == "mention" else people
        read = before[-THREAD_MESSAGES:]
        if pointed and pointed[0] not in read:
            read = [*pointed, *read[1:]]
        heard = [await self._heard(workspace, channel, one) for one in read]
        for reply, one in zip(heard, read, strict=True):
            reply.addressed = reply.addressed or one in pointed
        return heard

    async def may_decide(self, snapshot: Snapshot, decision: Decision) -> Verdict:
        """Whether the policy of the session's channel lets this person approve, or this person may discard."""
        event = snapshot.event
        team, channel, _ = event.session_id.split(":")
        workspace = await self._workspaces.of(team)
        if why := await self._elsewhere(snapshot):
            return Verdict(allowed=False, why=why)
        requester = snapshot.state.get("requester", "")
        if decision.type == "reject" and decision.by == requester:
            return Verdict()
        place = await self._settings.place(team, channel)
        rule = (await self._settings.of(team, place)).approvers
        person = Person(decision.by, event.surface.get("user_team") or "")
        return await approvers.verdict(workspace, rule, place, person, requester)

    async def _elsewhere(self, snapshot: Snapshot) -> str:
        """Why a click that came from another message than its card's does not count; empty if it is the card's own."""
        clicked, surface = snapshot.clicked, snapshot.event.surface
        if clicked is None or not surface.get("ts"):
            return ""
        cards = await self._outbox.cards(snapshot.event.session_id)
        posted = next((card.posted for card in cards if card.preview_id == clicked.preview_id), None)
        if posted and (surface["channel"] != posted.channel):
            return "that is a copy of the card; the one that counts is in its own conversation."
        return ""


def _slacks_own(url: str, api: str) -> bool:
    """Whether Slack itself serves this: the token must not go anywhere else, such as to a linked document's host."""
    given, ours = urlsplit(url), urlsplit(api)
    return (given.scheme == "https" and (given.hostname or "").endswith(".slack.com")) or given[:2] == ours[:2]


async def _attachment(workspace: Workspace, file: Mapping[str, Any]) -> Attachment:
    """The file by its id and digest; the digest is missing if its bytes are not to be had."""
    if not file.get("url_private"):  # of a file from another organisation the event gives the id alone
        with suppress(*UNANSWERED):
            file = (await workspace.client.files_info(file=file["id"]))["file"]
    sealed = Attachment(id=file["id"], name=str(file.get("name", "")), url=str(file.get("permalink", "")))
    url, size = str(file.get("url_private", "")), file.get("size") or 0
    if size > FILE_LIMIT or not _slacks_own(url, workspace.client.base_url):
        return sealed
    digest = hashlib.sha256()
    headers = {"Authorization": f"Bearer {workspace.client.token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http,
            http.get(url, headers=headers) as got,
        ):
            if got.status != 200 or got.content_type == "text/html":  # Slack answers with a login page, not with an error
                return sealed
            read = 0
            async for chunk in got.content.iter_chunked(65_536):
                digest.update(chunk)
                if (read := read + len(chunk)) > FILE_LIMIT:
                    return sealed
    except (aiohttp.ClientError, TimeoutError, OSError):
        return sealed
    return sealed.model_copy(update={"sha256": digest.hexdigest()})
