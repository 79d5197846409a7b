"""The simulator as a server: its HTTP, its stream, and how a test starts it."""

import asyncio
import json
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from aiohttp import web

from tests.model_sim.answers import (
    After,
    Answer,
    Drip,
    Garbage,
    GarbageStream,
    Hang,
    Item,
    Json,
    NoChoices,
    Raw,
    Reset,
    Status,
)
from tests.model_sim.cassette import in_order
from tests.waiting import Waits

Script = Sequence[Item] | Callable[[Json], Item]

CHARACTERS_A_TOKEN = 4
PIECE = 24
"""Characters of one event of a stream."""
STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


class Model(Waits):
    """The model. `requests` is what came, `under_way` how many of them wait for their answer."""

    def __init__(self, script: Script, *, counts: bool = True) -> None:
        self.url = ""
        self.requests: list[Json] = []
        self.keys: list[str] = []
        """The key of each request."""
        self.under_way = 0
        self.most_at_once = 0
        self._counts = counts
        """Whether its answers say how many tokens they took; not all servers do."""
        self._next = script if callable(script) else in_order(script)
        self._closed = asyncio.Event()

    # What a test looks at

    @property
    def count(self) -> int:
        """How many requests came."""
        return len(self.requests)

    @property
    def sizes(self) -> list[int]:
        """The characters of each request's messages."""
        return [sum(len(_text(message)) for message in request["messages"]) for request in self.requests]

    # What a test switches

    def answer(self, script: Script) -> None:
        """Go on by another script."""
        self._next = script if callable(script) else in_order(script)

    def close(self) -> None:
        """Let go of the requests that hang."""
        self._closed.set()

    # HTTP

    def application(self) -> web.Application:
        """All that is served."""
        served = web.Application(middlewares=[_once], client_max_size=2**26)
        served.router.add_post("/v1/chat/completions", self._complete)
        served.router.add_route("*", "/{path:.*}", self._unknown)
        return served

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return _error(404, f"Invalid URL ({request.method} {request.path})")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            given = await request.json()
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.")
        if not isinstance(given, dict) or not given.get("model"):
            return _error(400, "you must provide a model parameter")
        if not isinstance(given.get("messages"), list) or not given["messages"]:
            return _error(400, "Invalid 'messages': empty array. Expected an array with minimum length 1.")
        self.requests.append(given)
        self.keys.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return await self._by(self._next(given), given, request)
        finally:
            self.under_way -= 1

    async def _by(self, item: Item, given: Json, request: web.Request) -> web.StreamResponse:
        while isinstance(item, After):
            await self._wait(item.seconds)
            item = item.item
        match item:
            case Answer() if given.get("stream"):
                return await self._stream(item, given, request)
            case Answer():
                return web.json_response(self._completion(item, given))
            case Status():
                return _status(item, _text(given["messages"][-1]))
            case Raw():
                text = item.body if isinstance(item.body, str) else json.dumps(item.body)
                return web.Response(text=text, content_type=item.kind)
            case Garbage():
                return web.Response(text=item.text, content_type=item.kind)
            case GarbageStream():
                return await self._events(request, ["data: {not json\n\n", "data: [1, 2\n\n"])
            case NoChoices():
                return web.json_response({**self._frame(given, "chat.completion"), "choices": []})
            case Drip():
                return await self._drip(request, item.seconds)
            case Reset():
                return _reset(request)
        assert isinstance(item, Hang)
        await self._closed.wait()
        return _reset(request)

    async def _wait(self, seconds: float) -> bool:
        """Waits, and says whether the server was closed meanwhile."""
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _drip(self, request: web.Request, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.force_close()
        await response.prepare(request)
        try:
            while not await self._wait(seconds):
                await response.write(b" ")
        except ConnectionError:
            return response
        return _reset(request)

    # Answers

    def _frame(self, given: Json, kind: str) -> Json:
        return {"id": f"chatcmpl-{self.count}", "object": kind, "created": round(time.time()), "model": given["model"]}

    def _usage(self, item: Answer, given: Json) -> Json:
        sent = sum(len(_text(message)) for message in given["messages"]) // CHARACTERS_A_TOKEN
        made = len(json.dumps(item.message())) // CHARACTERS_A_TOKEN
        return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}

    def _completion(self, item: Answer, given: Json) -> Json:
        choice = {"index": 0, "message": item.message(), "logprobs": None, "finish_reason": item.ends()}
        usage = {"usage": self._usage(item, given)} if self._counts else {}
        return {**self._frame(given, "chat.completion"), "choices": [choice], **usage}

    async def _stream(self, item: Answer, given: Json, request: web.Request) -> web.StreamResponse:
        frame = self._frame(given, "chat.completion.chunk")

        def event(delta: Json, ends: str | None = None) -> str:
            return _event({**frame, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": ends}]})

        events = [event({"role": "assistant", "content": ""}), *(event(delta) for delta in _deltas(item.message()))]
        events.append(event({}, item.ends()))
        if self._counts and (given.get("stream_options") or {}).get("include_usage"):
            events.append(_event({**frame, "choices": [], "usage": self._usage(item, given)}))
        return await self._events(request, [*events, "data: [DONE]\n\n"])

    async def _events(self, request: web.Request, events: Sequence[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers=STREAM)
        response.force_close()
        await response.prepare(request)
        for event in events:
            await response.write(event.encode())
        await response.write_eof()
        return response


@web.middleware
async def _once(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """Ends each connection with its answer: nobody closes the clients of models, and what they keep open outlives a test."""
    response = await handler(request)
    if not response.prepared:
        response.force_close()
    return response


def _deltas(message: Json) -> Iterator[Json]:
    """A message in the pieces that a stream brings."""
    for name in ("content", "refusal"):
        for piece in _pieces(message.get(name) or ""):
            yield {name: piece}
    for index, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> list[str]:
    size = max(PIECE, len(text) // 1000)
    return [text[at : at + size] for at in range(0, len(text), size)]


def _event(body: Json) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _error(status: int, message: str, code: str | None = None) -> web.Response:
    kind = TYPES.get(status, "invalid_request_error")
    return web.json_response({"error": {"message": message, "type": kind, "param": None, "code": code}}, status=status)


def _status(item: Status, sent: str) -> web.Response:
    if item.body is None:  # providers repeat what was sent
        response = _error(item.code, f"The provider says {item.code} to: {sent[-200:]}")
    elif isinstance(item.body, str):
        response = web.Response(text=item.body, status=item.code)
    else:
        response = web.json_response(item.body, status=item.code)
    response.headers.update(item.headers)
    return response


def _reset(request: web.Request) -> web.StreamResponse:
    """Close with an RST."""
    if request.transport and (socket := request.transport.get_extra_info("socket")):
        socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def running_model(script: Script, *, counts: bool = True) -> AsyncIterator[Model]:
    """Serve it on a port of this machine."""
    model = Model(script, counts=counts)
    runner = web.AppRunner(model.application(), access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield model
    finally:
        model.close()
        await runner.cleanup()


@contextmanager
def model_in_thread(script: Script, *, counts: bool = True) -> Iterator[Model]:
    """Serve it from a thread of its own, for tests that wait for processes; what came can be looked at from anywhere."""
    started, ended, made = threading.Event(), asyncio.Event(), list[Any]()

    async def serve() -> None:
        try:
            async with running_model(script, counts=counts) as model:
                made.extend((model, asyncio.get_running_loop()))
                started.set()
                await ended.wait()
        finally:
            started.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="model-sim", daemon=True)
    thread.start()
    started.wait()
    if not made:
        raise RuntimeError("the model did not start")
    model, loop = made
    try:
        yield model
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
