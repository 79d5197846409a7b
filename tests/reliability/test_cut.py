"""PostgreSQL itself is cut under load: its connections are ended, it is stopped at once, killed, and starts again."""

import asyncio
import os
import random
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from persistence import embedded
from tests.measures import measured
from tests.processes import Forker
from tests.reliability.flows import FLOWS, Flow
from tests.reliability.world import world

CUT = ("terminal", "no answer, found", "Slack", "Slack: edited by form", "Slack: rejected, then changed", "Slack: a command")
CUTS = ("connections", "fast", "immediate", "killed")
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}
SEED = int(os.environ.get("SIGNOFF_CUT_SEED", "1"))


class Server:
    """A PostgreSQL of its own, which is kept running by its keeper."""

    def __init__(self, directory: Path, dsn: str) -> None:
        self.dsn, self._directory, self.cuts = dsn, directory, 0

    def database(self, name: str) -> str:
        """A new, empty database."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))

    def cut(self, how: str) -> None:
        """Does that to it."""
        if how == "connections":
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        else:
            cluster = next(self._directory.glob("postgres-[0-9][0-9]"))
            os.kill(int((cluster / "postmaster.pid").read_text().split()[0]), SIGNALS[how])
        self.cuts += 1


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
    dsns = [own_server.database(f"cut_{number}") for number in range(len(flows))]

    async def played(flow: Flow, dsn: str) -> str:
        try:
            async with world(flow.kind, forkers, dsn, "", outside=flow.outside) as here:
                here.may_end = (-9, 2)  # a terminal says in one sentence that the database went away, and is started again
                async with asyncio.timeout(300):
                    await flow.play(here)
                    await here.finish()
                wrong = str(here.wrong())
                number = len(here.github.issues) if flow.outside else here.rows("SELECT count(*) AS n FROM tickets")[0]["n"]
                return wrong + (f"{number} tickets, not {flow.tickets}" if number != flow.tickets else "")
        except Exception:
            return traceback.format_exc()[-3000:]

    playing = [asyncio.create_task(played(flow, dsn)) for flow, dsn in zip(flows, dsns, strict=True)]
    for _ in range(4):
        await asyncio.sleep(rng.uniform(1, 4))
        with suppress(psycopg.OperationalError, FileNotFoundError, ProcessLookupError, ValueError):  # it is away already
            own_server.cut(how)
    results = await asyncio.gather(*playing)
    wrong = {flow.name: result for flow, result in zip(flows, results, strict=True) if result}
    measured("cuts", how=how, conversations=len(flows), cuts=own_server.cuts, wrong=wrong)
    assert wrong == {}
