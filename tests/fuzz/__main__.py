"""Fuzzing for as long as one likes: `scripts/fuzz [SECONDS] [SEED]`. Each finding names the seed that leads to it again."""

import asyncio
import logging
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from rich.console import Console
from rich.table import Table

from agent.cli import serve
from persistence import embedded
from persistence.database import Database, open_database
from slack_adapter.server import EVENTS_PATH, Site
from tests.fuzz import gates
from tests.fuzz import slack as bodies
from tests.fuzz.models import answers
from tests.fuzz.mutating import within
from tests.fuzz.parsers import PARSERS
from tests.fuzz.trackers import filed, replies
from tests.measures import measured
from tests.slack.channel import Channel
from tests.slack_sim import running_slack
from tests.trackers.places import PLACES

One = Callable[[random.Random], Awaitable[object]]
SHOWN = 3
"""Findings of a target that are shown whole."""


@dataclass
class Target:
    """What was tried on one target, and found."""

    name: str
    tried: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: list[tuple[int, str]] = field(default_factory=list)

    async def run(self, one: One, seed: int, seconds: float, each: float) -> None:
        """Inputs until the time is over."""
        began = time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            number = seed + self.tried
            self.tried += 1
            try:
                with within(each):
                    await one(random.Random(number))
            except Exception:
                self.findings.append((number, traceback.format_exc(limit=-6)))
            self.slowest = max(self.slowest, time.monotonic() - now)
        self.seconds += time.monotonic() - began


async def main(seconds: float, seed: int) -> int:
    """Runs every target for its share of the time; 1 if anything was found."""
    console, targets, names = Console(), list[Target](), [*PLACES]
    number = len(PARSERS) + 2 * len(names) + 3
    share = seconds / number
    console.print(f"seed {seed}, {share:.0f} s for each of {number} targets")
    async with AsyncExitStack() as stack:
        folder = _folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for parser in PARSERS:

            async def parse(rng: random.Random, parser: object = parser) -> None:
                parser.one(rng)  # type: ignore[attr-defined]

            targets.append(Target(parser.name))
            await targets[-1].run(parse, seed, share, 3)
        targets.append(Target("answers that resume the graph"))
        await targets[-1].run(gates.one, seed, share, 10)
        for name in names:
            async with replies(name, folder) as tracker:
                targets.append(Target(f"replies of {name}"))
                await targets[-1].run(tracker.one, seed, share, 5)
        dsn = stack.enter_context(embedded.start()).dsn
        database = await stack.enter_async_context(open_database(dsn))
        for name in names:
            async with PLACES[name](folder) as place:

                async def file(rng: random.Random, place: object = place) -> None:
                    state, tickets = await filed(place, database, rng)  # type: ignore[arg-type]
                    assert state in ("filed", "failed", "unknown")
                    assert tickets <= 1, "two tickets"

                targets.append(Target(f"filings in {name}"))
                await targets[-1].run(file, seed, share, 60)
        async with answers(database) as model:
            targets.append(Target("answers of a model's server"))
            await targets[-1].run(model.one, seed, share, 20)
        with psycopg.connect(dsn, autocommit=True) as connection:  # what is left of the filings is never done
            connection.execute("CREATE DATABASE slack")
        dsn = urlunsplit(urlsplit(dsn)._replace(path="/slack"))
        database = await stack.enter_async_context(open_database(dsn))
        async with _channel(database, dsn) as ops:
            thread, refused = await bodies.begin(ops), bodies.Refusals()
            targets.append(Target("Slack bodies over HTTP"))
            await targets[-1].run(lambda rng: bodies.one(ops, thread, rng, refused), seed, share, 10)
            await ops.quiet(120)
            if failed := await ops.rows("SELECT event_id FROM inbox WHERE outcome = 'failed' AND session_id LIKE 'T1:%'"):
                targets[-1].findings.append((0, f"events that could not be processed: {failed}"))
    _show(console, targets)
    for target in targets:
        measured("fuzz", target=target.name, tried=target.tried, wrong=len(target.findings), seconds=target.seconds)
    return int(any(target.findings for target in targets))


@asynccontextmanager
async def _channel(database: Database, dsn: str) -> AsyncIterator[Channel]:
    async with running_slack() as slack:
        for user, name in (("U1ANN", "ann"), ("U2BOB", "bob")):
            slack.add_user(user, name)
        slack.add_channel("C1OPS", "ops", ["U1ANN", "U2BOB"])
        os.environ |= {"SLACK_API_URL": slack.api_url, "SLACK_BOT_TOKEN": slack.bot_token}
        async with serve.replica(database, slack.signing_secret) as (app, _):
            server = serve.Server(Site(app, slack.signing_secret, lambda: database.queue.ready), "127.0.0.1", 0)
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            running = asyncio.create_task(server._serve())
            while not server.started:
                await asyncio.sleep(0.01)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{EVENTS_PATH}"
            slack.deliver_to(url)
            try:
                yield Channel(slack, database, "C1OPS", url, dsn)
            finally:
                server.should_exit = True
                await running


def _folder() -> Path:
    """A place for the database, which its own user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="signoff-fuzz-"))
    folder.chmod(0o755)
    os.environ["SIGNOFF_DATA"] = str(folder)
    return folder


def _show(console: Console, targets: list[Target]) -> None:
    table = Table("target", "inputs", "findings", "a second", "slowest")
    for target in targets:
        rate = f"{target.tried / target.seconds:,.0f}" if target.seconds else ""
        found = f"[bold red]{len(target.findings)}[/]" if target.findings else "0"
        table.add_row(target.name, f"{target.tried:,}", found, rate, f"{target.slowest:.2f} s")
    console.print(table)
    for target in targets:
        for number, told in target.findings[:SHOWN]:
            console.print(f"[bold red]{target.name}, seed {number}[/]")
            console.print(told, markup=False, highlight=False)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what is refused is said to operators, thousands of times
    given = [float(one) for one in sys.argv[1:3]]
    sys.exit(asyncio.run(main(given[0] if given else 300, int(given[1]) if len(given) > 1 else random.randrange(2**31))))
