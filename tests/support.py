"""Talking to a running shell as a surface would: accept an event, wait until it settled, read what is shown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from agent.catalogue import Catalogue
from agent.checkpoint import TurnSaver
from agent.graph import build
from agent.ladder import Ladder
from agent.ports import Event
from agent.protocol import Decision, Reply, Settlement
from agent.reading import Listener, interview
from agent.sealing import Destination
from agent.shell import Shell, TerminalFacts
from agent.similar import Similar
from agent.trackers import Tracker
from agent.turn import Turns
from persistence.database import Database
from persistence.feed import Feed
from persistence.filings import PostgresFilings
from persistence.similar import OurFilings
from persistence.store import PostgresStore
from persistence.tickets import PostgresTickets
from skills.trackers.local import LocalTracker

COMPLETE = "Title: Export fails\nProblem: It answers 500.\nAcceptance criteria: - it finishes - it is logged"

_events = count(1)


def make_shell(
    database: Database, tracker: Tracker | None = None, project: str = "LOCAL", listener: Listener | None = None
) -> Shell:
    """The shell as the command line wires it, over one tracker."""
    tracker = tracker or LocalTracker(PostgresTickets(database.engine))
    catalogue, destination = Catalogue({tracker.name: tracker}), Destination(tracker=tracker.name, project=project)
    graph = build(listener or interview(), {tracker.name: tracker}, destination, TurnSaver(), looks=True)
    ladder, similar = Ladder(PostgresFilings(database), catalogue), Similar(catalogue, OurFilings(database))
    turns = Turns(graph, find=similar.find)
    return Shell(PostgresStore(database), turns, ladder, similar, TerminalFacts(catalogue, destination))


class Talk:
    """One conversation."""

    def __init__(self, database: Database, session_id: str) -> None:
        self.session_id = session_id
        self.store = PostgresStore(database)
        self.feed = Feed(database.engine, session_id)

    def event(self, answer: Reply | Decision | Settlement) -> Event:
        """The answer as an event that nothing else repeats."""
        event_id = f"{self.session_id}:{next(_events)}"
        return Event(event_id=event_id, session_id=self.session_id, origin=self.feed.origin, answer=answer)

    async def send(self, answer: Reply | Decision | Settlement) -> list[dict[str, Any]]:
        """What is shown because of it, once nothing more will come."""
        await self.store.accept(self.event(answer))
        return await self.settled()

    async def settled(self) -> list[dict[str, Any]]:
        """What was shown since the last call."""
        async with asyncio.timeout(30):
            while not await self.feed.settled():
                await asyncio.sleep(0.01)
        return [shown.body for shown in await self.feed.read()]

    async def say(self, text: str, by: str = "ann") -> list[dict[str, Any]]:
        """A message."""
        return await self.send(Reply(text=text, by=by))

    async def approve(self, draft_hash: str | None, by: str = "ann") -> list[dict[str, Any]]:
        """A click on the card with that hash."""
        return await self.send(Decision(type="approve", draft_hash=draft_hash, by=by))


@asynccontextmanager
async def talk_on(database: Database) -> AsyncIterator[Callable[[str], Talk]]:
    """Runs a worker, and makes conversations that it serves."""
    async with database.queue.working(make_shell(database)):
        yield lambda name: Talk(database, f"terminal:{name}")


def of_kind(shows: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only show of that kind."""
    [found] = [show for show in shows if show["kind"] == kind]
    return found
