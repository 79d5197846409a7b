"""The servers: Slack's requests over HTTP as an ASGI application, or over Socket Mode."""

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from slack_adapter.guard import BODY_LIMIT, Refused, check_body, check_command, check_payload, check_signature

EVENTS_PATH = "/slack/events"

QUIET = 60.0
"""Seconds between two warnings of refused requests."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)


class Site:
    """The ASGI application: Slack's requests, the pages of an installation, and `/health` for who looks after replicas."""

    def __init__(self, app: AsyncApp, signing_secret: str, healthy: Callable[[], bool]) -> None:
        self._bolt, self._healthy = AsyncSlackRequestHandler(app, path=EVENTS_PATH), healthy
        self._verifier = SignatureVerifier(signing_secret)
        self._quiet_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["path"] == "/health":
            up = self._healthy()
            await _answer(send, 200 if up else 503, "ok" if up else "no worker is running")
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == EVENTS_PATH:
            try:
                body = await self._checked(scope, receive)
            except Refused as refused:
                self._warn(refused)
                await _answer(send, refused.status, str(refused))
                return
            await self._bolt(scope, _again(body), send)
        else:
            await self._bolt(scope, receive, send)

    def _warn(self, refused: Refused) -> None:
        """Once in a while: anybody can send requests, and an operator wants to know that a secret is wrong."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET
            log.warning("a request was refused with %s: %s", refused.status, refused)

    async def _checked(self, scope: Scope, receive: Receive) -> bytes:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _whole(receive)
        check_signature(self._verifier, headers, body)
        check_body(headers.get("content-type", ""), body)
        return body


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise Refused(413, f"a request has at most {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes) -> Receive:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


class _Socket(AsyncSocketModeHandler):
    """Bolt's handler, which drops what is not of Slack's shape before it becomes an exception."""

    async def handle(self, client: SocketModeClient, req: Any) -> None:  # type: ignore[override]
        """One envelope. It is acknowledged only once it is durable."""
        try:
            (check_command if req.type == "slash_commands" else check_payload)(req.payload)
        except ValueError:
            log.warning("an envelope that is not of Slack's shape was dropped")
            await client.send_message(json.dumps({"envelope_id": req.envelope_id}))
            return
        await super().handle(client, req)


@asynccontextmanager
async def connected(app: AsyncApp, app_token: str, client: AsyncWebClient) -> AsyncIterator[SocketModeClient]:
    """A connection over Socket Mode, for as long as this lasts."""
    handler = _Socket(app, app_token, web_client=AsyncWebClient(token=app_token, base_url=client.base_url))
    await handler.connect_async()  # type: ignore[no-untyped-call]
    try:
        yield handler.client
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]
