"""The connections: a pool for what comes in and one for turns, so that neither starves the other; the queue has its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from persistence.migrate import migrate
from persistence.queue import Queue


@dataclass(frozen=True)
class Database:
    """An open database at the newest schema."""

    ingest: AsyncEngine
    turns: AsyncEngine
    queue: Queue


@asynccontextmanager
async def open_database(dsn: str, *, concurrency: int = 4) -> AsyncIterator[Database]:
    """Connects to `dsn` (a libpq URL), migrates, and closes everything at the end.

    `concurrency` is how many turns may run at once in this process; the pools follow it.
    """
    url = dsn.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    ingest, turns = (
        create_async_engine(url, pool_size=size, max_overflow=0) for size in (max(2, concurrency // 2), concurrency)
    )
    queue = Queue(dsn, concurrency=concurrency)
    try:
        await migrate(turns)
        await queue.open()
        yield Database(ingest, turns, queue)
    finally:
        await queue.close()
        await ingest.dispose()
        await turns.dispose()
