"""A proxy that breaks what goes through it. It works on bare streams, so that half answers and resets are real ones.

What may go wrong, by where the request gets to. It never reaches the tracker: drop_request (closed without a byte),
reset_request (RST), 429, 429_http_date, 500, 502, 503, garbage_before, html_403, redirect_302, refuse (and nothing listens
until `reopen`). The tracker acts, and the answer suffers: drop_reply, reset_reply, half_head, half_body, 500_after,
502_after, 503_after, garbage, wrong_json, empty_200, slow_drip, delay_reply. And delay waits before the tracker is asked.
"""

import asyncio
import re
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from socket import SO_LINGER, SOL_SOCKET
from typing import Literal, get_args
from urllib.parse import urlsplit

Fault = Literal[
    "drop_request",
    "drop_reply",
    "reset_request",
    "reset_reply",
    "half_head",
    "half_body",
    "delay",
    "delay_reply",
    "429",
    "429_http_date",
    "500",
    "502",
    "503",
    "500_after",
    "502_after",
    "503_after",
    "garbage",
    "garbage_before",
    "html_403",
    "wrong_json",
    "empty_200",
    "refuse",
    "redirect_302",
    "slow_drip",
]

BEFORE = ("drop_request", "reset_request", "429", "429_http_date", "500", "502", "503", "garbage_before", "html_403")
REASONS = {200: "OK", 201: "Created", 302: "Found", 403: "Forbidden", 429: "Too Many Requests", 500: "Internal Server Error"}
REASONS |= {502: "Bad Gateway", 503: "Service Unavailable"}
GARBAGE = b"\x00\xff<not json at all"
HTML = b"<!DOCTYPE html><html><head><title>Access denied</title></head><body>Access denied</body></html>"


@dataclass
class Passed:
    """A request as the proxy saw it; `reached` says whether the tracker got it, `status` what the client was told."""

    method: str
    path: str
    body: bytes
    fault: Fault | None
    at: float
    reached: bool = False
    status: int | None = None


@dataclass
class Planned:
    """A fault that is due."""

    fault: Fault
    times: int
    method: str | None
    path: re.Pattern[str]
    within: re.Pattern[bytes]
    seconds: float
    location: str


@dataclass
class Message:
    """The head and the body of a request or an answer."""

    first: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """One header, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def head(self) -> bytes:
        """The head as it is sent."""
        return "\r\n".join([self.first, *(f"{name}: {value}" for name, value in self.headers), "", ""]).encode("latin-1")


@dataclass
class FaultProxy:
    """The proxy. `passed` is what came; `acted` is set when the tracker has answered and nobody was told yet."""

    upstream: str
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    acted: asyncio.Event = field(default_factory=asyncio.Event)
    _plans: list[Planned] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # What a test says and looks at

    def plan(
        self,
        fault: Fault,
        times: int = 1,
        method: str | None = "POST",
        path: str = "",
        *,
        within: str = "",
        seconds: float = 1,
        location: str = "",
    ) -> None:
        """Break the next such requests, of any method where it is None.

        `path` and `within` (the body) are searched for as regular expressions. `seconds` is how long a delay is, how long a
        slow body takes, and what Retry-After says.
        """
        if fault not in get_args(Fault):
            raise ValueError(f"there is no fault {fault}")
        self._plans.append(Planned(fault, times, method, re.compile(path), re.compile(within.encode()), seconds, location))

    def heal(self) -> None:
        """Nothing breaks any more."""
        self._plans.clear()

    def count(self, method: str = "POST", path: str = "", *, within: str = "", reached: bool | None = None) -> int:
        """How many such requests came, or reached the tracker, or did not."""
        return sum(
            each.method == method
            and bool(re.search(path, each.path))
            and bool(re.search(within.encode(), each.body))
            and reached in (None, each.reached)
            for each in self.passed
        )

    async def refuse(self) -> None:
        """Listen no more, and cut who is connected."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def reopen(self) -> None:
        """Listen again, on the same port."""
        if not self._server:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=2**24)
            self._port = self._server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Stop for good."""
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._open.add(writer)
        try:
            while (request := await _read(reader)) and await self._handle(request, writer):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._open.discard(writer)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _handle(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on, and say whether the connection lives on."""
        method, path, _ = request.first.split(" ", 2)
        planned = self._next(method, path, request.body)
        fault = planned.fault if planned else None
        seconds = planned.seconds if planned else 0
        passed = Passed(method, path, request.body, fault, time.time())
        self.passed.append(passed)
        if planned and fault == "redirect_302":
            where = planned.location or self.upstream + path
            return await self._send(writer, request, passed, _made(302, b"", ("Location", where)))
        if fault == "refuse":
            await self.refuse()
            return False
        if fault in BEFORE:
            return await self._before(fault, seconds, request, passed, writer)
        if fault == "delay":
            await asyncio.sleep(seconds)
        try:
            answer = await self._ask(request, passed)
        except OSError:
            return await self._send(writer, request, passed, _made(502, b"the upstream is not there"))
        self.acted.set()
        return await self._after(fault, seconds, request, passed, answer, writer)

    async def _before(
        self, fault: Fault | None, seconds: float, request: Message, passed: Passed, writer: asyncio.StreamWriter
    ) -> bool:
        if fault == "drop_request":
            return False
        if fault == "reset_request":
            return _reset(writer)
        if fault == "429":
            made = _made(429, b'{"message":"Too Many Requests"}', ("Retry-After", f"{seconds:g}"))
        elif fault == "429_http_date":
            date = formatdate(time.time() + seconds, usegmt=True)
            made = _made(429, b'{"message":"Too Many Requests"}', ("Retry-After", date))
        elif fault == "garbage_before":
            made = _made(200, GARBAGE)
        elif fault == "html_403":
            made = _made(403, HTML, kind="text/html; charset=utf-8")
        else:
            made = _made(int(fault or 500), b"upstream connect error", kind="text/plain")
        return await self._send(writer, request, passed, made)

    async def _after(
        self,
        fault: Fault | None,
        seconds: float,
        request: Message,
        passed: Passed,
        answer: Message,
        writer: asyncio.StreamWriter,
    ) -> bool:
        head = answer.head()
        if fault == "drop_reply":
            return False
        if fault == "reset_reply":
            return _reset(writer)
        if fault == "half_head":
            await _write(writer, head[: len(head) // 2])
            return False
        if fault == "half_body":
            await _write(writer, head + answer.body[: len(answer.body) // 2])
            return False
        if fault == "slow_drip":
            passed.status = _status(answer)
            await _write(writer, head)
            for at in range(len(answer.body)):
                await asyncio.sleep(seconds / len(answer.body))
                await _write(writer, answer.body[at : at + 1])
            return _lives(request)
        if fault == "delay_reply":
            await asyncio.sleep(seconds)
        elif fault in ("500_after", "502_after", "503_after"):
            answer = _made(int(fault[:3]), b"upstream connect error", kind="text/plain")
        elif fault == "garbage":
            answer = _made(200, GARBAGE)
        elif fault == "wrong_json":
            answer = _made(201, b"{}")
        elif fault == "empty_200":
            answer = _made(200, b"")
        return await self._send(writer, request, passed, answer)

    async def _send(self, writer: asyncio.StreamWriter, request: Message, passed: Passed, answer: Message) -> bool:
        passed.status = _status(answer)
        await _write(writer, answer.head() + answer.body)
        return _lives(request)

    async def _ask(self, request: Message, passed: Passed) -> Message:
        """What the tracker answers."""
        where = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**24)
        try:
            kept = [(name, value) for name, value in request.headers if name.lower() not in _HOPS]
            sent = Message(request.first, [*kept, ("Connection", "close")], request.body)
            if request.body:
                sent.headers.append(("Content-Length", str(len(request.body))))
            await _write(writer, sent.head() + sent.body)
            passed.reached = True
            answer = await _read(reader)
        finally:
            writer.close()
        if not answer:
            raise ConnectionResetError
        answer.headers = [(name, value) for name, value in answer.headers if name.lower() not in _HOPS]
        if _status(answer) != 204:
            answer.headers.append(("Content-Length", str(len(answer.body))))
        return answer

    def _next(self, method: str, path: str, body: bytes) -> Planned | None:
        for planned in self._plans:
            if planned.method in (None, method) and planned.path.search(path) and planned.within.search(body):
                planned.times -= 1
                if not planned.times:
                    self._plans.remove(planned)
                return planned
        return None


_HOPS = ("connection", "keep-alive", "content-length", "transfer-encoding")


def _status(answer: Message) -> int:
    return int(answer.first.split(" ")[1])


def _lives(request: Message) -> bool:
    return request.header("connection").lower() != "close"


def _made(status: int, body: bytes, *headers: tuple[str, str], kind: str = "application/json; charset=utf-8") -> Message:
    all_headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]
    return Message(f"HTTP/1.1 {status} {REASONS[status]}", all_headers, body)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with an RST."""
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Message | None:
    """One request or answer, or None where the connection ended."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        message = Message(first, headers, b"")
        if message.header("transfer-encoding").lower() == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                message.body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        else:
            message.body = await reader.readexactly(int(message.header("content-length") or 0))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return message


@asynccontextmanager
async def fault_proxy(upstream: str) -> AsyncIterator[FaultProxy]:
    """A proxy in front of that address, on a port of this machine."""
    proxy = FaultProxy(upstream.rstrip("/"))
    await proxy.reopen()
    try:
        yield proxy
    finally:
        await proxy.stop()
