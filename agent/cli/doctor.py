"""`signoff doctor`: looks at everything that Signoff in Slack needs, and says what to do about what is wrong.

It changes nothing: it asks Slack who the tokens are, and reads the database without bringing it to the newest schema.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import aiohttp
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.text import Text
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from sqlalchemy.exc import DBAPIError

from agent.cli import Usage, wiring
from persistence.embedded import default_data_dir
from persistence.migrate import NEWEST
from persistence.outbox import PostgresOutbox
from persistence.queue import ALIVE
from skills.trackers.local import LocalTracker
from slack_adapter.install import SCOPES
from slack_adapter.settings import BadSettings, load
from slack_adapter.workspaces import named, status

TIMEOUT = 10
"""Seconds that Slack and the database have to answer."""

SKEW = 60.0
"""Seconds between Slack's clock and ours that are still well; a signature is refused after 300."""

OVERDUE = 60.0
"""Seconds after which what waits should have been taken up."""

RECENT = timedelta(days=1)
"""For so long what could not be delivered counts as wrong; it stays on record, and should not be held up for ever."""

LISTED = 5
"""Undelivered things that are listed."""

SECRETS = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_CLIENT_SECRET")

Status = Literal["ok", "wrong", "skipped"]


@dataclass(frozen=True)
class Check:
    """What one check found, and when it is wrong what to do. `skipped`: not needed, or not possible before another is well."""

    check: str
    status: Status
    found: str
    todo: str = ""
    details: tuple[str, ...] = ()


def run(*, as_json: bool) -> int:
    """Prints a line for each check; gives the exit status: 1 if something is wrong."""
    working = Console(stderr=True)
    with working.status("looking …") if working.is_terminal else nullcontext():
        checks = asyncio.run(examine())
    if as_json:
        for check in checks:
            print(json.dumps(asdict(check)))
    else:
        _print(checks)
    return int(any(check.status == "wrong" for check in checks))


def _print(checks: list[Check]) -> None:
    console = Console(highlight=False)
    shapes = "+x-" if console.options.ascii_only else "✔✘–"
    signs = dict(zip(("ok", "wrong", "skipped"), zip(shapes, ("green", "bold red", "dim"), strict=True), strict=True))
    for check in checks:
        sign, style = signs[check.status]
        line = Text.assemble((f"{sign} {check.check:<15} ", style), check.found)
        if check.todo:
            line.append(f": {check.todo}", style="yellow")
        console.print(line, soft_wrap=True)
        for detail in check.details:
            console.print(Text(f"    {detail}", style="dim"), soft_wrap=True)
    wrong = sum(check.status == "wrong" for check in checks)
    console.print(f"{wrong} of {len(checks)} are wrong; docs/slack.md says more." if wrong else "All is well.")


async def examine(clock: Callable[[], float] = time.time) -> list[Check]:
    """Every check, in the order in which things are set up. No text repeats a secret."""
    checks = [*await _slack(clock), _settings(), *await _stored()]
    return [_without_secrets(check) for check in checks]


def _without_secrets(check: Check) -> Check:
    """Other people's error messages are quoted, and nobody can know what stands in them."""

    def clean(text: str) -> str:
        for secret in _secrets():
            text = text.replace(secret, "…")
        return text

    return replace(check, found=clean(check.found), todo=clean(check.todo), details=tuple(map(clean, check.details)))


def _secrets() -> Iterator[str]:
    for name in SECRETS:
        if secret := _env(name):
            yield secret
    try:
        password = urlsplit(_env("DATABASE_URL")).password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)


def _env(name: str) -> str:
    return os.environ.get(name, "")


# --- Slack -------------------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """Slack did not do it. `said` is Slack's own name for the error, empty if it did not answer in its own form."""

    def __init__(self, why: str, said: str = "") -> None:
        super().__init__(why)
        self.said = said


NETWORK = "check the network, and SLACK_API_URL"
MEND_BOT = "copy the Bot User OAuth Token (xoxb-...) from your app's OAuth & Permissions into SLACK_BOT_TOKEN"
MEND_SOCKET = (
    "create an app-level token (xapp-...) with the scope connections:write under Basic Information > App-Level Tokens, "
    "and set SLACK_APP_TOKEN"
)
NONE_SET = (
    "set SLACK_BOT_TOKEN for one workspace, or SLACK_CLIENT_ID and SLACK_CLIENT_SECRET for several; "
    "docs/slack.md says where to get them"
)


async def _asked(call: Awaitable[AsyncSlackResponse]) -> AsyncSlackResponse:
    try:
        return await call
    except SlackApiError as error:
        if said := named(error):
            raise _Refused(f"Slack refuses it ({said})", said) from None
        raise _Refused(f"what answers is not Slack, or Slack is ill (HTTP {status(error)})") from None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        reason = wiring.first_line(error) or f"no answer in {TIMEOUT} s"
        raise _Refused(f"Slack cannot be reached ({reason})") from None


async def _slack(clock: Callable[[], float]) -> list[Check]:
    base = _env("SLACK_API_URL") or AsyncWebClient.BASE_URL
    # the client's own timeout does not hold for a session that it is given
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as http:
        client = AsyncWebClient(base_url=base if base.endswith("/") else f"{base}/", session=http, retry_handlers=[])
        return [*await _bot(client), _signing_secret(), await _socket(client), await _clock(client, clock)]


async def _bot(client: AsyncWebClient) -> list[Check]:
    if not (token := _env("SLACK_BOT_TOKEN")):
        return _no_bot()
    scopes = Check("scopes", "skipped", "not looked at before the bot token is good")
    if re.search(r"\s", token):
        return [Check("bot token", "wrong", "SLACK_BOT_TOKEN has a space or a line end in it", MEND_BOT), scopes]
    try:
        me = await _asked(client.auth_test(token=token))
    except _Refused as refused:
        todo = NETWORK
        if refused.said in ("ratelimited", "rate_limited"):
            todo = "try again in a minute"
        elif refused.said:
            todo = f"{MEND_BOT}; if the app was removed from the workspace, install it again"
        return [Check("bot token", "wrong", str(refused), todo), scopes]
    if not me.get("bot_id"):
        return [Check("bot token", "wrong", f"it is not a bot's, but @{me.get('user')}'s own token", MEND_BOT), scopes]
    found = f"{me.get('team')} ({me.get('team_id')}), as @{me.get('user')} ({me.get('user_id')})"
    return [Check("bot token", "ok", found), _scopes(me.headers.get("x-oauth-scopes"))]


def _no_bot() -> list[Check]:
    given = [name for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET") if _env(name)]
    if len(given) == 2:
        return [
            Check("bot token", "skipped", "each workspace has its own: SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are set"),
            Check("scopes", "skipped", "asked for when the app is installed, at /slack/install"),
        ]
    found = f"of SLACK_CLIENT_ID and SLACK_CLIENT_SECRET only {given[0]} is set" if given else "none is set"
    return [Check("bot token", "wrong", found, NONE_SET), Check("scopes", "skipped", "not looked at without a token")]


def _scopes(header: str | None) -> Check:
    if header is None:
        return Check("scopes", "skipped", "Slack did not say which the token has")
    granted = {scope.strip() for scope in header.split(",")} - {""}
    if missing := [scope for scope in SCOPES if scope not in granted]:
        todo = "add them under OAuth & Permissions > Bot Token Scopes, and install the app again"
        return Check("scopes", "wrong", f"missing: {', '.join(missing)}", todo)
    more = sorted(granted - set(SCOPES))
    return Check("scopes", "ok", f"all {len(SCOPES)}" + (f", and not needed: {', '.join(more)}" if more else ""))


def _signing_secret() -> Check:
    secret, name = _env("SLACK_SIGNING_SECRET"), "signing secret"
    todo = "copy it from your app's Basic Information > App Credentials into SLACK_SIGNING_SECRET"
    if not secret:
        if _env("SLACK_APP_TOKEN"):
            return Check(name, "skipped", "not set: serve --socket needs none, serve over HTTP does")
        return Check(name, "wrong", "not set", f"{todo}; or set SLACK_APP_TOKEN and use serve --socket")
    if not re.fullmatch(r"[0-9a-z]{32}", secret):  # Slack's are hexadecimal, but the one in its documentation is not
        return Check(name, "wrong", "set, but not 32 digits and small letters as Slack's are", todo)
    return Check(name, "ok", "set, and it looks like one")


async def _socket(client: AsyncWebClient) -> Check:
    token, name = _env("SLACK_APP_TOKEN"), "socket"
    if not token:
        return Check(name, "skipped", "SLACK_APP_TOKEN is not set: only serve --socket needs it")
    if not token.startswith("xapp-") or re.search(r"\s", token):
        return Check(name, "wrong", "SLACK_APP_TOKEN is no app-level token", MEND_SOCKET)
    try:
        await _asked(client.apps_connections_open(app_token=token))
    except _Refused as refused:
        todo = f"{MEND_SOCKET}; Socket Mode must be on" if refused.said else NETWORK
        return Check(name, "wrong", str(refused), "try again in a minute" if "limited" in refused.said else todo)
    return Check(name, "ok", "Slack offers a connection")


async def _clock(client: AsyncWebClient, clock: Callable[[], float]) -> Check:
    try:
        answer = await _asked(client.api_test())
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except _Refused:
        return Check("clock", "skipped", "not compared: Slack did not answer")
    except (KeyError, TypeError, ValueError):
        return Check("clock", "skipped", "not compared: Slack's answer has no time")
    apart = clock() - theirs
    if abs(apart) > SKEW:
        found = f"this machine is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} Slack"
        return Check("clock", "wrong", found, "set its clock (NTP): with 300 s every request of Slack's would be refused")
    return Check("clock", "ok", f"within {max(1, round(abs(apart)))} s of Slack's")


# --- Settings and the database -----------------------------------------------------------------------------------------


def _settings() -> Check:
    path, name = _env("SIGNOFF_SETTINGS"), "settings file"
    if not path:
        return Check(name, "skipped", "SIGNOFF_SETTINGS is not set: defaults, and what /signoff setup says")
    try:
        file = load(path)
    except BadSettings as error:
        return Check(name, "wrong", *_parts(str(error)))
    number = len(file.channels)
    return Check(name, "ok", f"{path}: defaults, and {number} channel{'s' * (number != 1)}")


def _parts(sentence: str) -> tuple[str, str]:
    """What is wrong, and what to do: our sentences say that after the last colon or semicolon."""
    at = max(sentence.rfind(": "), sentence.rfind("; "))
    return (sentence, "") if at < 0 else (sentence[:at], sentence[at + 2 :].rstrip("."))


UNWELL = "the database is not well"
FACTS = f"""
SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = {ALIVE}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS workers,
       inbox.waiting, effects.leaving, greatest(inbox.oldest, effects.oldest, 0)::float AS oldest,
       (SELECT count(*) FROM tickets) AS tickets
FROM (SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(at)) AS oldest FROM inbox
      WHERE processed_at IS NULL AND session_id ~ '^[TE][A-Z0-9]*:[A-Z0-9]+:') inbox,
     (SELECT count(*) AS leaving, extract(epoch FROM clock_timestamp() - min(due_at)) AS oldest FROM effects
      WHERE done_at IS NULL AND session_id ~ '^[TE][A-Z0-9]*:[A-Z0-9]+:') effects
"""


async def _stored() -> list[Check]:
    """The checks that need the database."""
    async with AsyncExitStack() as stack:
        try:
            dsn = await asyncio.to_thread(stack.enter_context, wiring.database_dsn())
            database, version = await _database(dsn)
            if version != NEWEST:
                return [database, *_unread("it has no tables yet" if database.status == "ok" else UNWELL)]
            opened = await stack.enter_async_context(wiring.database(dsn, concurrency=2))
            async with opened.turns.connection(timeout=TIMEOUT) as connection:
                facts = await (await connection.execute(FACTS)).fetchone()
            assert facts
            return [database, _queue(facts, await PostgresOutbox(opened).undelivered(LISTED + 1)), _tracker(facts)]
        except Usage as error:
            return [Check("database", "wrong", *_parts(str(error))), *_unread("there is no database")]
        except (DBAPIError, psycopg.Error, PoolTimeout, OSError) as error:
            reason = wiring.first_line(getattr(error, "orig", None) or error)
            todo = "check that the server runs and that the user may read and write Signoff's tables"
            return [
                Check("database", "wrong", f"it does not answer as it should ({reason})", todo),
                *_unread("the database is not well"),
            ]


def _unread(why: str) -> list[Check]:
    return [Check(name, "skipped", f"not looked at, because {why}") for name in ("queue", "tracker")]


async def _database(dsn: str) -> tuple[Check, str]:
    """The check and the version of the schema, which is empty if there is none.

    Looks with a connection of its own: opening the database the usual way would upgrade it.
    """
    try:
        connecting = psycopg.AsyncConnection.connect(dsn, connect_timeout=TIMEOUT, autocommit=True, row_factory=dict_row)
        async with await connecting as connection:
            where = f"{connection.info.dbname} at {connection.info.host}:{connection.info.port}"
            exists = await (await connection.execute("SELECT to_regclass('signoff_version') AS name")).fetchone()
            row = None
            if exists and exists["name"]:
                row = await (await connection.execute("SELECT version_num FROM signoff_version")).fetchone()
            version = str(row["version_num"]) if row else ""
    except psycopg.ProgrammingError as error:
        if error.sqlstate:
            raise
        raise Usage("DATABASE_URL is no valid URL: mend it (special characters are percent-encoded), or unset it.") from None
    except psycopg.OperationalError as error:
        todo = "check DATABASE_URL, or unset it to use the PostgreSQL that comes along"
        return Check("database", "wrong", f"it cannot be reached ({wiring.first_line(error)})", todo), ""
    if not _env("DATABASE_URL"):
        where = f"the one that comes along, in {default_data_dir()}"
    todo = ""
    verdict: Status = "wrong"
    if not version:
        found, verdict = "it is new, and serve makes its tables", "ok"
    elif version == NEWEST:
        found, verdict = f"schema {version}", "ok"
    elif version < NEWEST:
        found = f"its schema is {version}, and this version needs {NEWEST}"
        todo = "start this version of signoff serve, which upgrades it"
    else:
        found = f"its schema {version} is newer than this version's {NEWEST}"
        todo = "use the version of Signoff that the other processes use"
    return Check("database", verdict, f"{where}; {found}", todo), version


def _queue(facts: dict[str, Any], undelivered: list[dict[str, Any]]) -> Check:
    workers, waiting, leaving = facts["workers"], facts["waiting"], facts["leaving"]
    runs = f"{workers} worker{'s run' if workers > 1 else ' runs'}" if workers else "no worker runs"
    waits = f"{waiting} to be read and {leaving} to be delivered" if waiting or leaving else "nothing waits"
    found, todos = f"{runs}; {waits}", []
    if facts["oldest"] > OVERDUE:
        found += f", for {facts['oldest']:.0f} s"
        todos.append("look at what signoff serve says, and restart it" if workers else "start signoff serve")
    lately = [one for one in undelivered if datetime.now(UTC) - one["done_at"] < RECENT]
    if lately:
        more = "more than " if len(lately) > LISTED else ""
        found += f"; {more}{len(lately[:LISTED])} could not be delivered within a day"
        todos.append("mend the cause (invite it again, or unarchive the channel), and say show in the thread")
    if todos:
        return Check("queue", "wrong", found, "; ".join(todos), tuple(map(_undelivered, lately[:LISTED])))
    return Check("queue", "ok" if workers else "skipped", found)


def _undelivered(row: dict[str, Any]) -> str:
    _, channel, thread = row["session_id"].split(":")
    kind = {"preview": "a card", "question": "a question", "filed": "that it is filed"}.get(row["body"]["kind"], "an answer")
    return f"channel {channel}: {row['problem']} ({kind}, thread {thread}, {row['done_at'].astimezone():%Y-%m-%d %H:%M})"


def _tracker(facts: dict[str, Any]) -> Check:
    number = facts["tickets"]
    return Check("tracker", "ok", f"{LocalTracker.name}, with {number} ticket{'s' * (number != 1)}")
