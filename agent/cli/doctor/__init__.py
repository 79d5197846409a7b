"""`signoff doctor`: looks at everything that Signoff in Slack needs, and says what to do about what is wrong.

It changes nothing: it asks Slack who the tokens are, and reads the database without bringing it to the newest schema.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.text import Text

from agent.cli.doctor.check import Check, env
from agent.cli.doctor.model import model_check
from agent.cli.doctor.slack import slack_checks
from agent.cli.doctor.stored import settings_check, stored_checks
from agent.cli.doctor.trackers import tracker_checks

SECRETS = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_CLIENT_SECRET", "JIRA_TOKEN", "GITHUB_TOKEN",
           "LINEAR_API_KEY", "GITLAB_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")  # fmt: skip
URLS = ("DATABASE_URL", "SIGNOFF_MODEL_URL")
"""Variables that may hold a password, as a part of a URL."""


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
    more = "docs/slack.md, docs/trackers.md and docs/listening.md say more."
    console.print(f"{wrong} of {len(checks)} are wrong; {more}" if wrong else "All is well.")


async def examine(clock: Callable[[], float] = time.time) -> list[Check]:
    """Every check, in the order in which things are set up. No text repeats a secret."""
    slack = [Check("slack", "skipped", "no variable of Slack's is set, see docs/slack.md")]
    if any(name.startswith("SLACK_") for name in os.environ):
        slack = await slack_checks(clock)
    checks = [*slack, settings_check(), *await tracker_checks(), await model_check(), *await stored_checks()]
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
        if secret := env(name):
            yield secret
    for name in URLS:
        with suppress(ValueError):
            if password := urlsplit(env(name)).password:
                yield password
                yield unquote(password)
