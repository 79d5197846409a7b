"""Secrets stay where they belong: unique ones are planted, everything goes wrong, and all that is kept is searched."""

import asyncio
import base64
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import psycopg
import pytest
from aiohttp import web

from persistence.database import Database
from tests.model_sim import Model, Status, model_in_thread
from tests.processes import Forker
from tests.slack.channel import COMPLETE, Channel, buttons, words
from tests.slack.replicas import SIGNOFF, serve
from tests.slack_sim import Slack
from tests.trackers_sim.github import running_github

PLANTED = {
    "SLACK_CLIENT_SECRET": "planted-client-secret-7Qx",
    "JIRA_TOKEN": "planted-jira-token-8Rw",
    "GITHUB_TOKEN": "planted-github-token-9Sv",
    "LINEAR_API_KEY": "planted-linear-key-1Tu",
    "GITLAB_TOKEN": "planted-gitlab-token-2Ut",
    "OPENAI_API_KEY": "planted-openai-key-3Vs",
}
PASSWORD, MODEL_PASSWORD = "planted-db/pass word-4Wr", "planted-model-password-5Xq"
TYPED = "ghp_" + "plantedByAPerson" * 3
"""A secret that somebody writes into a message."""

ADDRESSES = {
    "JIRA_URL": "{url}/jira", "JIRA_EMAIL": "bot@acme.test", "LINEAR_API_URL": "{url}/graphql", "GITLAB_URL": "{url}/gitlab",
}  # fmt: skip


@dataclass
class Echo:
    """A tracker that answers with an error in which all that it was sent stands, in the form of each tracker's."""

    url: str = ""
    status: int = 401
    heard: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        sent = " ".join([*request.headers.values(), await request.text()])
        for name in ("Authorization", "PRIVATE-TOKEN"):
            self.heard += [request.headers[name]] if name in request.headers else []
        errors: Any = {"summary": sent}
        if request.path.endswith("/graphql"):
            errors = [{"message": sent, "extensions": {"type": "invalid input", "userPresentableMessage": sent}}]
        said = {"message": f"{self.status} {sent}", "documentation_url": "x", "errorMessages": [sent], "errors": errors}
        return web.json_response(said, status=self.status)


@asynccontextmanager
async def running_echo() -> AsyncIterator[Echo]:
    echo, served = Echo(), web.Application()
    served.router.add_route("*", "/{path:.*}", echo.answer)
    runner = web.AppRunner(served, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        echo.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield echo
    finally:
        await runner.cleanup()


@pytest.fixture
def locked(dsn: str) -> str:
    """The database, by the name and the password of somebody of its own."""
    name = urlsplit(dsn).path.strip("/")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(PASSWORD, safe='')}@{host}"))


def secrets(slack: Slack) -> dict[str, str]:
    """All of them, by what they are; and in the forms in which they are sent."""
    basic = base64.b64encode(f"{ADDRESSES['JIRA_EMAIL']}:{PLANTED['JIRA_TOKEN']}".encode()).decode()
    ours = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        "SLACK_APP_TOKEN": slack.app_token,
    }
    forms = {"Jira's header": basic, "database": PASSWORD, "database, quoted": quote(PASSWORD, safe="")}
    return {**PLANTED, **ours, **forms, "model": MODEL_PASSWORD}


def environ(slack: Slack, echo: Echo, model: Model) -> dict[str, str]:
    where = {name: form.format(url=echo.url) for name, form in ADDRESSES.items()}
    url = model.url.replace("://", f"://ann:{MODEL_PASSWORD}@")
    listening = {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": url, "SIGNOFF_MODEL_TIMEOUT": "2"}
    return {**PLANTED, **where, **listening, "SLACK_APP_TOKEN": slack.app_token}


def rows_of(dsn: str) -> dict[str, bytes]:
    """Every table with all that stands in it, as bytes."""
    found: dict[str, bytes] = {}
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            found[table] = b"\n".join(one if isinstance(one, bytes) else str(one).encode() for row in rows for one in row)
    return found


def leaks(known: dict[str, str], places: dict[str, bytes]) -> list[str]:
    """Which secret is in which place."""
    return [f"{name} in {place}" for place, kept in places.items() for name, one in known.items() if one.encode() in kept]


def refuses(key: str) -> Status:
    """What OpenAI says to a key that it does not take; it quotes a part of it, and this one all of it."""
    return Status(401, {"error": {"message": f"Incorrect API key provided: {key}", "type": key, "code": "invalid_api_key"}})


async def test_no_secret_is_kept_said_or_logged_in_slack(
    slack: Slack, dsn: str, locked: str, looking: Database, signoff: Forker, tmp_path: Path
) -> None:
    slack.bot_token, old = "xoxb-planted-bot-token-6Yp", slack.bot_token
    slack.workspaces[:] = [
        w.__class__(**{**vars(w), "bot_token": slack.bot_token}) if w.bot_token == old else w for w in slack.workspaces
    ]
    slack.app_token = "xapp-planted-app-token-7Zo"
    known = secrets(slack)
    with model_in_thread(lambda _: refuses(PLANTED["OPENAI_API_KEY"])) as model:
        async with running_echo() as echo, running_github() as github:
            github.add_token(PLANTED["GITHUB_TOKEN"], "signoff-bot")
            github.add_repository("acme/web")
            given = environ(slack, echo, model)
            given |= {"GITHUB_API_URL": github.url, "SIGNOFF_DESTINATION": "github:acme/web"}
            errors = tmp_path / "stderr"
            with errors.open("wb") as stderr:
                async with serve(slack, locked, stderr=stderr, **given) as replica:
                    slack.deliver_to(replica.url)
                    ops = Channel(slack, looking, "C1OPS")
                    quoted = " ".join(one for one in known.values())
                    wrong = {"message": quoted, "documentation_url": "x", "errors": [{"field": "title", "message": quoted}]}
                    github.answer(422, wrong, method="POST", path="issues")
                    slack.fail("chat.postMessage", f"internal {slack.bot_token}")
                    said = await ops.mention(COMPLETE)
                    card = await ops.card(said.ts)
                    await slack.click("U2BOB", card, "approve_draft")
                    await ops.until(
                        lambda: any("does not take it" in words(m.blocks) + m.text for m in ops.said(said.ts)), "why", 40
                    )
                    github.answer(500, quoted, method="POST", path="issues")
                    github.answer(401, {"message": quoted}, method="GET", path="issues", times=2)
                    other = await ops.mention(COMPLETE.replace("Export", f"Import {TYPED}"))
                    card = await ops.card(other.ts)
                    assert "GitHub token" in str(buttons(card)["approve_draft"]["confirm"])
                    await slack.click("U2BOB", card, "approve_draft")
                    await ops.until_rows("SELECT * FROM filings WHERE status = 'unknown'", 1, 60)
                    slack.fail("chat.postEphemeral", f"not_in_channel {slack.bot_token}", times=3)
                    await slack.click("U3GUS", card, "approve_draft")
                    async with looking.turns.connection() as connection:  # the database goes away, and comes back
                        await connection.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = %s",
                            (urlsplit(locked).username,),
                        )
                    await asyncio.sleep(2)
                    said_all = "\n".join(
                        words(m.blocks) + m.text for m in slack.channel_messages("C1OPS") if m.user == slack.bot_user
                    )
                    told = "\n".join(one for user in ("U2BOB", "U3GUS") for one in ops.heard(user))
            doctor = ""
            for number, destination in enumerate(("jira:OPS", "linear:ENG", "gitlab:acme/web", "github:acme/web")):
                echo.status = (401, 400, 403, 500)[number]
                asked = {
                    **given,
                    "SIGNOFF_DESTINATION": destination,
                    "DATABASE_URL": locked,
                    "GITHUB_API_URL": echo.url,
                }
                asked |= {
                    "SLACK_API_URL": slack.api_url,
                    "SLACK_BOT_TOKEN": slack.bot_token,
                    "SLACK_SIGNING_SECRET": slack.signing_secret,
                }
                for options in ([], ["--json"]):
                    doctor += await asyncio.to_thread(_ran, signoff, locked, asked, "", "doctor", *options)
            assert {"Bearer planted-linear-key-1Tu", PLANTED["GITLAB_TOKEN"]} <= set(echo.heard), "they were sent, and echoed"
            assert any("Basic" in one for one in echo.heard)
    places = {**rows_of(dsn), "stderr": errors.read_bytes(), "Slack": said_all.encode(), "whispers": told.encode()}
    places["doctor"] = doctor.encode()
    assert leaks(known, places) == []
    assert "[hidden]" in said_all, "what the tracker said is shown, without them"
    assert TYPED.encode() not in places["stderr"]
    assert TYPED.encode() not in places["doctor"]
    assert TYPED.encode() in places["public.inbox"], "what people wrote is kept, as docs/security.md says"


async def test_no_secret_is_kept_said_or_logged_where_it_is_installed_over_oauth(
    slack: Slack, dsn: str, looking: Database, signoff: Forker, tmp_path: Path
) -> None:
    slack.bot_token, slack.client_secret = "planted-installed-bot-token-8Yq", PLANTED["SLACK_CLIENT_SECRET"]
    slack.add_workspace("T1", bot_token=slack.bot_token)
    known = {"bot token": slack.bot_token, "client secret": slack.client_secret, "signing secret": slack.signing_secret}
    quoted, pages, errors = " ".join(known.values()), list[str](), tmp_path / "stderr"
    given = {"SLACK_BOT_TOKEN": "", "SLACK_CLIENT_ID": slack.client_id, "SLACK_CLIENT_SECRET": slack.client_secret}
    with errors.open("wb") as stderr:
        async with serve(slack, dsn, stderr=stderr, **given) as replica, aiohttp.ClientSession() as browser:
            slack.deliver_to(replica.url)
            base = replica.url.removesuffix("/slack/events")
            for failing in (True, False):
                async with browser.get(f"{base}/slack/install") as page:
                    pages.append(await page.text())
                    cookie = page.headers["Set-Cookie"].partition(";")[0]
                [state] = re.findall(r"state=([0-9a-f-]+)", pages[-1])
                if failing:
                    slack.fail("oauth.v2.access", f"bad {quoted}")
                query = {"code": slack.oauth_code("T1"), "state": state}
                async with browser.get(f"{base}/slack/oauth_redirect", params=query, headers={"Cookie": cookie}) as page:
                    pages.append(await page.text())
                    assert (page.status == 200) != failing
            ops = Channel(slack, looking, "C1OPS")
            slack.fail("auth.test", f"internal {quoted}", times=2)
            said = await ops.mention(COMPLETE)
            card = await ops.card(said.ts)
            slack.fail("chat.postEphemeral", f"odd {quoted}", times=3)
            slack.fail("chat.update", f"odd {quoted}")
            await slack.click("U3GUS", card, "approve_draft")
            await slack.click("U2BOB", card, "approve_draft")
            await ops.until_rows("SELECT * FROM tickets", 1, 20)
            await ops.until_rows("SELECT * FROM effects WHERE problem IS NOT NULL LIMIT 1", 1, 20)
            there = {"DATABASE_URL": dsn, "SLACK_API_URL": slack.api_url, "SLACK_SIGNING_SECRET": slack.signing_secret}
            slack.fail("auth.test", f"internal {quoted}", times=9)
            doctor = await asyncio.to_thread(_ran, signoff, dsn, {**given, **there}, "", "doctor")
            assert "internal" in doctor
    places = {**rows_of(dsn), "pages": "\n".join(pages).encode(), "stderr": errors.read_bytes(), "doctor": doctor.encode()}
    at_rest = [one for one in leaks(known, places) if "slack_bots" in one or "slack_installations" in one]
    assert leaks(known, places) == at_rest, "only the bot's token, and only where docs/security.md says"
    assert {one.partition(" in ")[0] for one in at_rest} == {"bot token"}


async def test_no_secret_is_kept_said_or_logged_in_a_terminal(
    slack: Slack, dsn: str, locked: str, signoff: Forker, tmp_path: Path
) -> None:
    known, said, data = secrets(slack), "", tmp_path / "data"
    with model_in_thread(lambda _: refuses(PLANTED["OPENAI_API_KEY"])) as model:
        async with running_echo() as echo:
            given = environ(slack, echo, model) | {"GITHUB_API_URL": echo.url}
            places = {"jira:OPS": 400, "linear:ENG": 200, "gitlab:acme/web": 422, "github:acme/web": 403, "local:LOCAL": 500}
            for destination, status in places.items():
                echo.status = status
                session = destination.partition(":")[0]
                asked = {**given, "SIGNOFF_DESTINATION": destination}
                script = f"{COMPLETE}\nshow\nmy key is {TYPED}\n/approve\n".replace("\n- ", " - ").replace("fails\n", "fails. ")
                run = await asyncio.to_thread(_ran, signoff, locked, asked, script, "chat", "--session", session)
                said += run + await asyncio.to_thread(_ran, signoff, locked, asked, "", "export", session)
                said += await asyncio.to_thread(_ran, signoff, locked, asked, "", "filings", "--all")
            wrong = locked.replace(urlsplit(locked).path, "/nowhere")
            said += await asyncio.to_thread(_ran, signoff, wrong, given, "hello\n", "chat")
            said += await asyncio.to_thread(_ran, signoff, locked.replace("://", "://["), given, "hello\n", "chat")
            embedded = {
                **os.environ,
                **given,
                "SIGNOFF_DATA": str(data),
                "SIGNOFF_DESTINATION": "github:acme/web",
                "DATABASE_URL": "",
            }
            ended = await asyncio.to_thread(
                subprocess.run,
                [SIGNOFF, "chat", "--json"],
                env=embedded,
                input=COMPLETE,
                capture_output=True,
                text=True,
                timeout=120,
            )
            said += ended.stdout + ended.stderr
    log = data / "signoff.log"
    kept = {**rows_of(dsn), "output": said.encode(), "signoff.log": log.read_bytes() if log.exists() else b""}
    assert leaks(known, kept) == []
    assert echo.heard


def _ran(signoff: Forker, dsn: str, environment: dict[str, str], script: str, *words: str) -> str:
    with signoff.start(dsn, *words, script=script, environ=environment) as process:
        process.wait()
        return process.stdout + process.stderr
