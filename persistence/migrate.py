"""Brings a database to the newest schema; safe when several processes start at once."""

import asyncio
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.faults import point

NEWEST = max(path.name.partition("_")[0] for path in (Path(__file__).parent / "migrations" / "versions").glob("0*.py"))
"""The revision this version of the code needs."""

LOCK = 7_405_960
"""The advisory lock that one process migrates under."""

TRIGRAMS = "pg_trgm"
"""The extension that similar titles are found by; it comes with PostgreSQL."""


class NoTrigrams(Exception):
    """The database has no pg_trgm, and we may not create it; the text says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The database needs PostgreSQL's extension {TRIGRAMS}, and it cannot be created ({reason}): install PostgreSQL's "
            f"contrib package if it lacks it, let an administrator run CREATE EXTENSION {TRIGRAMS} in this database, and "
            "start again."
        )


async def migrate(engine: AsyncEngine) -> None:
    """Upgrades unless the schema is the newest already. Waits while another process upgrades. Raises NoTrigrams."""
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        if await connection.run_sync(_current) == NEWEST:
            return
        # polled, not awaited: a session waiting inside pg_advisory_lock() deadlocks with CREATE INDEX in the other
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
            await asyncio.sleep(0.05)
        try:
            async with engine.begin() as upgrading:
                await upgrading.run_sync(_upgrade)
                point("schema-written")
            point("schema-committed")
        finally:
            await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    if _current(connection) == NEWEST:  # another process did it while this one waited
        return
    config = Config()
    config.set_main_option("script_location", "persistence:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current(connection: Connection) -> str | None:
    exists = connection.scalar(text("SELECT to_regclass('signoff_version')"))
    return connection.scalar(text("SELECT version_num FROM signoff_version")) if exists else None
