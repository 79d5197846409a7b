"""The simulator as a server: its HTTP, its faults, and how a test starts it."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from tests.slack_sim.api import Arguments, Call, perform, use_hook
from tests.slack_sim.blocks import Json
from tests.slack_sim.people import People
from tests.waiting import Waits


@dataclass
class Fault:
    """Something that goes wrong with the next calls of a method."""

    kind: Literal["rate_limit", "fail", "break_http", "drop_reply", "slow"]
    method: str
    times: int
    channel: str | None = None
    seconds: float = 0.0
    error: str = ""
    status: int = 0


class Slack(People, Waits):
    """The whole of it. `response_url` can be named as a method, too, where something is to go wrong or is counted."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.api_url = ""
        self.calls: list[Call] = []
        self.strict_rates = False
        self._faults: list[Fault] = []
        self._posted: dict[str, float] = {}

    # What a test looks at

    def count(self, method: str) -> int:
        """How often the app called that."""
        return sum(call.method == method for call in self.calls)

    # What goes wrong

    def rate_limit(self, method: str, seconds: float, times: int = 1, channel: str | None = None) -> None:
        """Refuse with 429 and Retry-After."""
        self._faults.append(Fault("rate_limit", method, times, channel, seconds=seconds))

    def fail(self, method: str, error: str, times: int = 1, channel: str | None = None) -> None:
        """Answer with that error, and do nothing."""
        self._faults.append(Fault("fail", method, times, channel, error=error))

    def break_http(self, method: str, status: int = 500, times: int = 1, channel: str | None = None) -> None:
        """Answer with that status and no JSON, and do nothing."""
        self._faults.append(Fault("break_http", method, times, channel, status=status))

    def drop_reply(self, method: str, times: int = 1, channel: str | None = None) -> None:
        """Do it, and cut the connection instead of answering."""
        self._faults.append(Fault("drop_reply", method, times, channel))

    def slow(self, method: str, seconds: float, times: int = 1, channel: str | None = None) -> None:
        """Do it, and answer later."""
        self._faults.append(Fault("slow", method, times, channel, seconds=seconds))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._faults.clear()

    def _next_fault(self, method: str, channel: object) -> Fault | None:
        for fault in self._faults:
            if fault.method == method and fault.channel in (None, channel):
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return None

    # HTTP

    async def _serve_method(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        arguments = await _read_arguments(request)
        token = str(arguments.pop("token", ""))
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            token = given
        elif scheme == "Basic":
            client_id, _, secret = base64.b64decode(given).decode().partition(":")
            arguments |= {"client_id": client_id, "client_secret": secret}
        if name == "chat.postMessage" and (wait := self._too_soon(str(arguments.get("channel")))):
            self.calls.append(Call(name, arguments, token, time.time()))
            return _rate_limited(wait)
        return await self._serve(request, name, arguments, token, lambda: perform(self, name, arguments, token))

    async def _serve_hook(self, request: web.Request) -> web.StreamResponse:
        arguments, name = await _read_arguments(request), request.match_info["name"]
        return await self._serve(request, "response_url", arguments, "", lambda: use_hook(self, name, arguments))

    async def _serve(
        self, request: web.Request, name: str, arguments: Arguments, token: str, act: Callable[[], Json]
    ) -> web.StreamResponse:
        """Do it, with the fault that is due."""
        self.calls.append(Call(name, arguments, token, time.time()))
        fault = self._next_fault(name, arguments.get("channel") or arguments.get("channel_id"))
        kind = fault.kind if fault else None
        if fault and kind == "rate_limit":
            return _rate_limited(fault.seconds)
        if fault and kind == "break_http":
            return web.Response(status=fault.status, text="upstream connect error")
        if fault and kind == "fail":
            return web.json_response({"ok": False, "error": fault.error})
        answer = act()
        if kind == "drop_reply" and request.transport:
            request.transport.abort()
        if fault and kind == "slow":
            await asyncio.sleep(fault.seconds)
        if name == "response_url":
            return web.Response(text="ok") if answer["ok"] else web.json_response(answer, status=404)
        return web.json_response(answer, headers={"x-oauth-scopes": ",".join(self.scopes)})

    def _too_soon(self, channel: str) -> float:
        """With strict rates, how long a channel must wait for its next message."""
        now = time.monotonic()
        if not self.strict_rates:
            return 0
        if now - self._posted.get(channel, 0) < 1:
            return 1
        self._posted[channel] = now
        return 0

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        about, content = self.files.get(request.match_info["id"], ({}, b""))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not about:
            return web.Response(status=404)
        if token not in [each.bot_token for each in self.workspaces] or "files:read" not in self.scopes:
            # Slack sends strangers to its login page, which answers 200.
            return web.Response(text="<!DOCTYPE html><title>Sign in | Slack</title>", content_type="text/html")
        return web.Response(body=content, content_type=about["mimetype"])

    def application(self) -> web.Application:
        """All that is served."""
        served = web.Application(client_max_size=2**24)
        served.router.add_route("*", "/api/{method}", self._serve_method)
        served.router.add_post("/actions/{name:.+}", self._serve_hook)
        served.router.add_get("/files-pri/{id}/{name}", self._serve_file)
        served.router.add_get("/link/", self.serve_link)
        return served


async def _read_arguments(request: web.Request) -> Arguments:
    """The arguments from the query, a form and a JSON body."""
    arguments = Arguments(request.query)
    if request.content_type == "application/json":
        try:
            given = json.loads(await request.text() or "{}")
        except ValueError:
            given = None
        arguments |= given if isinstance(given, dict) else {}
    elif request.method == "POST":
        arguments |= dict(await request.post())
    return arguments


def _rate_limited(seconds: float) -> web.Response:
    return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": f"{seconds:g}"})


@asynccontextmanager
async def running_slack(port: int = 0, seed: int = 0) -> AsyncIterator[Slack]:
    """A Slack on a port of this machine, with one workspace and nobody in it."""
    slack = Slack(seed)
    runner = web.AppRunner(slack.application(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        port = runner.addresses[0][1]
        slack.base_url = f"http://127.0.0.1:{port}"
        slack.api_url = f"{slack.base_url}/api/"
        yield slack
    finally:
        await slack.stop()
        await runner.cleanup()
