"""What listeners answer with at once: a word to one person, a form, an error in a form. None of it changes a session."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from agent.faults import point
from slack_adapter import forms
from slack_adapter.inbound import team_of
from slack_adapter.pieces import Block, pieces, plain, preformatted, section
from slack_adapter.text import escape
from slack_adapter.workspaces import UNANSWERED, named, passes, pause_of

Body = Mapping[str, Any]

OLD_BUTTON = "That button is of an older version of me: say *show* in the conversation for a current card."
OLD_FORM = "This form is of an older version of me: open it anew."
GONE = "That conversation is not known to me any more, so nothing was changed: mention me to start anew."
TOO_LATE = "That took too long, and Slack did not let me open the form: press the button again."
NOT_OPENED = "Slack did not let me open the form ({reason}): press the button again, or say what to change in the conversation."
TRIES = 4
WENT_WRONG = "Something went wrong just now, and nothing was changed: press the button again."
EXPIRED = ("expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id")

log = logging.getLogger(__name__)


def team(context: AsyncBoltContext) -> str:
    """The workspace that the app acts in; an organisation's payload may name another."""
    assert context.authorize_result
    return context.authorize_result.team_id or ""


async def tell(client: AsyncWebClient, body: Body, text: str, shown: list[Block] | None = None) -> None:
    """Says something to the one who acted, in the place of the act, or else in a direct message."""
    user, container = body["user"]["id"], body.get("container") or {}
    channel = (body.get("channel") or {}).get("id") or container.get("channel_id")
    thread_ts = (body.get("message") or {}).get("thread_ts") or container.get("thread_ts")
    said: dict[str, Any] = {"text": text, "blocks": shown or [section(text)]}
    for left in reversed(range(TRIES)):
        try:
            if channel:
                point("slack-whispering")
                await client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread_ts, **said)
                point("slack-whispered")
            else:
                point("slack-opening")
                opened = await client.conversations_open(users=user)
                point("slack-opened")
                await client.chat_postMessage(channel=opened["channel"]["id"], **said)
            return
        except UNANSWERED as error:
            log.info("an answer could not be shown in %s: %s", channel or "a direct message", error)
            if not isinstance(error, SlackApiError) or passes(error):
                pause = pause_of(error) if isinstance(error, SlackApiError) else None
                await asyncio.sleep((pause or 1.0) if left else 0.0)
            elif channel:
                channel = None  # it cannot be said there
            else:
                break
    log.warning("%s could not be told: %s", user, text)


@asynccontextmanager
async def answering(client: AsyncWebClient, body: Body) -> AsyncIterator[None]:
    """What goes wrong after an acknowledgement is told; raised, it would take Bolt's acknowledgement back."""
    try:
        yield
    except Exception:
        log.exception("an act could not be answered")
        await tell(client, body, WENT_WRONG)


async def show_form(client: AsyncWebClient, body: Body, view: forms.View) -> None:
    """Opens a form for the one who acted, or says why it cannot be opened."""
    try:
        point("form-opening")
        await client.views_open(trigger_id=body.get("trigger_id") or "", view=view)
        point("form-opened")
    except UNANSWERED as error:
        reason = (named(error) if isinstance(error, SlackApiError) else "") or "no answer"
        if reason not in EXPIRED:
            log.warning("a form could not be opened: %s", error)
        await tell(client, body, TOO_LATE if reason in EXPIRED else NOT_OPENED.format(reason=escape(reason)))


async def refuse(ack: AsyncAck, view: Body, wrong: str | Mapping[str, str]) -> None:
    """Errors in a form, by the names of its inputs; one that is of none of them is shown at the first."""
    inputs = [block["block_id"] for block in view["blocks"] if block.get("type") == "input" and "block_id" in block]
    named = {"": wrong} if isinstance(wrong, str) else wrong
    errors = {field if field in inputs else next(iter(inputs), "form"): text for field, text in named.items()}
    await ack(response_action="errors", errors=errors)


async def give_back(ack: AsyncAck, view: Body, why: str) -> None:
    """Shows what somebody typed into a form that cannot be taken, so that it can be copied."""
    values = view.get("state", {}).get("values", {})
    texts = [str(state.get("value")) for actions in values.values() for state in actions.values() if state.get("value")]
    kept = [preformatted(piece) for piece in pieces("\n\n".join(texts)) if piece]
    shown = [section(escape(f"{why} What you entered:")), *kept][:100]
    await ack(
        response_action="update",
        view={"type": "modal", "title": plain("Not saved"), "close": plain("Close"), "blocks": shown},
    )


def submission(body: Body, view: Body) -> str:
    """The key of what a form said: the same form saved again with other values is another event."""
    values = json.dumps(view["state"], sort_keys=True)
    return f"{team_of(body)}:view:{view['id']}:{hashlib.sha256(values.encode()).hexdigest()[:12]}"
