"""Files of a conversation, named by their ids and by the digest of their bytes, which are read for that and not kept.

What a small one says, if it is text, is read as something that is quoted.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError

from agent.draft import Attachment, clean
from agent.faults import point
from slack_adapter.workspaces import UNANSWERED, Workspace, asked, passes

AT_A_TIME = 4
SECONDS = 60.0
"""For so long an event waits for the digests of its files; those that take longer are sealed by their ids alone."""

FILE_LIMIT = 50_000_000
"""Bytes of a file that are read for its digest; a larger one is sealed by its id alone."""

TEXT_BYTES = 100_000
"""Bytes of a file whose text is read along."""


class Files:
    """Reads files, some at a time."""

    def __init__(self) -> None:
        self._some = asyncio.Semaphore(AT_A_TIME)

    async def attachment(self, workspace: Workspace, file: Mapping[str, Any]) -> Attachment:
        """The file by its id and digest; the digest is missing if its bytes are not to be had."""
        try:
            async with asyncio.timeout(SECONDS), self._some:
                return await _sealed(workspace, file)
        except TimeoutError:
            return _named(file)

    async def text(self, workspace: Workspace, file: Mapping[str, Any]) -> str:
        """What a small file says; empty if it is no text, or not to be had."""
        try:
            async with asyncio.timeout(SECONDS), self._some:
                file = await _known(workspace, file)
                text = b"".join([chunk async for chunk in _chunks(workspace, file, TEXT_BYTES)]).decode()
        except (*UNANSWERED, _NotHad, UnicodeDecodeError):
            return ""
        return "" if "\0" in text else text


class _NotHad(Exception):
    """The bytes of a file are not to be had."""


def _named(file: Mapping[str, Any]) -> Attachment:
    name, url = clean(str(file.get("name") or ""))[0], str(file.get("permalink") or "")
    return Attachment(id=file["id"], name=name, url=url)


def _slacks_own(url: str, api: str) -> bool:
    """Whether Slack itself serves this: the token must not go anywhere else, such as to a linked document's host."""
    given, ours = urlsplit(url), urlsplit(api)
    return (given.scheme == "https" and (given.hostname or "").endswith(".slack.com")) or given[:2] == ours[:2]


async def _sealed(workspace: Workspace, file: Mapping[str, Any]) -> Attachment:
    try:
        file = await _known(workspace, file)
    except SlackApiError as error:
        if passes(error):
            raise
    sealed, digest = _named(file), hashlib.sha256()
    try:
        async for chunk in _chunks(workspace, file, FILE_LIMIT):
            digest.update(chunk)
    except (_NotHad, aiohttp.ClientError, TimeoutError, OSError):
        return sealed
    return sealed.model_copy(update={"sha256": digest.hexdigest()})


async def _known(workspace: Workspace, file: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Slack says of a file; of one from another organisation the event gives the id alone. Raises SlackApiError."""
    if file.get("url_private"):
        return file
    found: Mapping[str, Any] = (await asked(workspace.client.files_info, file=file["id"]))["file"]
    return found


async def _chunks(workspace: Workspace, file: Mapping[str, Any], limit: int) -> AsyncIterator[bytes]:
    """The bytes of a file, if there are no more than that. Raises _NotHad, and what the connection raises."""
    url, size = str(file.get("url_private", "")), file.get("size") or 0
    if size > limit or not _slacks_own(url, workspace.client.base_url):
        raise _NotHad
    headers = {"Authorization": f"Bearer {workspace.client.token}"}
    point("file-reading")
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http,
        http.get(url, headers=headers) as got,
    ):
        page = got.content_type == "text/html" and file.get("mimetype") != "text/html"
        if got.status != 200 or page:  # Slack answers with a login page, not with an error
            raise _NotHad
        read = 0
        async for chunk in got.content.iter_chunked(65_536):
            if (read := read + len(chunk)) > limit:
                raise _NotHad
            yield chunk
    point("file-read")
