"""What the benchmarks share: a server of their own, a store that tells of commits, and how figures are shown."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langgraph.checkpoint.base import BaseCheckpointSaver
from rich.console import Console
from rich.table import Table

from agent.catalogue import Catalogue
from agent.checkpoint import TurnSaver
from agent.graph import Graph, build
from agent.ladder import Ladder
from agent.ports import Event, Snapshot, Turn
from agent.reading import interview
from agent.sealing import Destination
from agent.shell import Shell, TerminalFacts
from agent.similar import Similar
from agent.turn import Turns
from persistence import embedded, keeper
from persistence.database import Database, open_database
from persistence.filings import PostgresFilings
from persistence.similar import OurFilings
from persistence.store import PostgresStore
from persistence.tickets import PostgresTickets
from skills.trackers import renderers
from skills.trackers.local import LocalTracker


@contextlib.contextmanager
def fresh_server() -> Iterator[str]:
    """The address of an embedded PostgreSQL as shipped (fsync on), on a new directory that is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="signoff-benchmark-"))
    directory.chmod(0o755)
    try:
        with embedded.start(directory) as server:
            yield server.dsn
    finally:
        while (stopped := keeper.try_lock(directory / keeper.KEEPER_LOCK)) is None:
            time.sleep(0.05)
        os.close(stopped)
        shutil.rmtree(directory)


def compiled(checkpointer: BaseCheckpointSaver[str] | BaseCheckpointSaver[int]) -> Graph:
    """The graph as `chat` has it without a model, but that it does not look for similar tickets: both sides can run it."""
    return build(interview(), renderers(), Destination(), checkpointer)


@dataclass(frozen=True)
class Taken:
    """A turn that was committed, and the seconds from before its event was accepted to after the commit."""

    turn: Turn
    seconds: float


class WatchedStore(PostgresStore):
    """The store of the program, which tells who waits for an event when its turn is committed, so that nobody polls."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._waiting: dict[str, asyncio.Future[tuple[Turn, float]]] = {}

    async def take(self, event: Event) -> Taken:
        """Accepts the event and waits for its turn. Raises RuntimeError if the turn was committed as failed."""
        done = self._waiting[event.event_id] = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        await self.accept(event)
        turn, end = await done
        if turn.outcome == "failed":
            raise RuntimeError(f"{event.event_id} could not be processed")
        return Taken(turn, end - start)

    async def commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        """Commits, then tells."""
        more = await super().commit(snapshot, turn)
        self._waiting.pop(snapshot.event.event_id).set_result((turn, time.perf_counter()))
        return more


@contextlib.asynccontextmanager
async def working(database: Database) -> AsyncIterator[WatchedStore]:
    """A store whose events are taken by a shell in this process, wired as the program does it."""
    store = WatchedStore(database)
    local = LocalTracker(PostgresTickets(database.engine))
    catalogue = Catalogue({local.name: local})
    ladder, facts = Ladder(PostgresFilings(database), catalogue), TerminalFacts(catalogue, Destination())
    similar = Similar(catalogue, OurFilings(database))
    async with database.queue.working(Shell(store, Turns(compiled(TurnSaver())), ladder, similar, facts)):
        yield store


@contextlib.asynccontextmanager
async def fresh_database(concurrency: int) -> AsyncIterator[Database]:
    """An open database on a server of its own."""
    with fresh_server() as dsn:
        async with open_database(dsn, concurrency=concurrency) as database:
            yield database


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def report(title: str, rows: Sequence[Sequence[object]], figures: Mapping[str, float], *, as_json: bool) -> None:
    """Prints the rows as a table, the first as its head, or with `as_json` all figures as one object on one line."""
    if as_json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
        return
    table = Table(title=title, title_justify="left")
    for n, name in enumerate(rows[0]):
        table.add_column(str(name), justify="right" if n else "left")
    for row in rows[1:]:
        table.add_row(*(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)
