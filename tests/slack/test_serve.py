"""`signoff serve` as real processes: replicas, kills, Socket Mode, and an installation over OAuth."""

import asyncio
import os
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from persistence.database import Database
from tests.slack.channel import COMPLETE, Channel, words
from tests.slack.replicas import SIGNOFF
from tests.slack_sim import Slack


async def test_200_clicks_by_20_people_through_three_replicas(
    slack: Slack, looking: Database, start: Callable[..., Any]
) -> None:
    replicas = await asyncio.gather(*(start() for _ in range(3)))
    slack.deliver_to(*(replica.url for replica in replicas))
    people = [f"U9P{n:02}" for n in range(20)]
    for person in people:
        slack.add_user(person, person.lower())
        slack.channels["C1OPS"].members.append(person)
    ops = Channel(slack, looking, "C1OPS")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    answers = await asyncio.gather(*(slack.click(people[n % 20], card, "approve_draft") for n in range(200)))
    assert [answer.status for answer in answers] == [200] * 200
    await ops.until(lambda: sum(len(ops.heard(person)) for person in people) == 199, "199 answers", 60)
    await ops.quiet()
    assert sum(len(ops.heard(person)) for person in people) == 199
    assert (await ops.count("approvals"), await ops.count("tickets")) == (1, 1)
    assert "Filed as LOCAL-1" in words(slack.latest(card).blocks)


async def test_a_replica_that_is_killed_leaves_its_work_to_another(
    slack: Slack, looking: Database, start: Callable[..., Any]
) -> None:
    first, second = await asyncio.gather(start(), start())
    ops = Channel(slack, looking, "C1OPS")
    said = []
    for n in range(6):
        slack.deliver_to(first.url if n < 4 else second.url)
        said.append(await slack.say("U1ANN", "C1OPS", f"<@{slack.bot_user}> {COMPLETE}"))
        if n == 3:
            await first.kill()
    slack.deliver_to(second.url)
    for message in said:
        card = await ops.until(lambda root=message: next(iter(ops.cards(root.ts)), None), "a card", 60)
        await slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: sum("Filed as" in words(m.blocks) for one in said for m in ops.said(one.ts)) >= 12, "filed", 60)
    await ops.quiet()
    assert await ops.count("tickets") == 6
    for message in said:
        shown = [words(one.blocks) for one in ops.said(message.ts)]
        assert len(shown) == len(set(shown)), "nothing is said twice"


async def test_socket_mode(slack: Slack, looking: Database, start: Callable[..., Any]) -> None:
    slack.use_socket()
    await start("--socket", SLACK_APP_TOKEN=slack.app_token, SLACK_SIGNING_SECRET="")
    await start("--socket", SLACK_APP_TOKEN=slack.app_token, SLACK_SIGNING_SECRET="")
    assert slack.connections == 2
    ops = Channel(slack, looking, "C1OPS")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await slack.disconnect_all("refresh_requested")
    await ops.until(lambda: slack.connections >= 2, "connected again")
    await slack.click("U2BOB", card, "request_changes")
    await slack.submit("U2BOB", await ops.view("U2BOB"), {"title": "Exports fail"})
    card = await ops.card(said.ts, "Exports fail")
    await slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(slack.latest(card).blocks), "filed")
    await ops.quiet()
    assert await ops.count("tickets") == 1


async def test_installed_in_two_workspaces_over_oauth(slack: Slack, looking: Database, start: Callable[..., Any]) -> None:
    slack.add_workspace("T2", bot_token="xoxb-two", bot_user="UBOT2", bot_id="BBOT2", domain="two")
    slack.add_user("U1TWO", "tom", team_id="T2")
    slack.add_channel("C2TWO", "two", ["U1TWO"], team_id="T2")
    replica = await start(SLACK_BOT_TOKEN="", SLACK_CLIENT_ID=slack.client_id, SLACK_CLIENT_SECRET=slack.client_secret)
    slack.deliver_to(replica.url)
    base = replica.url.removesuffix("/slack/events")
    for team in ("T1", "T2"):
        async with aiohttp.ClientSession() as browser:
            async with browser.get(f"{base}/slack/install") as page:
                state = re.search(r"state=([0-9a-f-]+)", await page.text())
                cookie = page.headers["Set-Cookie"].partition(";")[0]
            assert state
            query = {"code": slack.oauth_code(team), "state": state[1]}
            async with browser.get(f"{base}/slack/oauth_redirect", params=query, headers={"Cookie": cookie}) as page:
                assert page.status == 200, await page.text()
    for channel, user, bot in (("C1OPS", "U1ANN", slack.bot_user), ("C2TWO", "U1TWO", "UBOT2")):
        room = Channel(slack, looking, channel)
        slack.fail("auth.test", "internal_error", times=2)  # both events of the mention fail, and are sent again
        said = await slack.say(user, channel, f"<@{bot}> {COMPLETE}")
        card = await room.until(
            lambda root=said.ts, room=room, bot=bot: next(
                (m for m in slack.thread(room.id, root) if m.user == bot and "Create in" in words(m.blocks)), None
            ),
            f"a card in {channel}",
        )
        await slack.click(user, card, "approve_draft")
        await room.until(lambda card=card: "Filed as" in words(slack.latest(card).blocks), "filed")


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({"SLACK_SIGNING_SECRET": ""}, [], "SLACK_SIGNING_SECRET is not set"),
        ({"SLACK_BOT_TOKEN": ""}, [], "SLACK_BOT_TOKEN is not set"),
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, [], "Slack refuses the token (invalid_auth)"),
        ({}, ["--socket"], "SLACK_APP_TOKEN must be an app-level token"),
        ({"SLACK_APP_TOKEN": "xapp-wrong"}, ["--socket"], "Slack refuses SLACK_APP_TOKEN (invalid_auth)"),
        ({"SLACK_API_URL": "http://127.0.0.1:9/api/"}, [], "Slack cannot be reached"),
        ({"SLACK_API_URL": "{base}/nowhere/"}, [], "Slack does not answer as it should"),
        ({"SIGNOFF_SETTINGS": "nowhere.toml"}, [], "nowhere.toml cannot be read"),
        ({}, ["--port", "99999"], "99999 is no port"),
        ({}, ["--host", "192.0.2.1"], "Nothing can listen on 192.0.2.1"),
    ],
)
async def test_what_cannot_be_served_is_said(
    slack: Slack, dsn: str, environment: dict[str, str], arguments: list[str], expected: str
) -> None:
    settings = {
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
    }
    environment = {name: value.replace("{base}", slack.base_url) for name, value in environment.items()}
    given = {**os.environ, "SLACK_APP_TOKEN": "", **settings, "DATABASE_URL": dsn, **environment}
    process = await asyncio.create_subprocess_exec(
        SIGNOFF, "serve", "--port", "0", *arguments, env={k: v for k, v in given.items() if v}, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2, said
    assert expected in said.decode()
    assert slack.bot_token not in said.decode()
