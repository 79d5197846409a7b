"""Talking to a tracker over HTTP: what an answer means, and what none means.

A read may be made again, so whatever keeps it from being answered is `Later`. The one POST that files a ticket may not: it is
`Later` only if it surely did not arrive, `Refused` only if the tracker says so in its own words, and else `Unsure`. Nothing
here tries anything again.
"""

import email.utils
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from agent.trackers import Later, Missing, Refused, Unsure

TIMEOUT = httpx.Timeout(30.0, connect=10.0)

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
        self._client = httpx.AsyncClient(base_url=base, headers=dict(headers), timeout=TIMEOUT, limits=limits)

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **params: Any) -> Any:
        """The JSON at a path. Raises Missing, Refused or Later."""
        return await self._again("GET", path, params=params, headers=headers)

    async def ask(self, path: str, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST") -> Any:
        """What is answered to a request that may be made again: a question, or a change that twice is once."""
        return await self._again(method, path, json=body, headers=headers)

    async def create(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The one POST: the JSON object that is answered to it. Raises Refused, Later or Unsure."""
        try:
            response = await self._client.post(path, json=body, headers=headers)
        except NOT_SENT as error:
            raise Later(self._unreachable(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = (
                f"within {TIMEOUT.read:.0f} s" if isinstance(error, httpx.TimeoutException) else "before the connection was cut"
            )
            raise Unsure(f"{self.name} gave no answer {what}.") from error
        said = _json(response)
        if response.is_success:
            if isinstance(said, dict):
                return said
            raise Unsure(f"{self.name} gave an answer that cannot be read (status {response.status_code}).")
        if problem := self._problem(response, said):
            raise problem
        raise Unsure(f"{self.name} answered with an error of its own (status {response.status_code}).")

    async def close(self) -> None:
        """Closes what is open."""
        await self._client.aclose()

    async def _again(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._client.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
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
        at = email.utils.parsedate_to_datetime(wanted)
    except ValueError:
        return None
    now = time.time()
    with suppress(ValueError):  # the server's own date, if it gives one: our clocks need not agree
        now = email.utils.parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    return min(max(at.timestamp() - now, 1.0), LONGEST_PAUSE)


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


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
