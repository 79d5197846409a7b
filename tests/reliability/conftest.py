"""Processes to kill: terminals, and servers in Slack; and databases for them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from persistence import embedded
from tests.processes import Forker, forking

Databases = Callable[[], AbstractContextManager[str]]
"""Gives a migrated database for as long as a conversation needs it."""


OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'signoff_version'"


@pytest.fixture(scope="session")
def forkers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Forker]]:
    """What starts them."""
    with forking(tmp_path_factory.mktemp("chats")) as chat:
        with forking(tmp_path_factory.mktemp("servers"), serves=True) as serve:
            yield {"chat": chat, "serve": serve}


@pytest.fixture(scope="session")
def databases(server: embedded.EmbeddedServer, template: str) -> Databases:
    """Makes as many as are needed at once, and empties each when its conversation is over: dropping one takes a second."""
    free: list[str] = []
    numbers = count()

    @contextmanager
    def lent() -> Iterator[str]:
        if not free:
            name = f"killed_{next(numbers)}"
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            free.append(urlunsplit(urlsplit(server.dsn)._replace(path=f"/{name}")))
        dsn = free.pop()
        yield dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(OTHERS)
            tables = [name for (name,) in connection.execute(TABLES)]
            connection.execute("SET session_replication_role = replica")  # the log that only grows lets itself be emptied
            connection.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        free.append(dsn)

    return lent
