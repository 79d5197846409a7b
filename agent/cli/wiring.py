"""Wires the ports: which database, which model, which tracker, who may decide."""

import asyncio
import getpass
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from agent.cli import Usage, discreet
from persistence import embedded

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.ports import Facts
    from agent.reading import Listener
    from agent.sealing import Destination
    from agent.shell import Deliver, Shell
    from persistence.database import Database

Read = TypeVar("Read")


@contextmanager
def database_dsn() -> Iterator[str]:
    """The database to use: DATABASE_URL, or the embedded server, which runs at least as long as this context."""
    if url := os.environ.get("DATABASE_URL"):
        if not url.startswith(("postgresql://", "postgres://")):
            raise Usage("DATABASE_URL must start with postgresql://; correct it, or unset it to use the embedded PostgreSQL.")
        yield url
        return
    try:
        server = embedded.start()
    except embedded.EmbeddedError as error:
        raise Usage(str(error)) from None
    discreet.log_to(logging.FileHandler(embedded.default_data_dir() / "signoff.log"))
    with server:
        yield server.dsn


@asynccontextmanager
async def database(dsn: str, concurrency: int = 4) -> AsyncIterator["Database"]:
    """The open database. Raises Usage if it cannot be reached, or lacks what it needs."""
    import psycopg

    from persistence.database import open_database
    from persistence.migrate import NoTrigrams

    try:
        with psycopg.connect(dsn, connect_timeout=10):
            pass
    except psycopg.ProgrammingError:  # its text would repeat parts of the URL, which may hold a password
        raise Usage("DATABASE_URL is no valid URL: mend it (special characters are percent-encoded), or unset it.") from None
    except psycopg.Error as error:
        raise Usage(f"The database cannot be reached ({first_line(error)}): check DATABASE_URL, or unset it.") from None
    async with AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(open_database(dsn, concurrency=concurrency))
        except NoTrigrams as error:
            raise Usage(str(error)) from None
        yield opened


def read_from_database(read: Callable[["Database"], Awaitable[Read]]) -> Read:
    """What a command reads that only looks. Raises Usage if the database does not let it."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    async def reading(dsn: str) -> Read:
        async with database(dsn) as opened:
            return await read(opened)

    with database_dsn() as dsn:
        try:
            return asyncio.run(reading(dsn))
        except (DBAPIError, psycopg.Error) as error:
            reason = first_line(getattr(error, "orig", None) or error)
            raise Usage(f"The database does not answer as it should ({reason}): check it, and try again.") from None


def login() -> str:
    """What whoever runs this is called."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id that nobody has named
        return f"user {os.getuid()}"


def first_line(error: BaseException) -> str:
    """What an error says first, to be put in a sentence."""
    return str(error).strip().partition("\n")[0].rstrip(":. ")


def catalogue(opened: "Database") -> "Catalogue":
    """The trackers that the environment connects, and the local one. Raises Usage."""
    from agent.catalogue import Catalogue
    from persistence.tickets import PostgresTickets
    from skills.trackers import connected
    from skills.trackers.local import LocalTracker

    local = LocalTracker(PostgresTickets(opened.engine))
    try:
        return Catalogue({local.name: local, **connected(os.environ)})
    except ValueError as error:
        raise Usage(str(error)) from None


def destination(trackers: Collection[str]) -> "Destination":
    """Where tickets go whose place has settled nothing else: SIGNOFF_DESTINATION, such as jira:OPS.

    Raises Usage if that is none of these trackers.
    """
    from agent.sealing import PROJECT, Destination

    given = os.environ.get("SIGNOFF_DESTINATION", "")
    if not given:
        return Destination()
    tracker, _, project = given.partition(":")
    if not re.fullmatch(PROJECT, project):
        raise Usage(f"SIGNOFF_DESTINATION is {given!r}: write TRACKER:PROJECT, such as jira:OPS or github:acme/web.")
    if tracker not in trackers:
        known = ", ".join(trackers)
        raise Usage(f"SIGNOFF_DESTINATION names the tracker {tracker}, and there are {known}: see docs/trackers.md.")
    return Destination(tracker=tracker, project=project)


def listener() -> "Listener":
    """Who reads the messages, as the settings choose. Raises Usage."""
    from agent.model import BadModel, configured_listener

    try:
        return configured_listener()
    except BadModel as error:
        raise Usage(str(error)) from None


@asynccontextmanager
async def probing(listener: "Listener", tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Asks the model once, meanwhile, and tells what is wrong with it; conversations go on as guided interviews then."""
    from agent.model import probe

    async def ask() -> None:
        if wrong := await probe(listener):
            tell(f"{wrong} Until it does, conversations go on as guided interviews.")

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def shell(
    opened: "Database",
    listener: "Listener",
    catalogue: "Catalogue",
    facts: "Facts | None" = None,
    deliver: "Deliver | None" = None,
) -> "Shell":
    """The shell over the open database, with everything the settings choose; the facts are the terminal's unless given."""
    from agent.checkpoint import TurnSaver
    from agent.graph import build
    from agent.ladder import Ladder
    from agent.shell import Shell, TerminalFacts
    from agent.similar import Similar
    from agent.turn import Turns
    from persistence.filings import PostgresFilings
    from persistence.similar import OurFilings
    from persistence.store import PostgresStore
    from skills.trackers import renderers

    default = destination(catalogue.trackers)
    similar = Similar(catalogue, OurFilings(opened))
    graph = build(listener, renderers(), default, TurnSaver(), looks=True)
    turns = Turns(graph, overhears=listener.overhears, find=similar.find)
    ladder, known = Ladder(PostgresFilings(opened), catalogue), facts or TerminalFacts(catalogue, default)
    return Shell(PostgresStore(opened), turns, ladder, similar, known, deliver, lambda: listener.crowded)
