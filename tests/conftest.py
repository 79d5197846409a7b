"""What all tests share: one real PostgreSQL for the whole run, and a database of its own for each test that asks."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from persistence import embedded
from persistence.database import Database, open_database
from tests.processes import Forker, forking
from tests.support import Talk, talk_on


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.EmbeddedServer]:
    """The same server that users get, in a directory of its own."""
    directory = Path(tempfile.mkdtemp(prefix="signoff-tests-"))
    directory.chmod(0o755)
    with embedded.start(directory) as running:
        yield running
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
async def template(server: embedded.EmbeddedServer) -> str:
    """A migrated database to copy."""
    dsn = _create(server.dsn, "template_for_tests")
    async with open_database(dsn):
        return "template_for_tests"


@pytest.fixture
def dsn(server: embedded.EmbeddedServer, template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An own, migrated database."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    yield _create(server.dsn, name, template)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def dsns(server: embedded.EmbeddedServer, template: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes as many own, migrated databases as a test asks for."""
    made: list[str] = []

    def make() -> str:
        made.append(f"test_{abs(hash(request.node.nodeid))}_{len(made)}")
        return _create(server.dsn, made[-1], template)

    yield make
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_dsn(server: embedded.EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """An own database with nothing in it."""
    name = f"empty_{abs(hash(request.node.nodeid))}"
    yield _create(server.dsn, name)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The own database, opened."""
    async with open_database(dsn) as opened:
        yield opened


@pytest.fixture
async def talk(database: Database) -> AsyncIterator[Callable[[str], Talk]]:
    """Makes conversations on a running shell."""
    async with talk_on(database) as make:
        yield make


def _create(server_dsn: str, name: str, template: str = "template0") -> str:
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def signoff(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """Starts real signoff processes."""
    with forking(tmp_path_factory.mktemp("processes")) as forker:
        yield forker
