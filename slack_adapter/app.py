"""The Bolt app: one global middleware that makes what came in durable before it is acknowledged, and the listeners."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from slack_adapter import inbound
from slack_adapter.dedup import try_process, try_process_button
from slack_adapter.desk import Desk
from slack_adapter.handlers import Handlers
from slack_adapter.inbound import Errand, Inbound, session_of

logging.getLogger(__name__ + ".bolt").setLevel(logging.ERROR)  # it warns of the token in the environment, which is used


def build_app(
    desk: Desk, client: AsyncWebClient, signing_secret: str | None, oauth: AsyncOAuthSettings | None = None
) -> AsyncApp:
    """The app: for the workspace of the client's token, or with `oauth` for every workspace it is installed in."""
    app = AsyncApp(
        logger=logging.getLogger(__name__ + ".bolt"),
        client=client,
        signing_secret=signing_secret or "unused: nothing comes in but over the socket",
        authorize=None if oauth else _authorize(desk),
        oauth_settings=oauth,
        request_verification_enabled=bool(signing_secret),
    )
    app.use(_Ingest(desk).process)
    if oauth:
        app.enable_token_revocation_listeners()
    Handlers(desk).register(app)
    return app


def _authorize(desk: Desk) -> Callable[..., Awaitable[AuthorizeResult]]:
    async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        workspace = await desk.workspaces.of("")  # the token's, whatever an organisation's payload names
        return AuthorizeResult(
            enterprise_id=workspace.enterprise or None,
            team_id=workspace.team,
            bot_user_id=workspace.bot_user,
            bot_id=workspace.bot_id,
            bot_token=workspace.client.token,
        )

    return authorize


class _Ingest:
    """Makes what changes a session durable. What it raises is an error that Slack tries again, or that a person sees."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def process(
        self,
        body: Mapping[str, Any],
        context: AsyncBoltContext,
        next: Callable[[], Awaitable[None]],  # noqa: A002 - Bolt's name
    ) -> BoltResponse | None:
        """Accepts, and passes on what a listener has to answer; a repeat ends here."""
        authorized = context.authorize_result
        team = (authorized.team_id if authorized else None) or inbound.team_of(body)
        came = inbound.read(body, context.bot_user_id or "", team)
        if came and await self._belongs(came):
            came = await self._continued(body, came)
            remember = (try_process_button, self._desk.buttons) if came.button else (try_process, self._desk.events)
            process, memory = remember
            if not await process(memory, came.key, lambda: self._commit(came)):
                return BoltResponse(status=200, body="")
            context["taken"] = True
        await next()
        return None

    async def _belongs(self, came: Inbound) -> bool:
        """Whether it is for a session that there is, if it does not begin one."""
        return not came.only_in or await self._desk.sessions.exists(came.only_in)

    async def _continued(self, body: Mapping[str, Any], came: Inbound) -> Inbound:
        """A message at the top of a direct conversation goes on with what waits there, if anything does."""
        event = body.get("event") or {}
        if isinstance(came.taken, Errand) or event.get("channel_type") != "im" or event.get("thread_ts"):
            return came
        team, channel, ts = came.taken.session_id.split(":")
        waiting = await self._desk.sessions.waiting_in(team, channel)
        if waiting and waiting != session_of(team, channel, ts):
            return Inbound(came.taken.model_copy(update={"session_id": waiting}))
        return came

    async def _commit(self, came: Inbound) -> bool:
        if isinstance(came.taken, Errand):
            return await self._desk.outbox.send(came.taken.key, came.taken.session_id, came.taken.origin, came.taken.body)
        return await self._desk.accept(came.taken)
