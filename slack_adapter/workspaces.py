"""The workspaces the app is installed in: for each a client, who the bot is there, and what is known of people and places."""

import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from agent.faults import point
from agent.hiding import hide, remember

TTL = 300.0
"""Seconds for which names and user groups are believed."""

FRESH = 30.0
"""Seconds for which it is believed who somebody is and who is in a channel: what decides about a click."""


CACHED = 20_000
"""People, channels and groups of a workspace that are remembered."""

LONGEST_PAUSE = 3600.0
"""Seconds that Slack may ask us to wait; more is taken for this."""

UNANSWERED = (SlackApiError, aiohttp.ClientError, TimeoutError, OSError)
"""What a call of Slack's API can end in, other than its answer."""

ABSENT = ("not_in_channel", "channel_not_found")
"""What Slack calls it where the app is not in a channel."""

FindToken = Callable[[str], Awaitable[str | None]]
"""The bot's token in a workspace, where the app is installed in several."""


class NotInstalled(Exception):
    """The app is not, or no longer, installed in that workspace."""


PASSING = frozenset({
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "invalid_auth",
    "token_expired", "token_revoked", "account_inactive", "not_authed", "missing_scope", "team_added_to_org",
    "org_login_required", "external_channel_migrating", "update_failed", "streaming_state_conflict", "fetch_members_failed",
})  # fmt: skip
"""What may be better later, an operator's mending included. Every other error that Slack names will stay."""


REVOKED = ("invalid_auth", "token_revoked", "account_inactive", "token_expired")
"""The token is no longer good; the app may have been installed anew meanwhile."""


def named(error: SlackApiError) -> str:
    """What Slack calls the error; empty if it did not answer in its own form, as a gateway before it does."""
    data = getattr(error.response, "data", None)
    return hide(str(data.get("error", "")))[:200] if isinstance(data, dict) and status(error) < 500 else ""


def status(error: SlackApiError) -> int:
    """The HTTP status of the answer, which the library has under one of two names."""
    return int(getattr(error.response, "status_code", 0) or getattr(error.response, "status", 0))


def pause_of(error: SlackApiError) -> float | None:
    """The seconds that Slack wants us to wait; None if that is not what it says."""
    if status(error) == 429 or named(error) in ("ratelimited", "rate_limited"):
        told = str(error.response.headers.get("Retry-After", 1))
        return min(float(told), LONGEST_PAUSE) if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", told) else 1.0
    return None


def passes(error: SlackApiError) -> bool:
    """Whether the same call may succeed later."""
    return named(error) in PASSING or not named(error)


async def asked(method: Callable[..., Awaitable[Any]], *arguments: Any, **given: Any) -> Any:
    """What Slack answers to a question, which changes nothing there."""
    point("slack-asking")
    answer = await method(*arguments, **given)
    point("slack-answered")
    return answer


@dataclass
class Workspace:
    """One workspace, as the bot sees it."""

    team: str
    client: AsyncWebClient
    bot_user: str
    bot_id: str
    url: str
    enterprise: str = ""
    _cache: dict[tuple[str, str], tuple[float, Any]] = field(default_factory=dict)

    def permalink(self, channel: str, ts: str, thread_ts: str = "") -> str:
        """The address of a message."""
        inside = f"?thread_ts={thread_ts}&cid={channel}" if thread_ts and thread_ts != ts else ""
        return f"{self.url}archives/{channel}/p{ts.replace('.', '')}{inside}"

    async def show_status(self, channel: str, thread_ts: str, doing: str) -> None:
        """Shows what the agent is doing in a direct conversation; an ornament, whose failure nobody need know of."""
        with suppress(*UNANSWERED):
            point("slack-adorning")
            await self.client.assistant_threads_setStatus(channel_id=channel, thread_ts=thread_ts, status=doing)
            point("slack-adorned")

    async def user(self, user: str) -> dict[str, Any]:
        """What `users.info` says. Raises SlackApiError."""

        async def ask() -> Any:
            return (await asked(self.client.users_info, user=user))["user"]

        found: dict[str, Any] = await self._cached("user", user, ask, FRESH)
        return found

    async def channel(self, channel: str) -> dict[str, Any]:
        """What `conversations.info` says, at most some minutes old. Raises SlackApiError."""

        async def ask() -> Any:
            return (await asked(self.client.conversations_info, channel=channel))["channel"]

        found: dict[str, Any] = await self._cached("channel", channel, ask)
        return found

    async def members(self, channel: str) -> set[str]:
        """Who is in a channel. Raises SlackApiError."""

        async def ask() -> Any:
            found: set[str] = set()
            cursor = ""
            while True:
                page = await asked(self.client.conversations_members, channel=channel, limit=1000, cursor=cursor or None)
                found |= set(page["members"])
                cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
                if not cursor:
                    return found

        found: set[str] = await self._cached("members", channel, ask, FRESH)
        return found

    async def group(self, group: str) -> set[str]:
        """Who is in a user group, at most some minutes old. Raises SlackApiError."""

        async def ask() -> Any:
            return (await asked(self.client.usergroups_users_list, usergroup=group))["users"]

        return set(await self._cached("group", group, ask))

    async def name(self, kind: str, key: str) -> str:
        """What people call a user, channel or user group; the id itself if Slack does not say."""

        async def ask() -> Any:
            match kind:
                case "user":
                    person = await self.user(key)
                    profile = person.get("profile", {})
                    return profile.get("display_name") or profile.get("real_name") or person.get("name") or key
                case "channel":
                    return (await self.channel(key)).get("name") or key
            return (await self._handles()).get(key, key)

        try:
            return str(await self._cached(f"{kind} name", key, ask))
        except UNANSWERED:
            return key

    async def _handles(self) -> dict[str, str]:
        async def ask() -> Any:
            return {group["id"]: group["handle"] for group in (await asked(self.client.usergroups_list))["usergroups"]}

        found: dict[str, str] = await self._cached("handles", "", ask)
        return found

    async def _cached(self, kind: str, key: str, ask: Callable[[], Awaitable[Any]], ttl: float = TTL) -> Any:
        at, value = self._cache.get((kind, key), (-ttl, None))
        if time.monotonic() - at >= ttl:
            value = await ask()
            self._cache[kind, key] = time.monotonic(), value
            while len(self._cache) > CACHED:
                del self._cache[next(iter(self._cache))]
        return value


class Workspaces:
    """Finds a workspace by its id: the one of the token in the settings, or any that the app was installed in."""

    def __init__(self, client: AsyncWebClient, find_token: FindToken | None = None) -> None:
        self._client, self._find_token = client, find_token
        self._known: dict[str, tuple[float, Workspace]] = {}

    async def of(self, team: str) -> Workspace:
        """The workspace of this id. Raises NotInstalled, or one of UNANSWERED if its token cannot be tried."""
        at, known = self._known.get(team, (0.0, None))
        if known and (self._find_token is None or time.monotonic() - at < TTL):
            return known
        token = await self._find_token(team) if self._find_token else self._client.token
        if not token:
            raise NotInstalled(f"The app is not installed in {team}: open /slack/install there.")
        if known is None or known.client.token != token:
            remember(token)
            known = await self._open(team, token)
        self._known[team] = self._known[known.team] = time.monotonic(), known
        return known

    def forget(self, team: str) -> None:
        """The app was removed from it, or its token is no longer good."""
        self._known.pop(team, None)

    async def _open(self, team: str, token: str) -> Workspace:
        client = AsyncWebClient(token=token, base_url=self._client.base_url, retry_handlers=[], session=self._client.session)
        me = await asked(client.auth_test)
        if self._find_token is None and team not in (me["team_id"], me.get("enterprise_id"), ""):
            raise NotInstalled(f"The token in the settings is not for {team}, but for {me['team_id']}.")
        return Workspace(
            team=me["team_id"],
            client=client,
            bot_user=me["user_id"],
            bot_id=me.get("bot_id", ""),
            url=me["url"],
            enterprise=me.get("enterprise_id") or "",
        )
