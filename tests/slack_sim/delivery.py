"""How payloads reach the app: signed over HTTP to one or several replicas, or over the WebSockets of Socket Mode."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.slack_sim.blocks import Json
from tests.slack_sim.world import Answer, Workspace, World

MOST_LINKS = 10


@dataclass(eq=False)
class Link:
    """A WebSocket of the app."""

    socket: web.WebSocketResponse
    request: web.Request
    leaving: bool = False  # it was told to go, so nothing new is sent to it


@dataclass
class _Envelope:
    """What was sent over a link and not acknowledged yet."""

    link: Link
    answer: asyncio.Future[Answer]


class Delivery(World):
    """A world that tells an app what happens in it."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.signing_secret = "8f742231b10e8888abcd99yyyzzz85a5"
        self.ack_seconds = 3.0
        self.retry_waits: tuple[float, ...] = (0.0, 0.1, 0.3)
        self.duplicate = 0
        self.subscriptions = {
            *("app_home_opened", "app_mention", "member_joined_channel", "reaction_added"),
            *("message.channels", "message.groups", "message.im", "message.mpim"),
        }
        self.deliveries: list[tuple[str, Json, Answer]] = []
        self._urls: list[str] = []
        self._over_socket = False
        self._turn = count()
        self._links: list[Link] = []
        self._link_came = asyncio.Event()
        self._tickets: set[str] = set()
        self._envelopes: dict[str, _Envelope] = {}
        self._background: set[asyncio.Task[Any]] = set()
        # A killed replica leaves dead connections behind; Slack would open new ones too.
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))

    def deliver_to(self, *urls: str) -> None:
        """Deliver over HTTP to these replicas, in turn."""
        self._urls, self._over_socket = list(urls), False

    def use_socket(self) -> None:
        """Deliver over Socket Mode, to whoever is connected."""
        self._over_socket = True

    @property
    def connections(self) -> int:
        """How many WebSockets the app has, without those that were told to go."""
        return sum(not link.leaving for link in self._links)

    # Events and interactions

    async def deliver_event(self, workspace: Workspace, event: Json, *, connect: bool = False) -> Answer | None:
        """An event, as often as Slack would try; the last answer to its first copy.

        None if the app does not subscribe to it, or the test has not said yet how to reach the app.
        """
        kinds = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}
        name = kinds[event["channel_type"]] if event["type"] == "message" else event["type"]
        if name not in self.subscriptions or not (self._urls or self._over_socket):
            return None
        number = next(self._numbers)
        enterprise = {"enterprise_id": workspace.enterprise_id} if workspace.enterprise_id else {}
        authorization = {"enterprise_id": workspace.enterprise_id, "team_id": workspace.team_id}
        authorization |= {"user_id": workspace.bot_user, "is_bot": True, "is_enterprise_install": False}
        payload = {
            "token": "verification",
            "team_id": workspace.team_id,
            **enterprise,
            "context_team_id": workspace.team_id,
            "context_enterprise_id": workspace.enterprise_id,
            "api_app_id": self.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{number:010d}",
            "event_time": int(float(event["event_ts"])),
            "authorizations": [authorization],
            "is_ext_shared_channel": connect,
            "event_context": f"4-{number}",
        }
        copies = [self._until_accepted(payload) for _ in range(1 + self.duplicate)]
        return (await asyncio.gather(*copies))[0]

    async def deliver_interaction(self, payload: Json) -> Answer:
        """A click, a submit or a shortcut: once, whatever comes of it."""
        return await self._attempt("interactive", payload)

    async def deliver_command(self, fields: Json) -> Answer:
        """A slash command: once."""
        return await self._attempt("slash_commands", fields)

    async def verify_url(self) -> Answer:
        """What Slack asks when somebody enters a request URL; the app answers with the challenge."""
        return await self._attempt("events_api", {"token": "verification", "challenge": "prove it", "type": "url_verification"})

    def in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Deliver what nobody waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def idle(self) -> None:
        """Wait until what nobody waits for is delivered."""
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    async def _until_accepted(self, payload: Json) -> Answer:
        answer = await self._attempt("events_api", payload)
        for number, wait in enumerate(self.retry_waits, start=1):
            if answer.ok or answer.headers.get("x-slack-no-retry") == "1":
                break
            await asyncio.sleep(wait)
            answer = await self._attempt("events_api", payload, number, answer.error or "http_error")
        return answer

    async def _attempt(self, kind: str, payload: Json, number: int = 0, reason: str = "") -> Answer:
        started = time.monotonic()
        send = self._over_link if self._over_socket else self._over_http
        answer = await send(kind, payload, number, reason)
        answer = replace(answer, seconds=time.monotonic() - started, attempts=number + 1)
        self.deliveries.append((kind, payload, answer))
        return answer

    # HTTP

    async def _over_http(self, kind: str, payload: Json, number: int, reason: str) -> Answer:
        if kind == "events_api":
            body, content = json.dumps(payload), "application/json"
        else:
            fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
            body, content = urlencode(fields), "application/x-www-form-urlencoded"
        retry = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason} if number else {}
        return await self.raw_post(body.encode(), self.sign(body.encode()) | {"Content-Type": content} | retry)

    def sign(self, body: bytes, timestamp: int | str | None = None) -> dict[str, str]:
        """The headers that prove that Slack sent this body, then (now unless told)."""
        then = str(int(time.time())) if timestamp is None else str(timestamp)
        digest = hmac.new(self.signing_secret.encode(), b"v0:" + then.encode() + b":" + body, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": then, "X-Slack-Signature": f"v0={digest}"}

    async def raw_post(self, body: bytes, headers: dict[str, str], url: str | None = None) -> Answer:
        """Just these bytes and headers, to the next replica unless told."""
        if url is None and not self._urls:
            return Answer(0, error="connection_failed")
        url = url or self._urls[next(self._turn) % len(self._urls)]
        headers = {"User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"} | headers
        timeout = aiohttp.ClientTimeout(total=self.ack_seconds)
        try:
            sent = self._client.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)
            async with sent as response:
                answered = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, await response.text(), headers=answered)
        except TimeoutError:
            return Answer(0, error="http_timeout")
        except (aiohttp.ClientError, OSError):
            return Answer(0, error="connection_failed")

    # Socket Mode

    def new_ticket(self) -> str:
        """What apps.connections.open answers: where to connect, once."""
        ticket = f"{self.random.getrandbits(128):032x}"
        self._tickets.add(ticket)
        return f"{self.base_url.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={self.app_id}"

    async def serve_link(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket of the app, from its hello to its end."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403)
        self._tickets.remove(ticket)
        socket = web.WebSocketResponse(timeout=0.2)
        await socket.prepare(request)
        link = Link(socket, request)
        if len(self._links) >= MOST_LINKS:
            await self._tell_to_go(link, "too_many_websockets")
            await socket.close()
            return socket
        self._links.append(link)
        about: Json = {"debug_info": {"host": "applink-1", "build_number": 1, "approximate_connection_time": 18060}}
        about |= {"num_connections": len(self._links), "connection_info": {"app_id": self.app_id}}
        try:
            await socket.send_json({"type": "hello", **about})
            self._link_came.set()
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._acknowledged(message.data)
        finally:
            self._links.remove(link)
            for envelope in self._envelopes.values():
                if envelope.link is link and not envelope.answer.done():
                    envelope.answer.set_result(Answer(0, error="connection_failed"))
        return socket

    def _acknowledged(self, text: str) -> None:
        said = json.loads(text)
        envelope = self._envelopes.get(said.get("envelope_id", ""))
        if envelope and not envelope.answer.done():
            payload = said.get("payload")
            envelope.answer.set_result(Answer(200, json.dumps(payload) if payload else ""))

    async def _over_link(self, kind: str, payload: Json, number: int, reason: str) -> Answer:
        envelope_id = f"{self.random.getrandbits(128):032x}"
        message: Json = {"envelope_id": envelope_id, "type": kind, "payload": payload}
        message["accepts_response_payload"] = kind != "events_api"
        if kind == "events_api":
            message |= {"retry_attempt": number, "retry_reason": reason}
        try:
            async with asyncio.timeout(self.ack_seconds):
                link = await self._some_link()
                envelope = _Envelope(link, asyncio.get_running_loop().create_future())
                self._envelopes[envelope_id] = envelope
                await link.socket.send_json(message)
                return await envelope.answer
        except TimeoutError:
            return Answer(0, error="timeout")
        except (aiohttp.ClientError, OSError):
            return Answer(0, error="connection_failed")
        finally:
            self._envelopes.pop(envelope_id, None)

    async def _some_link(self) -> Link:
        while not (links := [link for link in self._links if not link.leaving and not link.socket.closed]):
            self._link_came.clear()
            await self._link_came.wait()
        return self.random.choice(links)

    async def disconnect_all(self, reason: str = "refresh_requested", grace: float = 2.0) -> None:
        """Tell all connections to go, as Slack does every few hours, and close those that stay."""
        links = list(self._links)
        for link in links:
            await self._tell_to_go(link, reason)
        started = time.monotonic()
        while any(link in self._links for link in links) and time.monotonic() - started < grace:
            await asyncio.sleep(0.01)
        for link in links:
            await link.socket.close()

    def break_links(self) -> None:
        """Cut all connections without a word, as a network does."""
        for link in self._links:
            link.leaving = True
            if link.request.transport:
                link.request.transport.abort()

    async def _tell_to_go(self, link: Link, reason: str) -> None:
        link.leaving = True
        await link.socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}})

    async def stop(self) -> None:
        """End all deliveries and connections."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(link.socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for link in list(self._links)))
        await self._client.close()
