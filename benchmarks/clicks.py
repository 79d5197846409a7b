"""Signed clicks on cards over HTTP, beside a bare Bolt app that only acknowledges: `python -m benchmarks.clicks [--json]`.

- signoff: one `signoff serve`, its worker running, on a PostgreSQL as shipped (fsync on); on each card click ten people;
- bare: a Bolt `AsyncApp` under the same server whose one listener only acknowledges;
- card: from the first click on it to the card's last update, "Filed as".

Clicks are offered at a fixed rate, whatever the answers take. Slack is played by `tests/slack_sim` in this process, which also
sends the clicks, so that on two cores the figures are of a busy machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks._measure import fresh_server, percentile, report
from tests.slack_sim import Slack, running_slack

BARE = """
import asyncio, os, sys
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
import uvicorn
async def authorize(enterprise_id, team_id):
    return AuthorizeResult(enterprise_id=None, team_id=team_id, bot_user_id="U", bot_id="B", bot_token="xoxb-x")
app = AsyncApp(signing_secret=os.environ["SLACK_SIGNING_SECRET"], authorize=authorize)
@app.action("approve_draft")
async def approve(ack):
    await ack()
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets=None)
        print("http://127.0.0.1:%d/slack/events;" % self.servers[0].sockets[0].getsockname()[1], flush=True)
handler = AsyncSlackRequestHandler(app)
Server(uvicorn.Config(handler, port=0, log_level="warning", access_log=False, lifespan="off")).run()
"""
SIGNOFF = str(Path(sys.executable).parent / "signoff")
SESSION = "Title: Export {n} fails\nProblem: It answers 500.\nAcceptance criteria: it finishes"
STEADY, SECONDS = 50, 20
PEOPLE = 10
BURST, BURST_SECONDS = 300, 5


@contextlib.asynccontextmanager
async def listening(command: list[str], environment: dict[str, str]) -> AsyncIterator[str]:
    """The address of a process that says where it listens."""
    with subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        said = await asyncio.to_thread(process.stdout.readline)
        found = re.search(r"http://[^;]+", said)
        try:
            if not found:
                raise RuntimeError(f"it does not listen: {said}")
            yield found[0]
        finally:
            process.terminate()


def click(slack: Slack, value: str, message: Any, n: int) -> bytes:
    """The body of a click on the card's "Create"."""
    user = f"U{n % PEOPLE}"
    payload = {
        "type": "block_actions",
        "team": {"id": slack.team_id},
        "user": {"id": user, "team_id": slack.team_id},
        "channel": {"id": message.channel},
        "container": {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "thread_ts": message.thread_ts,
        },
        "trigger_id": f"1.{n}",
        "actions": [{"type": "button", "action_id": "approve_draft", "value": value, "action_ts": f"{time.time():.6f}{n}"}],
    }
    return urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()


async def offer(slack: Slack, url: str, bodies: list[bytes], rate: float) -> list[float]:
    """Sends them at this rate; the milliseconds until each was acknowledged. Raises RuntimeError if one was not."""
    times: list[float] = []
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as http:

        async def send(body: bytes) -> None:
            begun = time.perf_counter()
            async with http.post(url, data=body, headers={**headers, **slack.sign(body)}) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"a click was answered with {answer.status}")
            times.append(1000 * (time.perf_counter() - begun))

        start, sent = time.perf_counter(), []
        for n, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, start + n / rate - time.perf_counter()))
            sent.append(asyncio.create_task(send(body)))
        await asyncio.gather(*sent)
    return times


async def cards(slack: Slack, url: str, number: int) -> list[Any]:
    """Makes as many cards, each in a thread of its own."""
    slack.deliver_to(url)
    for n in range(number):
        text = f"<@{slack.bot_user}> {SESSION.format(n=n)}"
        await slack.say("U0", "C1OPS", text)
        if n % 20 == 19:
            await slack.until(partial(_made, slack, n + 1), seconds=60, what="cards do not come")
    await slack.until(partial(_made, slack, number), seconds=60, what="cards do not come")
    return _cards(slack)


def _made(slack: Slack, number: int) -> bool:
    return len(_cards(slack)) >= number


def _cards(slack: Slack) -> list[Any]:
    posted = slack.channel_messages("C1OPS")
    return [one for one in posted if one.user == slack.bot_user and _value(one)]


def _value(message: Any) -> str:
    row: dict[str, Any] = next((block for block in message.blocks if block["type"] == "actions"), {"elements": []})
    return next((str(one["value"]) for one in row["elements"] if one["action_id"] == "approve_draft"), "")


async def measure() -> dict[str, float]:
    """All figures."""
    figures: dict[str, float] = {}
    async with running_slack() as slack:
        for n in range(PEOPLE):
            slack.add_user(f"U{n}", f"user{n}")
        slack.add_channel("C1OPS", "ops", [f"U{n}" for n in range(PEOPLE)])
        environment = {
            "SLACK_API_URL": slack.api_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
        }
        async with contextlib.AsyncExitStack() as stack:
            dsn = stack.enter_context(fresh_server())
            bare = await stack.enter_async_context(listening([sys.executable, "-c", BARE], environment))
            serving = {**environment, "DATABASE_URL": dsn}
            ours = await stack.enter_async_context(listening([SIGNOFF, "serve", "--port", "0"], serving))
            shown = await cards(slack, ours, STEADY * SECONDS // PEOPLE)
            bodies = [click(slack, _value(card), card, n) for n, card in enumerate(one for one in shown for _ in range(PEOPLE))]
            figures |= _acks("bare", await offer(slack, bare, bodies, STEADY))
            finished: dict[str, float] = {}
            watching = asyncio.create_task(_watch(slack, shown, finished))
            begun = time.perf_counter()
            figures |= _acks("ack", await offer(slack, ours, bodies, STEADY))
            await watching
            to_card = [1000 * (finished[card.ts] - begun - n * PEOPLE / STEADY) for n, card in enumerate(shown)]
            figures |= {f"card_p{percent}_ms": percentile(to_card, percent) for percent in (50, 99)}
            again = [
                click(slack, _value(shown[n % len(shown)]), shown[n % len(shown)], n) for n in range(BURST * BURST_SECONDS)
            ]
            burst = await offer(slack, ours, again, BURST)
            figures |= {
                "burst_p50_ms": percentile(burst, 50),
                "burst_p99_ms": percentile(burst, 99),
                "burst_max_ms": max(burst),
            }
            figures["burst_over_3s"] = sum(one > 3000 for one in burst)
    figures["ack_p50_ratio"] = figures["ack_p50_ms"] / figures["bare_p50_ms"]
    figures["ack_p99_ratio"] = figures["ack_p99_ms"] / figures["bare_p99_ms"]
    return figures


def _acks(side: str, times: list[float]) -> dict[str, float]:
    return {f"{side}_p{percent}_ms": percentile(times, percent) for percent in (50, 99)}


async def _watch(slack: Slack, shown: list[Any], finished: dict[str, float]) -> None:
    """Notes when each card says that its ticket is filed."""
    until = time.perf_counter() + 120
    waiting = {card.ts: card for card in shown}
    while waiting and time.perf_counter() < until:
        for ts in [ts for ts, card in waiting.items() if "Filed as" in json.dumps(slack.message("C1OPS", ts).blocks)]:
            finished[ts] = time.perf_counter()
            del waiting[ts]
        await asyncio.sleep(0.02)
    if waiting:
        raise RuntimeError(f"{len(waiting)} cards were never filed")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    figures = asyncio.run(measure())
    rows: list[list[object]] = [["", "p50 ms", "p99 ms"]]
    for name, side in (("acknowledged", "ack"), ("bare Bolt", "bare"), ("click to filed card", "card")):
        rows.append([name, figures[f"{side}_p50_ms"], figures[f"{side}_p99_ms"]])
    rows.append(["acknowledged / bare", figures["ack_p50_ratio"], figures["ack_p99_ratio"]])
    rows.append([f"{BURST}/s offered", figures["burst_p50_ms"], figures["burst_p99_ms"]])
    report(f"{STEADY * SECONDS} clicks at {STEADY}/s", rows, figures, as_json=options.json)


if __name__ == "__main__":
    main()
