"""Installing: what the app asks for is what is written down, and `signoff doctor` finds what is wrong with each part."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.installation_store.sqlalchemy import AsyncSQLAlchemyInstallationStore

from agent.cli.doctor import examine
from agent.cli.doctor import slack as slack_checks
from agent.cli.doctor.check import Check
from agent.ports import Event
from agent.protocol import Reply
from agent.sealing import Destination
from persistence.database import Database
from persistence.outbox import PostgresOutbox
from persistence.store import PostgresStore
from skills.trackers.local import LocalTracker
from slack_adapter.handlers import PROMPTS
from slack_adapter.install import EVENTS, SCOPES
from slack_adapter.settings import ChannelSetting, Settings, load
from tests.slack_sim import Slack

ROOT = Path(__file__).parents[2]
MANIFEST = json.loads((ROOT / "manifest.json").read_text())
DOC = (ROOT / "docs" / "slack.md").read_text()
TRACKERS = (ROOT / "docs" / "trackers.md").read_text()
LISTENING = (ROOT / "docs" / "listening.md").read_text()
SAMPLE = (ROOT / ".env.sample").read_text()
STORED = ["database", "queue", "local tracker"]
CHECKS = ["bot token", "scopes", "signing secret", "socket", "clock", "settings file", "trackers", "model", *STORED]
SIGNING = "0123456789abcdef0123456789abcdef"
PASSWORD = "hunter2%21"


# What is asked for


def test_the_manifest_asks_for_the_scopes_and_events_that_are_explained() -> None:
    assert MANIFEST["oauth_config"]["scopes"]["bot"] == list(SCOPES)
    assert MANIFEST["settings"]["event_subscriptions"]["bot_events"] == list(EVENTS)


def test_the_document_gives_the_reason_for_each_scope_and_event() -> None:
    rows = dict(re.findall(r"^\| `([\w.:]+)` \| (.+) \|$", DOC, re.MULTILINE))
    explained = {**SCOPES, **EVENTS}
    assert {name: rows.get(name) for name in explained} == explained


def test_the_manifest_has_what_the_listeners_answer() -> None:
    features = MANIFEST["features"]
    assert [(one["command"], one["should_escape"]) for one in features["slash_commands"]] == [("/signoff", True)]
    shortcuts = [("message", "draft_ticket", "Draft a ticket")]
    assert [(one["type"], one["callback_id"], one["name"]) for one in features["shortcuts"]] == shortcuts
    assert features["agent_view"]["suggested_prompts"] == PROMPTS
    assert "assistant_view" not in features  # new apps cannot use it
    assert features["app_home"]["messages_tab_enabled"]
    assert not features["app_home"]["messages_tab_read_only_enabled"]
    assert features["bot_user"]["display_name"] == "Signoff"
    assert MANIFEST["settings"]["interactivity"]["is_enabled"]
    assert MANIFEST["settings"]["socket_mode_enabled"]


def test_the_manifest_keeps_slacks_limits() -> None:
    about, features = MANIFEST["display_information"], MANIFEST["features"]
    assert len(about["description"]) <= 140
    assert 175 <= len(about["long_description"]) <= 4000
    assert len(features["agent_view"]["agent_description"]) <= 300
    assert all(len(one["name"]) <= 24 for one in features["shortcuts"])


def test_slacks_command_line_finds_its_hooks() -> None:
    hooks = json.loads((ROOT / ".slack" / "hooks.json").read_text())
    assert hooks == {"hooks": {"get-hooks": "python3 -m slack_cli_hooks.hooks.get_hooks"}}


def test_the_sample_has_every_variable_each_with_a_line_that_says_what_it_is() -> None:
    read = set()
    named = re.compile(r"""["']((?:SLACK|SIGNOFF|JIRA|GITHUB|LINEAR|GITLAB)_[A-Z_]+|DATABASE_URL)["']""")
    for room in ("agent", "persistence", "slack_adapter", "skills"):
        for file in (ROOT / room).rglob("*.py"):
            read |= set(named.findall(file.read_text()))
    read.remove("SIGNOFF_FAULT")  # tests alone set it
    lines = SAMPLE.splitlines()
    explained = {
        found[1]: lines[number - 1]
        for number, line in enumerate(lines)
        if (found := re.fullmatch(r"#?([A-Z_]+)=\S*", line)) and lines[number - 1].startswith("# ")
    }
    for name in set(explained) - read:  # a tracker's file puts its variables together from their parts
        tracker, _, rest = name.partition("_")
        assert f'"{rest}"' in (ROOT / "skills" / "trackers" / f"{tracker.lower()}.py").read_text(), name
    assert read <= set(explained)
    for name in explained:
        assert f"`{name}`" in DOC + TRACKERS + LISTENING, name


def test_a_shell_can_read_the_sample() -> None:
    command = ["sh", "-c", "set -a; . ./.env.sample; set +a; env"]
    read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={}, timeout=10)
    assert read.stderr == ""
    assert "SLACK_BOT_TOKEN=\n" in read.stdout


async def test_the_settings_in_the_document_can_be_used(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.+?)```", DOC, re.DOTALL)
    path = tmp_path / "settings.toml"
    path.write_text(example)
    settings = Settings(load(str(path), ["local", "jira"]), _Nothing(), Destination())
    channel = await settings.of("T0123ABCD", "C0123ABCD")
    assert (channel.project, channel.issue_type, channel.approvers.who) == ("PAY", "bug", "listed")
    assert channel.labels == (await settings.of("T0123ABCD", "COTHER")).labels == ["from-slack"]
    assert await settings.home("T0123ABCD") == "C0456EFGH"
    for field in ChannelSetting.model_fields:
        assert f"`{field}`" in DOC, field


class _Nothing:
    """Places with nothing settled."""

    async def read(self, place: str) -> dict[str, Any]:
        return {}

    async def write(self, place: str, setting: dict[str, Any], changed_by: str) -> None:
        raise AssertionError


# The doctor


@pytest.fixture
def well(slack: Slack, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Slack:
    """An environment in which nothing is wrong."""
    slack.scopes = list(SCOPES)
    given = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_SIGNING_SECRET": SIGNING}
    for name, value in {**given, "SLACK_API_URL": slack.api_url, "DATABASE_URL": dsn}.items():
        monkeypatch.setenv(name, value)
    for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SIGNOFF_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    return slack


async def _checks(slack: Slack, **options: Any) -> dict[str, Check]:
    checks = await examine(**options)
    of_several = ["workspaces"] if os.environ.get("SLACK_CLIENT_SECRET") else []
    assert [check.check for check in checks] == CHECKS + of_several
    for secret in (slack.bot_token, slack.app_token, SIGNING, PASSWORD):
        assert secret not in str(checks)
    for check in checks:
        assert bool(check.todo) == (check.status == "wrong"), check
        assert "\n" not in check.found + check.todo
    return {check.check: check for check in checks}


async def _wrong(slack: Slack, **options: Any) -> Check:
    """The only check that is wrong."""
    [wrong] = [check for check in (await _checks(slack, **options)).values() if check.status == "wrong"]
    return wrong


async def test_all_is_well(well: Slack) -> None:
    checks = await _checks(well)
    assert {check.status for check in checks.values()} == {"ok", "skipped"}
    assert checks["bot token"].found == "Acme (T1), as @signoff (UBOT)"
    assert checks["scopes"].found == f"all {len(SCOPES)}"
    assert checks["queue"].found == "no worker runs; nothing waits"
    assert checks["local tracker"].found == "it has 0 tickets"
    skipped = [name for name, check in checks.items() if check.status == "skipped"]
    assert skipped == ["settings file", "trackers", "model", "queue"]


async def test_no_token_at_all(well: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    wrong = await _wrong(well)
    assert wrong.check == "bot token"
    assert "docs/slack.md" in wrong.todo
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    assert "only SLACK_CLIENT_ID" in (await _wrong(well)).found
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "confidential")
    checks = await _checks(well)
    assert checks["bot token"].status == checks["scopes"].status == "skipped"
    assert "confidential" not in str(checks)


async def test_each_workspace_that_the_app_was_installed_in(
    well: Slack, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "confidential")
    assert (await _checks(well))["workspaces"].found == "installed in 0 workspaces"
    store = AsyncSQLAlchemyInstallationStore(client_id="1.2", engine=database.engine)
    async with database.engine.begin() as connection:
        await connection.run_sync(store.metadata.create_all)
    for team, token in (("T1", well.bot_token), ("T2", "xoxb-removed")):
        await store.async_save(
            Installation(app_id="A1", team_id=team, user_id="U1", bot_token=token, bot_id="B1", bot_user_id="UB")
        )
    wrong = await _wrong(well)
    assert wrong.found == "1 of 2 workspaces cannot be served"
    assert wrong.details == ("T2: Slack refuses it (invalid_auth)",)


@pytest.mark.parametrize("token", ["xoxb-no-such-token", "xoxb-1-secret\n", "xoxb 1"])
async def test_a_token_that_is_not_good(well: Slack, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", token)
    checks = await _checks(well)
    assert checks["bot token"].status == "wrong"
    assert "OAuth & Permissions" in checks["bot token"].todo
    assert checks["scopes"].status == "skipped"
    assert token not in str(checks)


async def test_a_token_that_slack_takes_back(well: Slack) -> None:
    well.fail("auth.test", "account_inactive")
    wrong = await _wrong(well)
    assert (wrong.check, "account_inactive" in wrong.found, "install it again" in wrong.todo) == ("bot token", True, True)


async def test_a_persons_token(well: Slack) -> None:
    well.add_workspace("T1", bot_id="")
    wrong = await _wrong(well)
    assert (wrong.check, "not a bot's" in wrong.found) == ("bot token", True)


async def test_missing_scopes_are_named(well: Slack) -> None:
    well.scopes = [scope for scope in SCOPES if scope not in ("users:read", "commands")] + ["channels:join"]
    wrong = await _wrong(well)
    assert (wrong.check, wrong.found) == ("scopes", "missing: commands, users:read")
    well.scopes = [*SCOPES, "channels:join"]
    assert (await _checks(well))["scopes"].found.endswith("not needed: channels:join")


@pytest.mark.parametrize("secret", ["", "xoxb-1-secret", f" {SIGNING}", SIGNING[:-1]])
async def test_a_signing_secret_that_cannot_be_one(well: Slack, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("SLACK_SIGNING_SECRET", secret)
    if not secret:
        assert (await _checks(well))["signing secret"].status == "skipped"
        monkeypatch.delenv("SLACK_APP_TOKEN")
    assert (await _wrong(well)).check == "signing secret"


@pytest.mark.parametrize("token", ["xapp-1-unknown", "xoxb-1-secret", "xapp-1 A0"])
async def test_an_app_token_that_is_not_good(well: Slack, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("SLACK_APP_TOKEN", token)
    wrong = await _wrong(well)
    assert (wrong.check, "connections:write" in wrong.todo) == ("socket", True)
    assert token not in str(wrong)


async def test_no_app_token_is_well_over_http(well: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_APP_TOKEN")
    assert (await _checks(well))["socket"].status == "skipped"


@pytest.mark.parametrize(("seconds", "word"), [(120, "ahead"), (-120, "behind")])
async def test_a_clock_that_is_wrong(well: Slack, seconds: float, word: str) -> None:
    wrong = await _wrong(well, clock=lambda: time.time() + seconds)
    assert (wrong.check, word in wrong.found) == ("clock", True)


async def test_slack_cannot_be_reached(well: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://127.0.0.1:1/api", "no address", f"{well.base_url}/elsewhere/"):
        monkeypatch.setenv("SLACK_API_URL", url)
        checks = await _checks(well)
        assert [name for name, check in checks.items() if check.status == "wrong"] == ["bot token", "socket"], url
        assert "SLACK_API_URL" in checks["bot token"].todo
        assert checks["clock"].status == "skipped"


@pytest.mark.parametrize("method", ["auth.test", "apps.connections.open"])
async def test_slack_is_ill(well: Slack, method: str) -> None:
    well.break_http(method, 503)
    assert "HTTP 503" in (await _wrong(well)).found
    well.rate_limit(method, 30)
    assert (await _wrong(well)).todo == "try again in a minute"
    well.drop_reply(method)
    assert "cannot be reached" in (await _wrong(well)).found


async def test_slack_does_not_answer(well: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_checks, "TIMEOUT", 0.2)
    well.slow("auth.test", 1)
    assert "no answer" in (await _wrong(well)).found


async def test_a_settings_file_that_cannot_be_used(well: Slack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("SIGNOFF_SETTINGS", str(path))
    assert "cannot be read" in (await _wrong(well)).found
    path.write_text("[default\n")
    assert "no TOML" in (await _wrong(well)).found
    path.write_text('[default]\nproject = "not a key"\n')
    wrong = await _wrong(well)
    assert (wrong.check, "project" in wrong.found, "mend it" in wrong.todo) == ("settings file", True, True)
    path.write_text('[channels.C1]\ntracker = "nowhere"\n')
    assert "tracker" in (await _wrong(well)).found
    path.write_text(f'[channels.C1]\ntracker = "{LocalTracker.name}"\n')
    assert (await _checks(well))["settings file"].found == f"{path}: defaults, and 1 channel"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/signoff",
        f"postgresql://somebody:{PASSWORD}@127.0.0.1:port/signoff",
        f"mysql://somebody:{PASSWORD}@127.0.0.1/signoff",
    ],
)
async def test_a_database_that_cannot_be_reached(well: Slack, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    checks = await _checks(well)
    assert [name for name, check in checks.items() if check.status == "wrong"] == ["database"]
    assert "DATABASE_URL" in checks["database"].found + checks["database"].todo
    assert checks["queue"].status == checks["local tracker"].status == "skipped"
    assert "hunter2" not in str(checks)


async def test_the_database_that_comes_along_cannot_start(well: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("SIGNOFF_DATA", "/dev/null/data")
    wrong = await _wrong(well)
    assert (wrong.check, "SIGNOFF_DATA" in wrong.todo) == ("database", True)


async def test_a_new_database_is_well_and_stays_new(well: Slack, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    for _ in range(2):
        checks = await _checks(well)
        assert checks["database"].status == "ok"
        assert "it is new" in checks["database"].found
        assert checks["queue"].status == checks["local tracker"].status == "skipped"


@pytest.mark.parametrize(("version", "todo"), [("0001", "serve, which upgrades it"), ("9999", "the other processes")])
async def test_a_schema_of_another_version(well: Slack, database: Database, version: str, todo: str) -> None:
    async with database.turns.connection() as connection:
        await connection.execute("UPDATE signoff_version SET version_num = %s", [version])
    wrong = await _wrong(well)
    assert (wrong.check, version in wrong.found, todo in wrong.todo) == ("database", True, True)


async def test_a_database_without_its_tables(well: Slack, database: Database) -> None:
    async with database.turns.connection() as connection:
        await connection.execute("ALTER TABLE effects RENAME TO others")
    wrong = await _wrong(well)
    assert (wrong.check, '"effects" does not exist' in wrong.found) == ("database", True)


async def test_a_log_that_cannot_be_written(well: Slack, database: Database) -> None:
    async with database.turns.connection() as connection:
        await connection.execute("ALTER TABLE audit RENAME TO others")
    wrong = await _wrong(well)
    assert (wrong.check, "audit is not there" in wrong.found, "SELECT and INSERT" in wrong.todo) == ("database", True, True)


async def test_what_waits_and_nobody_takes(well: Slack, database: Database) -> None:
    session = "T1:C1OPS:1.000001"
    said = Event(event_id="1", session_id=session, origin="C1OPS", answer=Reply(text="x", by="U1ANN"))
    await PostgresStore(database).accept(said)
    assert (await _checks(well))["queue"].status == "skipped"
    async with database.turns.connection() as connection:
        await connection.execute("UPDATE inbox SET at = at - interval '5 minutes'")
    wrong = await _wrong(well)
    assert (wrong.check, wrong.todo) == ("queue", "start signoff serve")
    assert "1 to be read and 0 to be delivered, for 30" in wrong.found


class _Idle:
    """Handlers of jobs that never come."""

    async def wake(self, session_id: str, tries: int) -> None: ...

    async def file(self, session_id: str, draft_hash: str) -> None: ...

    async def deliver(self, session_id: str) -> float | None: ...


async def test_a_worker_that_is_alive(well: Slack, database: Database) -> None:
    async with database.queue.working(_Idle(), "slack"):
        async with asyncio.timeout(20):
            while not database.queue.ready:
                await asyncio.sleep(0.01)
        queue = (await _checks(well))["queue"]
    assert (queue.status, queue.found) == ("ok", "1 worker runs; nothing waits")


async def test_what_could_not_be_delivered_is_listed(well: Slack, database: Database) -> None:
    outbox = PostgresOutbox(database)
    for number in range(7):
        session = f"T1:C{number}:1.000001"
        await outbox.send(f"key{number}", session, "", {"kind": "question"})
        await outbox.done(await outbox.due(session), "is_archived")
    wrong = await _wrong(well)
    assert (wrong.check, len(wrong.details)) == ("queue", 5)
    assert "more than 5 could not be delivered" in wrong.found
    assert wrong.details[0].startswith("channel C6: is_archived (a question, thread 1.000001, ")
    async with database.turns.connection() as connection:
        await connection.execute("UPDATE effects SET done_at = done_at - interval '2 days'")
    assert (await _checks(well))["queue"].status == "skipped"


# The command


def _process(*arguments: str) -> "subprocess.CompletedProcess[str]":
    code = "import sys; from agent.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, "doctor", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_command_prints_a_line_for_each_check(well: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    done = await asyncio.to_thread(_process)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line[2:17].strip() for line in lines[:-1]] == CHECKS
    assert lines[-1] == "All is well."
    well.scopes.remove("users:read")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = await asyncio.to_thread(_process)
    assert done.returncode == 1
    assert "x scopes          missing: users:read: add them" in done.stdout
    assert well.bot_token not in done.stdout + done.stderr


async def test_the_command_prints_json(well: Slack) -> None:
    well.fail("auth.test", "invalid_auth")
    done = await asyncio.to_thread(_process, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [check["check"] for check in checks] == CHECKS
    assert set(checks[0]) == {"check", "status", "found", "todo", "details"}
    assert checks[0]["status"] == "wrong"
    assert well.bot_token not in done.stdout
