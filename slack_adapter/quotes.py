"""What messages quote: other messages that they link or pass on, and the text of small files. It is read along, bounded.

Nothing of it may be lost to people who could not read it: another channel is read only if it is public, and only for who is
no guest. What cannot be read now is left out; nobody waits for it.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.draft import TEXT_LIMIT
from agent.ports import Event
from agent.protocol import Reply
from slack_adapter.approvers import Person, outside
from slack_adapter.files import Files
from slack_adapter.inbound import thread_of
from slack_adapter.text import PASSED_ON, cut, readable, said, shared
from slack_adapter.workspaces import UNANSWERED, Workspace, asked

Message = Mapping[str, Any]

LINKS = PASSED_ON
"""Messages that are read along with an event, of those it links or passes on the newest."""

SNIPPETS = 3
"""Files whose text is read along with it."""

SECONDS = 10.0
"""For so long an event waits for one of them."""

TEXTUAL = ("application/json", "application/xml", "application/x-yaml", "application/yaml", "application/toml")
"""Kinds of files that are text and do not say so."""

_LINK = re.compile(r"<(https://[^/<>|\s]+/)archives/([CDG][A-Z0-9]{1,20})/p(\d{1,20})(\d{6})(?:\?[^<>|\s]*)?(?:\|[^<>]*)?>")


class Quotes:
    """Reads what is quoted."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def read(self, workspace: Workspace, event: Event, messages: Sequence[Message]) -> list[Reply]:
        """What these messages quote, the newest of which come first; each under an id that no event has."""
        own = thread_of(event.session_id)[0]
        known = {(own, one["ts"]) for one in messages}
        links: dict[tuple[str, str], tuple[Mapping[str, Any], Message]] = {}
        for one in messages:
            for link in [*shared(one), *_links_in(workspace, one)]:
                links.setdefault((link["channel_id"], link["ts"] or link["text"]), (link, one))
        named = [pair for place, pair in links.items() if place not in known][:LINKS]
        files = [(file, one) for one in messages for file in one.get("files") or [] if isinstance(file, Mapping)]
        texts = [(file, one) for file, one in files if file.get("id") and _is_text(file)][:SNIPPETS]
        quoted, read = await asyncio.gather(
            asyncio.gather(*(self._message(workspace, own, one, link) for link, one in named)),
            asyncio.gather(*(self._text(workspace, one, file) for file, one in texts)),
        )
        kinds = {"quoted": quoted, "file": read}
        return [
            reply.model_copy(update={"event_id": f"{event.event_id}:{kind}:{n}"})
            for kind, replies in kinds.items()
            for n, reply in enumerate(filter(None, replies))
        ]

    async def passed_on(self, workspace: Workspace, own: str, message: Message) -> str:
        """What a message says that only passes others on."""
        read = [await self._message(workspace, own, message, one) for one in shared(message)]
        return "\n".join(one.text for one in read if one)

    async def _message(self, workspace: Workspace, own: str, by: Message, link: Mapping[str, Any]) -> Reply | None:
        channel, ts = link["channel_id"], link["ts"]
        author, text, thread_ts = link["author_id"], link["text"], ""
        try:
            async with asyncio.timeout(SECONDS):
                if channel not in ("", own) and not await _may_be_read(workspace, channel, by.get("user") or ""):
                    return None
                if not text:
                    page = await asked(workspace.client.conversations_replies, channel=channel, ts=ts, limit=1)
                    found: Message = next((one for one in page["messages"] if one.get("ts") == ts), {})
                    author, text, thread_ts = found.get("user") or "", said(found), found.get("thread_ts") or ""
                if not text or author == workspace.bot_user:
                    return None
                text = await readable(text, workspace.name)
        except UNANSWERED:
            return None
        permalink = workspace.permalink(channel, ts, thread_ts) if channel and ts else ""
        return Reply(text=cut(text, TEXT_LIMIT), by=author, permalink=permalink, quoted=True, addressed=False)

    async def _text(self, workspace: Workspace, message: Message, file: Mapping[str, Any]) -> Reply | None:
        if not (text := await self._files.text(workspace, file)):
            return None
        by, permalink = file.get("user") or message.get("user") or "", str(file.get("permalink") or "")
        return Reply(text=cut(text, TEXT_LIMIT), by=str(by), permalink=permalink, quoted=True, addressed=False)


def _links_in(workspace: Workspace, message: Message) -> list[dict[str, str]]:
    """The messages of this workspace that a message links, as if it passed them on without their words."""
    return [
        {"channel_id": found[2], "ts": f"{found[3]}.{found[4]}", "author_id": "", "text": ""}
        for found in _LINK.finditer(message.get("text") or "")
        if found[1] == workspace.url
    ]


async def _may_be_read(workspace: Workspace, channel: str, person: str) -> bool:
    """Whether everybody in the workspace could read this channel, and this person, too. Raises one of UNANSWERED."""
    now = await asked(workspace.client.conversations_info, channel=channel)  # not as it was some minutes ago
    about = now["channel"]
    if about.get("is_private") is not False or about.get("is_im") or about.get("is_mpim"):
        return False
    return not outside(workspace, await workspace.user(person), Person(person, workspace.team))


def _is_text(file: Mapping[str, Any]) -> bool:
    """Whether a file is text as Slack sees it. A page of HTML cannot be told from Slack's login page."""
    kind = str(file.get("mimetype") or "")
    return kind != "text/html" and (file.get("mode") == "snippet" or kind.startswith("text/") or kind in TEXTUAL)
