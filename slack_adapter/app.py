"""The Bolt app: one global middleware that makes what came in durable before it is acknowledged, and the listeners."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncAuthorize
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from agent.protocol import Reply
from slack_adapter import inbound
from slack_adapter.dedup import try_process, try_process_button
from slack_adapter.desk import Desk
from slack_adapter.handlers import Handlers
from slack_adapter.inbound import Errand, Inbound
from slack_adapter.workspaces import UNANSWERED, NotInstalled, named

logging.getLogger(__name__ + ".bolt").setLevel(logging.ERROR)  # it warns of the token in the environment, which is used


def build_app(
    desk: Desk, client: AsyncWebClient, signing_secret: str | None, oauth: AsyncOAuthSettings | None = None
) -> AsyncApp:
    """The app: for the workspace of the client's token, or with `oauth` for every workspace it is installed in."""
    app = AsyncApp(
        logger=logging.getLogger(__name__ + ".bolt"),
        client=client,
        signing_secret=signing_secret or "unused: nothing comes in but over the socket",
        authorize=_Authorize(desk, one_workspace=oauth is None),  # type: ignore[arg-type]
        oauth_settings=oauth,
        request_verification_enabled=bool(signing_secret),
    )
    app.use(_Ingest(desk).process)
    if oauth:
        app.enable_token_revocation_listeners()
    Handlers(desk).register(app)
    return app


SILENT = ("app_rate_limited", "view_closed", "block_suggestion")
"""Payloads that Bolt would answer with 404, and that ask for nothing."""


class Unauthorized(Exception):
    """Nobody can tell now who we are; unlike Slack's own error, which Bolt answers with 200, it has the event sent again."""


class _Authorize(AsyncAuthorize):
    """Who we are where something came from, without asking Slack each time, as Bolt does for several workspaces."""

    def __init__(self, desk: Desk, *, one_workspace: bool) -> None:
        self._desk, self._one_workspace = desk, one_workspace

    async def __call__(
        self, *, context: AsyncBoltContext, enterprise_id: str | None, team_id: str | None, **_: Any
    ) -> AuthorizeResult | None:
        """None, which is acknowledged and goes no further, where the app is not installed."""
        context["respond"] = _answering(context.respond)  # type: ignore[arg-type]  # by which Bolt says so
        try:
            workspace = await self._desk.workspaces.of("" if self._one_workspace else team_id or enterprise_id or "")
            if self._one_workspace and team_id not in (workspace.team, None) and enterprise_id != (workspace.enterprise or "-"):
                return None  # an organisation's payload may name another workspace of it
        except NotInstalled:
            return None
        except SlackApiError as error:
            raise Unauthorized(named(error) or "no answer") from error
        return AuthorizeResult(
            enterprise_id=workspace.enterprise or None,
            team_id=workspace.team,
            bot_user_id=workspace.bot_user,
            bot_id=workspace.bot_id,
            bot_token=workspace.client.token,
        )


def _answering(respond: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
    """An answer to an interaction that may be lost: whoever acted can act again."""

    async def answer(*given: Any, **more: Any) -> None:
        with suppress(*UNANSWERED):
            await respond(*given, **more)

    return answer


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
        """Accepts, and passes on what a listener has to answer; a repeat ends here, and so does what asks for nothing."""
        if body.get("type") in SILENT:
            return BoltResponse(status=200, body="")
        if (body.get("event") or {}).get("type") in ("app_uninstalled", "tokens_revoked"):
            self._desk.workspaces.forget(inbound.team_of(body))
        authorized = context.authorize_result
        team = (authorized.team_id if authorized else None) or inbound.team_of(body)
        came = inbound.read(body, context.bot_user_id or "", team)
        if came and (came := await self._placed(came, body, team)):
            remember = (try_process_button, self._desk.buttons) if came.button else (try_process, self._desk.events)
            process, memory = remember
            if not await process(memory, came.key, partial(self._commit, came)):
                return BoltResponse(status=200, body="")
            context["taken"] = True
        await next()
        return None

    async def _placed(self, came: Inbound, body: Mapping[str, Any], team: str) -> Inbound | None:
        """It with the session that it belongs to; None if it does not begin one, and there is none in this workspace."""
        event, answer = came.taken, getattr(came.taken, "answer", None)
        if isinstance(event, Errand):
            return came
        session_id: str | None = event.session_id
        if isinstance(answer, Reply) and answer.about:
            session_id = await self._desk.sessions.of_event(answer.about)
        elif not came.begins:
            known = event.session_id.startswith(f"{team}:") and await self._desk.sessions.exists(event.session_id)
            session_id = event.session_id if known else None
        elif inbound.is_top_of_direct(body):  # it goes on with what waits there, if anything does
            session_id = await self._desk.sessions.waiting_in(team, event.origin) or event.session_id
        return replace(came, taken=event.model_copy(update={"session_id": session_id})) if session_id else None

    async def _commit(self, came: Inbound) -> bool:
        if isinstance(came.taken, Errand):
            return await self._desk.outbox.send(came.taken.key, came.taken.session_id, came.taken.origin, came.taken.body)
        return await self._desk.accept(came.taken)
