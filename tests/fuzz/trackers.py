"""Replies of trackers, changed on their way: what their readers raise, and what becomes of a filing."""

import gzip
import random
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from agent.draft import TicketDraft
from agent.projects import Project
from agent.sealing import Destination, SealedTicket, seal
from agent.trackers import Copy, Later, Refused, Ticket, Tracker, Unsure
from persistence.database import Database
from skills.trackers import connected
from tests.approved import Approved
from tests.fuzz.mutating import as_bytes, mutated
from tests.support import make_shell
from tests.trackers.places import PLACES, Place
from tests.trackers.support import receipt

CODES = (200, 200, 200, 201, 202, 204, 206, 301, 302, 400, 401, 403, 404, 409, 410, 413, 422, 429, 451, 500, 502, 503, 599)
HEADERS = (
    {"Retry-After": "9" * 400}, {"Retry-After": "-5"}, {"Retry-After": "Wed, 99 Foo 2026"}, {"Date": "never"},
    {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 400}, {"Location": "http://[::1"}, {"Content-Type": "text/html"},
    {"Content-Type": "application/json; charset=utf-7"}, {"Content-Type": "application/json; charset=nonsense"},
    {"Content-Encoding": "gzip"}, {"Content-Encoding": "br, gzip, nonsense"}, {"X-Long": "x" * 20_000},
)  # fmt: skip


class Mutating(httpx.AsyncBaseTransport):
    """Asks the tracker, and often gives another answer than it gave."""

    def __init__(self, rng: random.Random, inner: httpx.AsyncBaseTransport, often: float = 0.7) -> None:
        self.rng, self.inner, self.often = rng, inner, often
        self.changed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        if self.rng.random() > self.often:
            return answer
        self.changed += 1
        data = await answer.aread()
        await answer.aclose()
        return self._other(request, answer, data)

    def _other(self, request: httpx.Request, answer: httpx.Response, data: bytes) -> httpx.Response:
        rng, status, headers = self.rng, answer.status_code, {"Content-Type": "application/json"}
        match rng.randrange(10):
            case 0:
                status = rng.choice(CODES)
                if answer.is_success and request.method == "POST" and status == 429:  # by that a tracker swears it did nothing
                    status = 503
            case 1:
                headers |= rng.choice(HEADERS)
            case 2:
                data = gzip.compress(data) if rng.random() < 0.5 else zlib.compress(data)
                headers["Content-Encoding"] = rng.choice(["gzip", "deflate"])
            case _:
                pass
        if "Content-Encoding" not in headers and rng.random() < 0.85:
            try:
                said = answer.json() if answer.content else {}
                data = as_bytes(mutated(said, rng, [said]), rng)
            except ValueError:
                data = as_bytes(mutated([], rng), rng)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(data))


class Recorded(httpx.AsyncBaseTransport):
    """Keeps what a tracker answered, by what it was asked, and gives it again without the tracker."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner, self.known = inner, dict[tuple[str, str, str], tuple[int, dict[str, str], bytes]]()
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = request.method, request.url.path, _kind(request)
        if not self.closed:
            answer = await self.inner.handle_async_request(request)
            kept = {name: value for name, value in answer.headers.items() if name.startswith(("x-", "content-type"))}
            self.known[asked] = (answer.status_code, kept, await answer.aread())
            await answer.aclose()
        status, headers, data = self.known.get(asked) or next(iter(self.known.values()))
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(data))


def _kind(request: httpx.Request) -> str:
    """GraphQL has one address for everything."""
    return request.content[:60].decode("utf-8", "replace") if b'"query"' in request.content[:60] else ""


def through(tracker: Tracker, transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """Puts a transport into the way of a tracker's client; gives the one that was there."""
    client: Any = tracker._api._client  # type: ignore[attr-defined]
    before, client._transport = client._transport, transport
    return before  # type: ignore[no-any-return]


DRAFT = TicketDraft(title="Export fails", problem="It answers `500`.", acceptance_criteria=["it finishes"], labels=[])


class Replies:
    """One tracker, whose recorded answers are changed; every call raises what the port says, or gives what it says."""

    def __init__(self, tracker: Tracker, known: Recorded, project: str, sealed: SealedTicket, made: Ticket) -> None:
        self.tracker, self.known, self.project, self.sealed, self.made = tracker, known, project, sealed, made

    async def one(self, rng: random.Random) -> None:
        """One call."""
        tracker, marked = self.tracker, receipt(self.sealed)
        for name in ("_account", "_server"):
            if hasattr(tracker, name):
                setattr(tracker, name, {} if isinstance(getattr(tracker, name), Mapping) else None)
        through(tracker, Mutating(rng, self.known, often=0.95))
        try:
            match rng.randrange(7):
                case 0:
                    described = await tracker.describe(self.project)
                    assert isinstance(described, Project)
                    described.model_dump_json()
                    tracker.questions(DRAFT, described)
                case 1 | 2:
                    with suppress(Unsure):
                        made = await tracker.create(self.sealed, marked)
                        assert isinstance(made, Ticket)
                        assert made.key
                case 3:
                    found = await tracker.find(self.sealed, marked)
                    assert found is None or _holds(found)
                case 4:
                    assert _holds(await tracker.read(self.made.key, self.sealed, marked))
                case 5:
                    for ticket in await tracker.search(self.project, "export fails"):
                        ticket.model_dump_json().encode()
                case 6:
                    await tracker.link(self.made, marked)
                    await tracker.comment("c1", self.made.key, "ann", "Seen again.")
        except (Refused, Later) as error:
            if not str(error) or not isinstance(getattr(error, "seconds", None), int | float | None):
                raise AssertionError(repr(error)) from error


def _holds(copy: Copy) -> bool:
    assert isinstance(copy, Copy)
    assert copy.draft_hash
    copy.model_dump_json().encode()
    return True


@asynccontextmanager
async def replies(name: str, folder: Path) -> AsyncIterator[Replies]:
    """A tracker's answers, recorded from its simulator."""
    async with PLACES[name](folder) as place:
        tracker = connected(place.environ)[place.tracker]
        known = Recorded(through(tracker, httpx.MockTransport(lambda _: httpx.Response(500))))
        through(tracker, known)
        described = await tracker.describe(place.project)
        sealed = seal(Destination(tracker=place.tracker, project=place.project), tracker.render(DRAFT, described))
        marked = receipt(sealed, uuid4().hex)
        made = await tracker.create(sealed, receipt(sealed))
        await tracker.find(sealed, marked)
        await tracker.find(sealed, receipt(sealed))
        await tracker.read(made.key, sealed, receipt(sealed))
        await tracker.search(place.project, "export fails")
        await tracker.link(made, receipt(sealed))
        await tracker.comment("c1", made.key, "ann", "Seen again.")
        known.closed = True
        yield Replies(tracker, known, place.project, sealed, made)


async def filed(place: Place, database: Database, rng: random.Random) -> tuple[str, int]:
    """A ticket on its way there while every answer may be another: its state at the end, and how many tickets there are."""
    before = await place.tickets()
    environ = {**place.environ, "SIGNOFF_DESTINATION": f"{place.tracker}:{place.project}"}
    tracker = connected(environ)[place.tracker]
    one = Approved(database, make_shell(database, tracker, place.project), uuid4().hex)
    transport = Mutating(rng, through(tracker, httpx.MockTransport(lambda _: httpx.Response(500))), often=0.0)
    through(tracker, transport)
    await one.begin()
    transport.often = rng.choice([0.3, 0.7, 1.0])
    state = ""
    for _ in range(8):
        try:
            await one.step()
        except (KeyError, TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
            raise AssertionError(f"the worker fell over {error!r}") from error
        rows = await _row(database, one)
        state = str(rows.status)
        if state in ("filed", "failed") or rows.asked_at:
            break
    return state, await place.tickets() - before


async def _row(database: Database, one: Approved) -> Any:
    from sqlalchemy import select

    from persistence.tables import filings

    async with database.engine.connect() as connection:
        found = select(filings).where(filings.c.session_id == one.talk.session_id)
        return (await connection.execute(found)).one()
