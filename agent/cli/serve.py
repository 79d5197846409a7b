"""`signoff serve`: Signoff in Slack, over HTTP or Socket Mode."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial

import aiohttp
import uvicorn
from rich.console import Console
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store.sqlalchemy import AsyncSQLAlchemyInstallationStore
from slack_sdk.oauth.state_store.sqlalchemy import AsyncSQLAlchemyOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.catalogue import Catalogue
from agent.cli import Usage, discreet, wiring
from agent.sealing import SealedTicket
from agent.trackers import Refused
from persistence.database import Database
from persistence.filings import PostgresFilings
from persistence.migrate import LOCK
from persistence.outbox import PostgresOutbox
from persistence.sessions import PostgresPlaces, PostgresSessions
from persistence.store import PostgresStore
from slack_adapter.app import build_app
from slack_adapter.cards import Cards
from slack_adapter.delivery import Delivery
from slack_adapter.desk import Desk
from slack_adapter.errands import Errands
from slack_adapter.facts import SlackFacts
from slack_adapter.install import SCOPES
from slack_adapter.posting import Poster
from slack_adapter.server import EVENTS_PATH, Site, connected
from slack_adapter.settings import BadSettings, Settings, load
from slack_adapter.workspaces import REVOKED, Workspaces, asked, named, passes, pause_of

CONCURRENCY = 4
"""Turns that run at once in one replica."""


HELLOS = 5
"""How often Slack is asked who we are, at the start."""


def run(*, host: str, port: int, over_socket: bool) -> int:
    """Serves until it is told to end (SIGTERM, Ctrl-C); gives the exit status."""
    secret, app_token = os.environ.get("SLACK_SIGNING_SECRET", ""), os.environ.get("SLACK_APP_TOKEN", "")
    if over_socket and not app_token.startswith("xapp-"):
        raise Usage("SLACK_APP_TOKEN must be an app-level token (xapp-...): create one under Basic Information, and set it.")
    if not over_socket and not secret:
        raise Usage("SLACK_SIGNING_SECRET is not set: copy it from your app's Basic Information, or use --socket.")
    discreet.log_to(logging.StreamHandler(sys.stderr), "%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        with Console(stderr=True).status("starting …"):
            dsn = stack.enter_context(wiring.database_dsn())
        try:
            asyncio.run(_serve(dsn, host, port, secret, app_token if over_socket else ""))
        except SlackApiError as error:
            if passes(error) and named(error) not in REVOKED:
                raise Usage(f"Slack does not answer as it should ({named(error) or 'no answer'}): try again later.") from None
            raise Usage(f"Slack refuses the token ({named(error)}): check SLACK_BOT_TOKEN; signoff doctor says more.") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Usage(
                f"Slack cannot be reached ({wiring.first_line(error)}): check the network, and SLACK_API_URL."
            ) from None
    return 0


async def _serve(dsn: str, host: str, port: int, secret: str, app_token: str) -> None:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(wiring.database(dsn, concurrency=CONCURRENCY))
        app, client = await stack.enter_async_context(replica(database, secret))
        if app_token:
            try:
                await asked(client.apps_connections_open, app_token=app_token)
            except SlackApiError as error:  # the socket's client would try for ever
                reason = error.response.get("error", "no answer")
                mend = "it needs the scope connections:write, and the app Socket Mode; signoff doctor says more."
                raise Usage(f"Slack refuses SLACK_APP_TOKEN ({reason}): {mend}") from None
            await stack.enter_async_context(connected(app, app_token, client))
            _say("Signoff is connected to Slack over Socket Mode; Ctrl-C ends it.")
            await _told_to_end()
        else:
            listening = stack.enter_context(_listening(host, port))
            await Server(Site(app, secret, lambda: database.queue.ready), host, port).serve(sockets=[listening])


@asynccontextmanager
async def replica(database: Database, secret: str) -> AsyncIterator[tuple[AsyncApp, AsyncWebClient]]:
    """The app over an open database with its worker running: for one workspace, or for all it is installed in."""
    token, base = os.environ.get("SLACK_BOT_TOKEN"), os.environ.get("SLACK_API_URL") or AsyncWebClient.BASE_URL
    base = base if base.endswith("/") else f"{base}/"
    try:
        catalogue = wiring.catalogue(database)
        destination = wiring.destination(catalogue.trackers)
        file = load(os.environ.get("SIGNOFF_SETTINGS"), catalogue.trackers)
    except BadSettings as error:
        raise Usage(str(error)) from None
    if token:  # Bolt would take them for an installation of its own making
        os.environ.pop("SLACK_CLIENT_ID", None)
    timeout = aiohttp.ClientTimeout(total=15)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50), timeout=timeout) as http:
        client = AsyncWebClient(token=token, base_url=base, session=http, retry_handlers=[])
        oauth = None if token else await _oauth(database)
        workspaces = Workspaces(client, None if token else partial(_find_token, database.engine))
        desk = Desk(
            workspaces=workspaces,
            accept=PostgresStore(database).accept,
            outbox=PostgresOutbox(database),
            sessions=PostgresSessions(database),
            settings=Settings(file, PostgresPlaces(database), destination),
            catalogue=catalogue,
        )
        if token:
            await _introduced(workspaces)
        poster = Poster()
        cards = Cards(desk.settings, desk.outbox, poster)
        comment = partial(_comment, PostgresFilings(database), catalogue)
        errands = Errands(poster, desk.outbox, desk.sessions, desk.accept, comment)
        delivery = Delivery(desk.workspaces, desk.outbox, poster, cards, errands)
        listener = await asyncio.to_thread(wiring.listener)
        facts = SlackFacts(desk, overhears=listener.overhears)
        shell = await asyncio.to_thread(wiring.shell, database, listener, catalogue, facts, delivery.deliver)
        async with database.queue.working(shell, "slack"), wiring.probing(listener, _say):
            yield build_app(desk, client, secret or None, oauth), client


async def _comment(
    ledger: PostgresFilings, catalogue: Catalogue, session_id: str, comment_id: str, key: str, author: str, text: str
) -> None:
    """Adds a comment to a ticket that was filed from a session. Raises Refused or Later."""
    if (filing := await ledger.filed_as(session_id, key)) is None:
        raise Refused(f"{key} was not filed from this conversation.")
    tracker = catalogue.of(SealedTicket.of(filing.sealed, filing.draft_hash))
    await tracker.comment(comment_id, key, author, text)


async def _introduced(workspaces: Workspaces) -> None:
    """Asks Slack who we are, so that the first request need not; a hiccup of Slack's ends nothing."""
    for left in reversed(range(HELLOS)):
        try:
            await workspaces.of("")
            return
        except SlackApiError as error:
            if not left or not passes(error) or named(error) in REVOKED:
                raise
            await asyncio.sleep(pause_of(error) or 1.0)


async def _oauth(database: Database) -> AsyncOAuthSettings:
    client_id, client_secret = os.environ.get("SLACK_CLIENT_ID"), os.environ.get("SLACK_CLIENT_SECRET")
    if not (client_id and client_secret):
        raise Usage("SLACK_BOT_TOKEN is not set: install the app and copy its bot token (xoxb-...), see docs/slack.md.")
    installations = AsyncSQLAlchemyInstallationStore(client_id=client_id, engine=database.engine)
    states = AsyncSQLAlchemyOAuthStateStore(expiration_seconds=600, engine=database.engine)
    async with database.engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})  # replicas start at once
        await connection.run_sync(installations.metadata.create_all)
        await connection.run_sync(states.metadata.create_all)
    return AsyncOAuthSettings(
        client_id=client_id,
        client_secret=client_secret,
        scopes=list(SCOPES),
        installation_store=installations,
        state_store=states,
    )


async def _find_token(engine: AsyncEngine, team: str) -> str | None:
    """The token of the newest installation in a workspace, whether or not that belongs to an organisation."""
    query = text("SELECT bot_token FROM slack_bots WHERE team_id = :team ORDER BY installed_at DESC LIMIT 1")
    async with engine.connect() as connection:
        token: str | None = await connection.scalar(query, {"team": team})
    return token


def _listening(host: str, port: int) -> socket.socket:
    """A socket of this address. Raises Usage."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise Usage(f"Nothing can listen on {host}:{port} ({error.strerror}): choose another --host or --port.") from None
    return listening


class Server(uvicorn.Server):
    """uvicorn, which says where it listens once it does."""

    def __init__(self, site: Site, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                site, host=host, port=port, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=60
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and tells the address: with port 0 nobody else knows it."""
        await super().startup(sockets=sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            _say(f"Signoff listens on http://{host}:{port}{EVENTS_PATH}; Ctrl-C ends it.")


def _say(text: str) -> None:
    print(text, flush=True)


async def _told_to_end() -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
