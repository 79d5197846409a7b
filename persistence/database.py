"""The connections: a pool for what comes in and one for turns, so that neither starves the other; the queue has its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from persistence.migrate import migrate
from persistence.queue import Queue, pool

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


@dataclass(frozen=True)
class Database:
    """An open database at the newest schema."""

    ingest: Pool
    """For accepting events; autocommit, because that is one statement."""
    turns: Pool
    """For finding and committing turns; autocommit, so that a read is one round trip."""
    engine: AsyncEngine
    """For what is rarer: decisions, filings, tickets."""
    queue: Queue


@asynccontextmanager
async def open_database(dsn: str, *, concurrency: int = 4) -> AsyncIterator[Database]:
    """Connects to `dsn` (a libpq URL), migrates, and closes everything at the end.

    `concurrency` is how many turns may run at once in this process; the pools follow it.
    """
    connect = partial(AsyncConnection.connect, dsn)  # libpq reads the URL, as it does for the pools
    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=concurrency,
        max_overflow=0,
        hide_parameters=True,  # an error would repeat what people wrote
    )
    ingest, turns = _pool(dsn, max(2, concurrency // 2)), _pool(dsn, concurrency)
    queue = Queue(dsn, concurrency=concurrency)
    try:
        await migrate(engine)
        await ingest.open()
        await turns.open()
        await queue.open()
        yield Database(ingest, turns, engine, queue)
    finally:
        await queue.close()
        await turns.close()
        await ingest.close()
        await engine.dispose()


def _pool(dsn: str, size: int) -> Pool:
    options = {"autocommit": True, "row_factory": dict_row}
    return pool(dsn, min_size=1, max_size=size, open=False, kwargs=options)
