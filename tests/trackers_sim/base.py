"""What the trackers share: how they are served, what they record, and what a test may switch."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web

from tests.waiting import Waits

Json = dict[str, Any]


@dataclass
class Request:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float
    status: int = 0


@dataclass
class Forced:
    """An answer that is given instead of doing anything."""

    status: int
    body: Any
    headers: dict[str, str]
    times: int
    method: str | None
    path: re.Pattern[str]
    within: re.Pattern[str]


class Refusal(Exception):
    """The answer to a request that cannot be served."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Sim(Waits):
    """A tracker. `requests` is what came, `created` is set when an issue comes to be, before its creator is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.created = asyncio.Event()
        self.commented = asyncio.Event()
        self._forced: list[Forced] = []
        self._going = asyncio.Event()
        self._going.set()

    # What a test looks at

    def count(self, method: str, path: str = "", status: int | None = None) -> int:
        """How many such requests came; `path` is searched for as a regular expression."""
        return sum(
            each.method == method and bool(re.search(path, each.path)) and status in (None, each.status)
            for each in self.requests
        )

    # What a test switches

    def answer(
        self,
        status: int,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        times: int = 1,
        method: str | None = None,
        path: str = "",
        within: str = "",
    ) -> None:
        """Give that answer to the next such requests, and do nothing; a string is sent as text, all else as JSON.

        `path` and `within` (the body) are searched for as regular expressions.
        """
        forced = Forced(status, body, dict(headers or {}), times, method, re.compile(path), re.compile(within))
        self._forced.append(forced)

    def heal(self) -> None:
        """Forget the answers that were not given yet."""
        self._forced.clear()

    def hold(self) -> None:
        """Do what is asked, but keep every answer back until `release`."""
        self._going.clear()

    def release(self) -> None:
        """Give the answers that were kept back."""
        self._going.set()

    # HTTP

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add what is served."""
        raise NotImplementedError

    def refused(self, refusal: Refusal) -> web.StreamResponse:
        """How a refusal looks."""
        return reply(refusal.body, refusal.status, refusal.headers)

    def not_served(self, request: web.Request) -> web.StreamResponse:
        """How an unknown address is answered."""
        return web.json_response({"message": "Not Found"}, status=404)

    def extra_headers(self) -> dict[str, str]:
        """Headers of every answer."""
        return {}

    def _next_forced(self, method: str, path: str, text: str) -> Forced | None:
        for forced in self._forced:
            if forced.method in (None, method) and forced.path.search(path) and forced.within.search(text):
                forced.times -= 1
                if not forced.times:
                    self._forced.remove(forced)
                return forced
        return None

    async def _serve(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        path = request.rel_url.raw_path
        body = await read_body(request)
        noted = Request(request.method, path, dict(request.query), dict(request.headers), body, time.time())
        self.requests.append(noted)
        forced = self._next_forced(request.method, path, await request.text())
        answer: web.StreamResponse
        try:
            answer = reply(forced.body, forced.status, forced.headers) if forced else await handler(request)
        except Refusal as refusal:
            answer = self.refused(refusal)
        except web.HTTPNotFound:
            answer = self.not_served(request)
        noted.status = answer.status
        await self._going.wait()
        for name, value in self.extra_headers().items():
            answer.headers.setdefault(name, value)
        return answer

    def application(self) -> web.Application:
        """All that is served."""

        @web.middleware
        async def middleware(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
            return await self._serve(request, handler)

        served = web.Application(middlewares=[middleware], client_max_size=2**24)
        self.add_routes(served.router)
        return served


async def read_body(request: web.Request) -> Any:
    """The JSON that came, or the text where it is no JSON, or None."""
    text = await request.text()
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer: a string is sent as text, None as nothing, all else as JSON."""
    if body is None:
        return web.Response(status=status, headers=headers)
    if isinstance(body, str):
        return web.Response(text=body, status=status, headers=headers)
    return web.json_response(body, status=status, headers=headers)


def iso(at: float, *, milliseconds: bool = False, zone: str = "Z") -> str:
    """A time as APIs write it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds" if milliseconds else "seconds")[:-6] + zone


def from_iso(text: str) -> float:
    """The time that was written."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


@dataclass
class Lag:
    """What comes to be is seen only so many seconds later; none at all shows everything at once."""

    seconds: float = 0
    _until: dict[int, float] = field(default_factory=dict)

    def note(self, thing: object) -> None:
        """It came to be now."""
        self._until[id(thing)] = time.monotonic() + self.seconds

    def shows(self, thing: object) -> bool:
        """Whether it is seen already."""
        return not self.seconds or time.monotonic() >= self._until[id(thing)]


def seconds_of(lag: str) -> Any:
    """The seconds of one of a simulator's lags, as an attribute of the simulator: what is made from now on is late by them."""
    return property(lambda sim: getattr(sim, lag).seconds, lambda sim, seconds: setattr(getattr(sim, lag), "seconds", seconds))


Kind = TypeVar("Kind", bound=Sim)


@asynccontextmanager
async def running(sim: Kind, port: int = 0, *, handler_cancellation: bool = False) -> AsyncIterator[Kind]:
    """Serve it on a port of this machine; with `handler_cancellation` it drops what its client hangs up on."""
    options: Json = {"access_log": None, "shutdown_timeout": 0.2, "handler_cancellation": handler_cancellation}
    runner = web.AppRunner(sim.application(), **options)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        sim.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield sim
    finally:
        sim.release()
        await runner.cleanup()
