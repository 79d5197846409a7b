"""The checks of what is kept: the settings file, the database, the queue, the tracker, and the workspaces of an OAuth app."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import DBAPIError

from agent.cli import Usage, wiring
from agent.cli.doctor.check import TIMEOUT, Check, Status, env, parts
from agent.cli.doctor.slack import workspace_tokens
from agent.hiding import remember
from persistence.database import Database
from persistence.embedded import default_data_dir
from persistence.migrate import NEWEST, TRIGRAMS
from persistence.outbox import PostgresOutbox
from persistence.queue import ALIVE
from skills.trackers import renderers
from slack_adapter.settings import BadSettings, load

OVERDUE = 60.0
"""Seconds after which what waits should have been taken up."""

RECENT = timedelta(days=1)
"""For so long what could not be delivered counts as wrong; it stays on record, and should not be held up for ever."""

LISTED = 5
"""Undelivered things that are listed."""


def settings_check() -> Check:
    """The settings file, if there is one."""
    path, name = env("SIGNOFF_SETTINGS"), "settings file"
    if not path:
        return Check(name, "skipped", "SIGNOFF_SETTINGS is not set: defaults, and what /signoff setup says")
    try:
        file = load(path, list(renderers()))
    except BadSettings as error:
        return Check(name, "wrong", *parts(str(error)))
    number = len(file.channels)
    return Check(name, "ok", f"{path}: defaults, and {number} channel{'s' * (number != 1)}")


UNWELL = "the database is not well"
FACTS = f"""
SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = {ALIVE}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS workers,
       inbox.waiting, effects.leaving, greatest(inbox.oldest, effects.oldest, 0)::float AS oldest,
       (SELECT count(*) FROM tickets) AS tickets,
       coalesce(has_table_privilege(to_regclass('audit'), 'SELECT')
                AND has_table_privilege(to_regclass('audit'), 'INSERT'), false) AS on_record
FROM (SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(at)) AS oldest FROM inbox
      WHERE processed_at IS NULL AND session_id ~ '^[TE][A-Z0-9]*:[A-Z0-9]+:') inbox,
     (SELECT count(*) AS leaving, extract(epoch FROM clock_timestamp() - min(due_at)) AS oldest FROM effects
      WHERE done_at IS NULL AND session_id ~ '^[TE][A-Z0-9]*:[A-Z0-9]+:') effects
"""


TRIGRAMS_TO_BE_HAD = f"""
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = '{TRIGRAMS}') OR EXISTS (
    SELECT FROM pg_available_extension_versions WHERE name = '{TRIGRAMS}' AND (
        NOT superuser OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        OR (trusted AND has_database_privilege(current_database(), 'CREATE'))
    )
) AS had
"""

TOKENS = "SELECT DISTINCT ON (team_id) team_id, bot_token FROM slack_bots ORDER BY team_id, installed_at DESC"


async def stored_checks() -> list[Check]:
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
            if not facts["on_record"]:
                reason = "its table audit is not there, or its user may not read and append to it, so that nothing can be done"
                database = Check("database", "wrong", reason, "give it SELECT and INSERT on audit (docs/audit.md)")
            undelivered = await PostgresOutbox(opened).undelivered(LISTED + 1)
            return [database, _queue(facts, undelivered), _tracker(facts), *await _workspaces(opened)]
        except Usage as error:
            return [Check("database", "wrong", *parts(str(error))), *_unread("there is no database")]
        except (DBAPIError, psycopg.Error, PoolTimeout, OSError) as error:
            reason = wiring.first_line(getattr(error, "orig", None) or error)
            todo = "check that the server runs and that the user may read and write Signoff's tables"
            return [
                Check("database", "wrong", f"it does not answer as it should ({reason})", todo),
                *_unread("the database is not well"),
            ]


async def _workspaces(opened: Database) -> list[Check]:
    """Nothing where there is but one workspace, whose token is in the settings."""
    if env("SLACK_BOT_TOKEN") or not (env("SLACK_CLIENT_ID") and env("SLACK_CLIENT_SECRET")):
        return []
    async with opened.turns.connection(timeout=TIMEOUT) as connection:
        [exists] = await (await connection.execute("SELECT to_regclass('slack_bots') AS name")).fetchall()
        rows = await (await connection.execute(TOKENS)).fetchall() if exists["name"] else []
    for row in rows:
        remember(row["bot_token"])
    return [await workspace_tokens({row["team_id"]: row["bot_token"] for row in rows})]


def _unread(why: str) -> list[Check]:
    return [Check(name, "skipped", f"not looked at, because {why}") for name in ("queue", "local tracker")]


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
            [trigrams] = await (await connection.execute(TRIGRAMS_TO_BE_HAD)).fetchall()
    except psycopg.ProgrammingError as error:
        if error.sqlstate:
            raise
        raise Usage("DATABASE_URL is no valid URL: mend it (special characters are percent-encoded), or unset it.") from None
    except psycopg.OperationalError as error:
        todo = "check DATABASE_URL, or unset it to use the PostgreSQL that comes along"
        return Check("database", "wrong", f"it cannot be reached ({wiring.first_line(error)})", todo), ""
    if not env("DATABASE_URL"):
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
    if version < NEWEST and not trigrams["had"]:
        found, verdict = f"{found}; it lacks the extension {TRIGRAMS}, and our user may not create it", "wrong"
        todo = f"let an administrator install PostgreSQL's contrib package and run CREATE EXTENSION {TRIGRAMS} in it"
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
    return Check("local tracker", "ok", f"it has {number} ticket{'s' * (number != 1)}")
