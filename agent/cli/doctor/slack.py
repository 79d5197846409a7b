"""The checks that ask Slack: tokens, scopes, signing secret, socket, clock."""

import re
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from agent.cli import wiring
from agent.cli.doctor.check import TIMEOUT, Check, env
from slack_adapter.install import OPTIONAL, SCOPES
from slack_adapter.workspaces import named, status

SKEW = 60.0
"""Seconds between Slack's clock and ours that are still well; a signature is refused after 300."""


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


async def slack_checks(clock: Callable[[], float]) -> list[Check]:
    """The checks in the order in which things are set up."""
    # the client's own timeout does not hold for a session that it is given
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as http:
        client = AsyncWebClient(base_url=_base(), session=http, retry_handlers=[])
        return [*await _bot(client), _signing_secret(), await _socket(client), await _clock(client, clock)]


async def _bot(client: AsyncWebClient) -> list[Check]:
    if not (token := env("SLACK_BOT_TOKEN")):
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


async def workspace_tokens(tokens: dict[str, str]) -> Check:
    """Whether the tokens of the workspaces that the app was installed in (team -> token) are good."""
    wrong = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as http:
        client = AsyncWebClient(base_url=_base(), session=http, retry_handlers=[])
        for team, token in tokens.items():
            try:
                await _asked(client.auth_test(token=token))
            except _Refused as refused:
                wrong.append(f"{team}: {refused}")
    number = f"{len(tokens)} workspace{'s' * (len(tokens) != 1)}"
    if wrong:
        todo = "open /slack/install there again, if the app is still wanted"
        return Check("workspaces", "wrong", f"{len(wrong)} of {number} cannot be served", todo, tuple(wrong))
    return Check("workspaces", "ok" if tokens else "skipped", f"installed in {number}")


def _base() -> str:
    base = env("SLACK_API_URL") or AsyncWebClient.BASE_URL
    return base if base.endswith("/") else f"{base}/"


def _no_bot() -> list[Check]:
    given = [name for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET") if env(name)]
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
    if missing := [scope for scope in SCOPES if scope not in (*granted, *OPTIONAL)]:
        todo = "add them under OAuth & Permissions > Bot Token Scopes, and install the app again"
        return Check("scopes", "wrong", f"missing: {', '.join(missing)}", todo)
    more, without = sorted(granted - set(SCOPES)), [scope for scope in OPTIONAL if scope not in granted]
    found = f"all but {', '.join(without)}, which is not needed on a free plan" if without else f"all {len(SCOPES)}"
    return Check("scopes", "ok", found + (f", and not needed: {', '.join(more)}" if more else ""))


def _signing_secret() -> Check:
    secret, name = env("SLACK_SIGNING_SECRET"), "signing secret"
    todo = "copy it from your app's Basic Information > App Credentials into SLACK_SIGNING_SECRET"
    if not secret:
        if env("SLACK_APP_TOKEN"):
            return Check(name, "skipped", "not set: serve --socket needs none, serve over HTTP does")
        return Check(name, "wrong", "not set", f"{todo}; or set SLACK_APP_TOKEN and use serve --socket")
    if not re.fullmatch(r"[0-9a-z]{32}", secret):  # Slack's are hexadecimal, but the one in its documentation is not
        return Check(name, "wrong", "set, but not 32 digits and small letters as Slack's are", todo)
    return Check(name, "ok", "set, and it looks like one")


async def _socket(client: AsyncWebClient) -> Check:
    token, name = env("SLACK_APP_TOKEN"), "socket"
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
