import asyncio
import os
import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from persistence.database import Database, open_database
from persistence.migrate import NEWEST, migrate
from persistence.tables import metadata

MIGRATE = """
import asyncio, os
from persistence.database import open_database
async def main():
    async with open_database(os.environ["DSN"]):
        pass
asyncio.run(main())
"""


async def test_the_tables_are_what_the_migrations_make(database: Database) -> None:
    def differences(connection: object) -> list[object]:
        options = {
            "version_table": "signoff_version",
            "include_name": lambda name, kind, _: kind != "table" or not name.startswith("procrastinate"),
            "compare_server_default": False,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)  # type: ignore[arg-type]

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_replicas_may_start_at_once_on_an_empty_database(empty_dsn: str) -> None:
    environment = {**os.environ, "DSN": empty_dsn}
    replicas = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATE, env=environment, stderr=asyncio.subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [(await replica.communicate())[1] for replica in replicas]
    assert [replica.returncode for replica in replicas] == [0] * 4, errors


async def test_migrating_again_does_nothing(empty_dsn: str) -> None:
    async with open_database(empty_dsn) as opened:
        await migrate(opened.engine)
    engine = create_async_engine(empty_dsn.replace("postgresql://", "postgresql+psycopg://"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT version_num FROM signoff_version")) == NEWEST
    await engine.dispose()
