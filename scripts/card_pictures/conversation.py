"""Has a short conversation with the real app in a Slack of our own, and writes down what Slack was given to show.

`python scripts/card_pictures/conversation.py FOLDER` writes card.json, changed.json, filed.json, doubt.json, asked.json,
marked.json and form.json: a list of messages `{"by", "at", "text" or "blocks"}`, or for the form the modal's view.
"""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent import ladder
from persistence import embedded
from persistence.database import open_database
from persistence.sessions import PostgresPlaces
from tests.model_sim import Call, running_model
from tests.slack.channel import Channel, buttons, words
from tests.slack.conftest import serving
from tests.slack_sim import Message, running_slack
from tests.trackers_sim.github import running_github
from tests.trackers_sim.proxy import fault_proxy

ANN, BOB, OPS, WEB = "U1ANN", "U2BOB", "C1OPS", "C2WEB"

REPORT = (
    "Type: bug\n"
    "Title: CSV export of large reports ends in a 504\n"
    "Problem: Since Monday's release, exporting a report with more than 50,000 rows ends in a 504 after 30 seconds. "
    "Small reports still work. Three customers wrote to support today.\n"
    "Acceptance criteria:\n"
    "• A report with 200,000 rows downloads completely\n"
    "• An export that fails tells the user why"
)
CHANGE = (
    "Priority: high\nLabels: export, customer\nAlso acceptance criteria: Reports under 50,000 rows take no longer than before"
)


@asynccontextmanager
async def ops(directory: Path) -> AsyncIterator[tuple[Channel, pytest.MonkeyPatch]]:
    """The channel #ops with ann and bob in it, whose tickets go to OPS; and the environment that Signoff starts in."""
    with embedded.start(directory) as server:
        async with AsyncExitStack() as stack, running_slack() as slack, open_database(server.dsn) as database:
            slack.add_user(ANN, "ann")
            slack.add_user(BOB, "bob")
            slack.add_channel(OPS, "ops", [ANN, BOB])
            slack.add_channel(WEB, "web", [ANN, BOB])
            await PostgresPlaces(database).write(f"T1:{OPS}", {"project": "OPS"}, ANN)
            await PostgresPlaces(database).write(f"T1:{WEB}", {"tracker": "github", "project": "acme/web"}, ANN)
            github = await stack.enter_async_context(running_github())
            github.add_repository("acme/web")
            github.list_lag = 3600
            proxy = await stack.enter_async_context(fault_proxy(github.url))
            proxy.plan("drop_reply")
            with pytest.MonkeyPatch.context() as environment:
                environment.setattr(ladder, "LOOKS", (0.1,) * 12)
                environment.setenv("GITHUB_TOKEN", github.token)
                environment.setenv("GITHUB_API_URL", proxy.url)
                yield Channel(slack, database, OPS, "", server.dsn), environment


async def talk(channel: Channel) -> dict[str, Any]:
    """A bug is reported, changed, and filed; gives what is to be seen of it."""
    slack = channel.slack
    asked = await channel.mention(REPORT)
    first = await channel.card(asked.ts)
    answered = await channel.mention(CHANGE, by=BOB, thread=asked.ts)
    second = await channel.card(asked.ts, "high")
    await slack.click(BOB, second, "request_changes")
    await channel.until(lambda: slack.views(BOB), "the form")
    form = slack.views(BOB)[-1].body
    await slack.click(ANN, second, "approve_draft")
    await channel.until(lambda: "Filed as" in words(slack.latest(second).blocks), "the filed card")
    await channel.quiet()
    news = [one for one in channel.said(asked.ts) if one.ts > answered.ts]
    return {
        "card": [shown(asked), shown(first)],
        "changed": [shown(second), shown(answered)],  # it is changed where it stands, above
        "filed": [shown(slack.latest(second)), *(shown(one) for one in news)],
        "form": form,
    }


async def doubt(channel: Channel) -> list[dict[str, Any]]:
    """A ticket whose answer was lost, in the channel whose tickets go to GitHub; gives what is to be seen of it."""
    slack = channel.slack
    asked = await channel.mention(REPORT)
    card = await channel.card(asked.ts)
    await slack.click(ANN, card, "approve_draft")
    asks = "Nobody can tell whether the ticket was filed"
    await channel.until(lambda: any(asks in words(one.blocks) for one in channel.said(asked.ts)), "a question", 30)
    await channel.quiet()
    return [shown(one) for one in channel.said(asked.ts)[-1:]]


AGAIN = "the CSV export ends in a 504 again, this time for ACME. On production since this morning, priority high I'd say"
AGREES_NOT = "priority low, they can use the API meanwhile"
HEARD = {
    AGAIN: [
        ("title", "the CSV export ends in a 504", ""),
        ("problem", "the CSV export ends in a 504 again, this time for ACME", ""),
        ("issue_type", "bug", "ends in a 504"),
        ("environment", "production, release 4.2", "On production since this morning"),
        ("priority", "high", "priority high"),
    ],
    AGREES_NOT: [("priority", "low", "priority low")],
}
"""What the model makes of these messages: field, value, and the words that it quotes for it (none: the value)."""


def heard(request: dict[str, Any]) -> Call:
    """What the model answers."""
    new = json.loads(request["messages"][1]["content"])["new"]
    operations = [
        {"op": "set", "field": field, "value": value, "quote": quote or value, "message": one["id"]}
        for one in new
        for field, value, quote in HEARD.get(one["text"], [])
    ]
    return Call("update_draft", {"intent": "information", "operations": operations})


async def listened(channel: Channel) -> dict[str, Any]:
    """People talk, and a model listens: they disagree, there may be such a ticket, and something was said by nobody."""
    slack = channel.slack
    asked = await channel.mention(AGAIN)
    await channel.card(asked.ts)
    await slack.say(BOB, channel.id, AGREES_NOT, thread_ts=asked.ts)
    await channel.until(lambda: "answer:0" in buttons(channel.said(asked.ts)[-1]), "a question")
    await channel.quiet()
    question = [shown(one) for one in slack.thread(channel.id, asked.ts) if "approve_draft" not in buttons(one)]
    await slack.click(ANN, channel.said(asked.ts)[-1], "answer:0")
    card = await channel.card(asked.ts, "high")
    await channel.quiet()
    return {"asked": question, "marked": [shown(slack.latest(card))]}


def shown(message: Message) -> dict[str, Any]:
    """A message as the pictures need it."""
    by = {ANN: "ann", BOB: "bob"}.get(message.user or "", "Signoff")
    what = {"blocks": message.blocks} if by == "Signoff" else {"text": message.text}
    return {"by": by, "at": f"{datetime.fromtimestamp(float(message.ts), UTC):%H:%M}", **what}


async def main(folder: Path, directory: Path) -> None:
    """Writes the files; the database is in the directory."""
    async with ops(directory) as (channel, environment), running_model(heard) as model:
        async with serving(channel.database, channel.slack, environment) as url:
            channel.slack.deliver_to(url)
            web = Channel(channel.slack, channel.database, WEB, url, channel.dsn)
            pictures = {**await talk(channel), "doubt": await doubt(web)}
        environment.setenv("SIGNOFF_MODEL", "openai:any")
        environment.setenv("SIGNOFF_MODEL_URL", model.url)
        async with serving(channel.database, channel.slack, environment) as url:
            channel.slack.deliver_to(url)
            pictures |= await listened(channel)
        for name, payload in pictures.items():
            (folder / f"{name}.json").write_text(json.dumps(payload, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    temporary = Path(tempfile.mkdtemp(prefix="signoff-pictures-"))
    temporary.chmod(0o755)  # PostgreSQL runs as another user where this one is root
    try:
        asyncio.run(main(Path(sys.argv[1]), temporary))
    finally:
        for _ in range(100):  # the server takes a moment to stop
            if not temporary.exists():
                break
            shutil.rmtree(temporary, ignore_errors=True)
            time.sleep(0.1)
