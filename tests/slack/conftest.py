"""A Slack of our own with people in it, and Signoff connected to it over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from agent.cli import wiring
from agent.cli.serve import Server, replica
from agent.reading import Listener
from persistence.database import Database, open_database
from slack_adapter.server import EVENTS_PATH, Site
from tests.slack.channel import Channel
from tests.slack.listening import Scribe
from tests.slack.replicas import Replica, serve
from tests.slack_sim import Slack, running_slack


@pytest.fixture
async def slack(request: pytest.FixtureRequest) -> AsyncIterator[Slack]:
    """A workspace: ann and bob are members of #ops, gus is a guest there, zoe is not in it, ada is an admin.

    The parameter, if any, is the organisation that it belongs to.
    """
    async with running_slack() as slack:
        if organisation := getattr(request, "param", None):
            slack.add_workspace("T1", bot_token=slack.bot_token, enterprise_id=organisation)
        slack.add_user("U1ANN", "ann")
        slack.add_user("U2BOB", "bob")
        slack.add_user("U3GUS", "gus", guest=True)
        slack.add_user("U4ZOE", "zoe")
        slack.add_user("U0ADA", "ada", admin=True)
        slack.add_channel("C1OPS", "ops", ["U1ANN", "U2BOB", "U3GUS", "U0ADA"])
        yield slack


@asynccontextmanager
async def serving(database: Database, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Signoff on a free port; gives the address for Slack's requests."""
    monkeypatch.setenv("SLACK_API_URL", slack.api_url)
    monkeypatch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
    async with replica(database, slack.signing_secret) as (app, _):
        server = Server(Site(app, slack.signing_secret, lambda: database.queue.ready), "127.0.0.1", 0)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        running = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}{EVENTS_PATH}"
        finally:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture
def scribe(monkeypatch: pytest.MonkeyPatch) -> Scribe:
    """The model that listens, in tests that ask for it before the channel; else it is the guided interview."""
    scribe = Scribe()
    monkeypatch.setattr(wiring, "listener", lambda: Listener(scribe))
    return scribe


@pytest.fixture
async def ops(database: Database, dsn: str, slack: Slack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Channel]:
    """The channel #ops with Signoff in it."""
    async with serving(database, slack, monkeypatch) as url:
        slack.deliver_to(url)
        yield Channel(slack, database, "C1OPS", url, dsn)


@pytest.fixture
async def start(slack: Slack, dsn: str) -> AsyncIterator[Callable[..., Any]]:
    """Starts replicas, which end with the test."""
    async with AsyncExitStack() as stack:

        async def starting(*arguments: str, **more: str) -> Replica:
            return await stack.enter_async_context(serve(slack, dsn, *arguments, **more))

        yield starting


@pytest.fixture
async def looking(dsn: str) -> AsyncIterator[Database]:
    """The database, for a look at its tables."""
    async with open_database(dsn) as opened:
        yield opened
