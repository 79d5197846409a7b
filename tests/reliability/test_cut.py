"""PostgreSQL itself is cut under load: its connections are ended, it is stopped or killed, and starts again.

In CI it is stopped at once; SIGNOFF_CUTS=connections,fast,immediate,killed tries all there is.
"""

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from persistence import embedded
from persistence.database import open_database
from tests.measures import measured
from tests.processes import Forker
from tests.reliability.flows import FLOWS
from tests.reliability.sweep import played, summed, wrong

CUT = ("terminal", "no answer, found", "Slack", "Slack: edited by form", "Slack: rejected, then changed", "Slack: a command")
CUTS = os.environ.get("SIGNOFF_CUTS", "immediate").split(",")
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}
SEED = int(os.environ.get("SIGNOFF_CUT_SEED", "1"))


class Server:
    """A PostgreSQL of its own, which is kept running by its keeper."""

    def __init__(self, directory: Path, dsn: str) -> None:
        self.dsn, self._directory, self.cuts = dsn, directory, 0

    async def databases(self, number: int) -> list[str]:
        """New, migrated databases."""
        dsns = [urlunsplit(urlsplit(self.dsn)._replace(path=f"/cut_{n}")) for n in range(number)]
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE cut_0")
            async with open_database(dsns[0]):
                pass
            for n in range(1, number):
                connection.execute(f"CREATE DATABASE cut_{n} TEMPLATE cut_0")
        return dsns

    def cut(self, how: str) -> None:
        """Does that to it."""
        if how == "connections":
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        else:
            cluster = next(self._directory.glob("postgres-[0-9][0-9]"))
            os.kill(int((cluster / "postmaster.pid").read_text().split()[0]), SIGNALS[how])
        self.cuts += 1

    async def back(self) -> None:
        """Waits until it answers again."""
        async with asyncio.timeout(60):
            while True:
                with suppress(psycopg.Error):
                    async with await psycopg.AsyncConnection.connect(self.dsn, connect_timeout=2):
                        return
                await asyncio.sleep(0.1)


@pytest.fixture
def own_server() -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="signoff-cut-"))
    directory.chmod(0o755)
    with embedded.start(directory) as running:
        yield Server(directory, running.dsn)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("how", CUTS)
async def test_nothing_is_lost_or_doubled_when_the_database_goes_away(
    forkers: dict[str, Forker], own_server: Server, how: str
) -> None:
    print(f"SIGNOFF_CUT_SEED={SEED} cuts at the same times again")
    rng, flows = random.Random(SEED), [flow for flow in FLOWS if flow.name in CUT]
    dsns = await own_server.databases(len(flows))
    playing = [
        asyncio.create_task(played(flow, forkers, dsn, may_end=(-9, 1, 2)))  # what cannot go on without it ends, too
        for flow, dsn in zip(flows, dsns, strict=True)
    ]
    for _ in range(4):
        await asyncio.sleep(rng.uniform(0.5, 3))
        own_server.cut(how)
        await own_server.back()
    outcomes = dict(zip((flow.name for flow in flows), await asyncio.gather(*playing), strict=True))
    measured("cuts", how=how, cuts=own_server.cuts, **summed(outcomes))
    assert wrong(outcomes) == {}
