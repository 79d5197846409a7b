"""Talking to a tracker over HTTP: what an answer means, and what none means.

A read may be made again, so whatever keeps it from being answered is `Later`. The one POST that files a ticket may not: it is
`Later` only if it surely did not arrive, `Refused` only if the tracker says so in its own words, and else `Unsure`. Nothing
here tries anything again. An answer that nobody can read, whatever its form, is one of these, too (`careful`).
"""

import asyncio
import email.utils
import functools
import json
import logging
import math
import re
import time
import traceback
import zlib
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx

from agent.faults import point
from agent.trackers import Copy, Later, Missing, Refused, Unsure

TIMEOUT = httpx.Timeout(30.0, connect=10.0)

PATIENCE = 60.0
"""Seconds for an answer from its first byte to its last: one that comes byte by byte never lets a read time out."""

LONGEST_ANSWER = 16 * 2**20
"""Bytes of an answer, unpacked; a hundred of the longest issues are less."""

DEEPEST = 100
"""Levels of an answer; documents in Jira have a dozen."""

LONGEST_PAUSE = 3600.0
"""Seconds that a tracker may ask us to wait; more is taken for this."""

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Failures before a byte of the request was sent."""

Explain = Callable[[httpx.Response, Any], Refused | Later | None]
"""Reads an answer that is no success, and the JSON in it (None if there is none): what it says if it is in the tracker's own
words, and None if it is not."""


class Api:
    """One tracker's HTTP API, which takes and gives JSON."""

    def __init__(self, name: str, base: str, headers: Mapping[str, str], explain: Explain) -> None:
        self.name, self._explain = name, explain
        # a connection that was kept may be closed under a POST, whose outcome nobody would know then
        limits = httpx.Limits(max_keepalive_connections=0)
        packed = {"Accept-Encoding": "gzip"}  # what is unpacked here, and no further than is read
        self._client = httpx.AsyncClient(base_url=base, headers={**packed, **headers}, timeout=TIMEOUT, limits=limits)

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **params: Any) -> Any:
        """The JSON at a path. Raises Missing, Refused or Later."""
        return await self._again("GET", path, params=params, headers=headers)

    async def ask(self, path: str, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST") -> Any:
        """What is answered to a request that may be made again: a question, or a change that twice is once."""
        return await self._again(method, path, json=body, headers=headers)

    async def create(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The one POST: the JSON object that is answered to it. Raises Refused, Later or Unsure."""
        try:
            response = await self._request("POST", path, json=body, headers=headers)
        except NOT_SENT as error:
            raise Later(self._unreachable(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            late = isinstance(error, httpx.TimeoutException | TimeoutError)
            what = f"within {TIMEOUT.read:.0f} s" if late else "before the connection was cut"
            raise Unsure(f"{self.name} gave no answer {what}.") from error
        said = _json(response)
        if response.is_success:
            if isinstance(said, dict):
                return said
            raise Unsure(f"{self.name} gave an answer that cannot be read (status {response.status_code}).")
        if problem := self._problem(response, said):
            if _names_what_was_made(said) and not self._explain(response, said):
                raise Unsure(f"{self.name} answered as if it was not done, and names a ticket (status {response.status_code}).")
            raise problem
        raise Unsure(f"{self.name} answered with an error of its own (status {response.status_code}).")

    async def close(self) -> None:
        """Closes what is open."""
        await self._client.aclose()

    async def _again(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Later(self._unreachable(error)) from error
        said = _json(response)
        if response.is_success:
            if said is None and response.content:
                raise Later(f"{self.name} gave an answer that cannot be read (status {response.status_code}).")
            return said
        if problem := self._problem(response, said):
            raise problem
        if response.status_code == 404:
            raise Missing(f"{self.name} has nothing at {response.url.path}.")
        raise Later(f"{self.name} does not answer as it should (status {response.status_code}).")

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The whole answer; one that is too long, or packed in another way than was asked for, is empty."""
        async with asyncio.timeout(PATIENCE):
            request = self._client.build_request(method, path, **options)
            point("tracker-asking")
            came = await self._client.send(request, stream=True)
            try:
                body = bytearray()
                async for part in came.aiter_raw():
                    body += part
                    if len(body) > LONGEST_ANSWER:
                        break
            finally:
                await came.aclose()
            point("tracker-answered")
        content = _unpacked(bytes(body), came.headers.get("content-encoding", ""))
        kept = [(name, value) for name, value in came.headers.multi_items() if name not in _OF_THE_BODY]
        return httpx.Response(came.status_code, headers=kept, content=content, request=request)

    def _problem(self, response: httpx.Response, said: Any) -> Refused | Later | None:
        """What an error means, as far as that is sure."""
        if found := self._explain(response, said):
            return found
        if response.status_code == 429:
            return Later(f"{self.name} wants a pause.", pause(response))
        if response.status_code == 401:
            return Refused(f"{self.name} does not accept our token: an operator has to renew it.")
        if response.status_code in (301, 307, 308):
            where = urlsplit(response.headers.get("location", "")).netloc or "elsewhere"
            return Refused(f"{self.name} is not at this address any more, but at {where}: an operator has to correct it.")
        return None

    def _unreachable(self, error: Exception) -> str:
        said = "" if isinstance(error, httpx.LocalProtocolError) else str(error).strip()  # that one quotes headers
        return f"{self.name} cannot be reached ({said or type(error).__name__})."


def pause(response: httpx.Response) -> float | None:
    """The seconds that Retry-After asks for, as a number or as a date; None if it does not ask."""
    wanted = response.headers.get("retry-after", "").strip()
    if wanted.isascii() and wanted.isdigit():
        return min(max(float(wanted), 1.0), LONGEST_PAUSE)
    try:
        at = email.utils.parsedate_to_datetime(wanted).timestamp()
    except (ValueError, OverflowError):
        return None
    now = time.time()
    with suppress(ValueError, OverflowError):  # the server's own date, if it gives one: our clocks need not agree
        now = email.utils.parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    return min(max(at - now, 1.0), LONGEST_PAUSE)


def address(variable: str, given: str) -> str:
    """A base address without a slash at its end. Raises ValueError with a sentence for who set it."""
    if "@" in given:
        raise ValueError(f"{variable} is to be an address alone, without a name or a password before an @.")
    problem = ValueError(f"{variable} is {given!r}, and that is no address: it is like https://tracker.example.com.")
    try:
        parts = urlsplit(given.strip())
        parts.port  # noqa: B018 - it raises ValueError if that is no port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", given.strip()):
        raise problem
    if parts.query or parts.fragment:
        raise ValueError(f"{variable} is to be an address alone, without a question mark or a fragment.")
    return given.strip().rstrip("/")


_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was packed. What cannot be unpacked, or is too long then, is as good as no JSON."""
    if encoding.strip().lower() == "gzip":
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, LONGEST_ANSWER + 1)
        except zlib.error:
            return UNREADABLE
    elif encoding.strip().lower() not in ("", "identity"):
        return UNREADABLE
    return body if len(body) <= LONGEST_ANSWER else UNREADABLE


UNREADABLE = b"?"
"""Stands for a body that cannot be read."""


def _json(response: httpx.Response) -> Any:
    """The JSON in an answer; None if there is none, or none that can be kept."""
    try:
        return _kept(json.loads(response.content, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return None


def _names_what_was_made(said: Any) -> bool:
    """Whether an answer has the form of one to a ticket that was made, whatever its status is."""
    if not isinstance(said, dict):
        return False
    data = said.get("data")
    return not said.keys().isdisjoint(("id", "iid", "key", "number")) or (isinstance(data, dict) and any(data.values()))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _kept(value: Any, levels: int = DEEPEST) -> Any:
    """The value without what no database can hold: NUL, and halves of characters. Raises ValueError if it is too deep."""
    if levels == 0:
        raise ValueError("too deep")
    match value:
        case str():
            return value if value.isascii() and "\0" not in value else _UNKEPT.sub("\ufffd", value)
        case float() if not math.isfinite(value):
            raise ValueError("too large")
        case dict():
            return {_kept(name, levels): _kept(one, levels - 1) for name, one in value.items()}
        case list():
            return [_kept(one, levels - 1) for one in value]
    return value


_UNKEPT = re.compile("[\0\ud800-\udfff]")

# --- Answers of another form ---------------------------------------------------------------------------------------------

Kind = TypeVar("Kind", bound=type[Any])
Call = Callable[..., Coroutine[Any, Any, Any]]

log = logging.getLogger(__name__)


def careful(kind: Kind) -> Kind:
    """A tracker whose answers may have any form: where one has another than its reader expects, nothing else is raised.

    After the one POST that is `Unsure`, for the ticket may be there; after a read it is `Later`.
    """
    for name in ("describe", "create", "find", "read", "search", "link", "comment"):
        setattr(kind, name, _guarded(getattr(kind, name), Unsure if name == "create" else Later))
    return kind


def _guarded(call: Call, problem: type[Unsure] | type[Later]) -> Call:
    @functools.wraps(call)
    async def guarded(self: Any, *given: Any) -> Any:
        try:
            answer = await call(self, *given)
            if isinstance(answer, Copy):
                answer.draft_hash  # noqa: B018 - it raises if that cannot be sealed
        except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            at = traceback.extract_tb(error.__traceback__)[-1]  # not its text, which may repeat the answer
            log.warning(
                "%s answered %s in another form: %s in %s:%s",
                self.name,
                call.__name__,
                type(error).__name__,
                at.name,
                at.lineno,
            )
            raise problem(f"{self._api.name} gave an answer that cannot be read.") from None
        return answer

    return guarded
