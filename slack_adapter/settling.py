"""A filing that nobody can tell the outcome of: the form that takes the key of a ticket that is there."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.web.async_client import AsyncWebClient

from agent.ports import Event
from agent.protocol import Settlement
from slack_adapter.answers import GONE, OLD_FORM, Body, answering, give_back, refuse, show_form, submission, team, tell
from slack_adapter.desk import Desk
from slack_adapter.forms import View, states, value_of
from slack_adapter.inbound import attempt_of, parse_value, thread_of
from slack_adapter.pieces import plain

THERE = "there_form"
KEY_LIMIT = 300
"""Characters of a ticket's key or address."""

NOT_SAVED = "I could not save this just now, and nothing is lost: press Save again."

log = logging.getLogger(__name__)


def there_form(session_id: str, draft_hash: str, attempt: int) -> View:
    """Which ticket it is."""
    element = {"type": "plain_text_input", "action_id": "value", "max_length": KEY_LIMIT}
    hint = plain("I read it, and take it only if it is the one that was approved.")
    block = {"type": "input", "block_id": "key", "label": plain("Its key or address"), "element": element, "hint": hint}
    return {
        "type": "modal",
        "callback_id": THERE,
        "title": plain("It is there"),
        "submit": plain("Save"),
        "close": plain("Cancel"),
        "private_metadata": json.dumps({"s": session_id, "h": draft_hash, "a": attempt}),
        "blocks": [block],
    }


def read_there(view: Mapping[str, Any]) -> tuple[str, Settlement]:
    """The session, and what was entered. Raises ValueError if it is no form of this version."""
    try:
        kept = json.loads(view["private_metadata"])
        key = str(value_of(dict(states(view))["key"])).strip()
        if not key:
            raise ValueError("no key")
        return str(kept["s"]), Settlement(act="there", draft_hash=str(kept["h"]), attempt=int(kept["a"]), key=key)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("no form of this version") from error


class Settling:
    """The listeners of the form; the other buttons are durable before anything listens (`slack_adapter.app`)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: AsyncApp) -> None:
        """Tells the app which listener answers what."""
        app.action("filing_there")(self.open_form)
        app.view(THERE)(self.save_form)

    async def open_form(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """ "It is there": asks for the key."""
        await ack()
        async with answering(client, body):
            action = body["actions"][0]
            value, attempt = parse_value(action.get("value")), attempt_of(action.get("block_id"))
            if value and attempt and value.digest and value.parts[0] == team(context):
                await show_form(client, body, there_form(value.session_id, value.digest, attempt))
            else:
                await tell(client, body, GONE)

    async def save_form(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, view: Body) -> None:
        """Makes what was entered durable before the form is closed; its turn reads the ticket, and answers."""
        try:
            session_id, said = read_there(view)
            if not session_id.startswith(f"{team(context)}:") or parse_value(session_id) is None:
                raise ValueError("of another workspace")
        except ValueError:
            await refuse(ack, view, OLD_FORM)
            return
        event = Event(
            event_id=submission(body, view),
            session_id=session_id,
            origin=thread_of(session_id)[0],
            surface={"kind": "form", "user_team": body["user"].get("team_id") or ""},
            answer=said.model_copy(update={"by": body["user"]["id"]}),
        )
        try:
            if not await self._desk.sessions.exists(session_id):
                await give_back(ack, view, GONE)
                return
            await self._desk.accept(event)
        except Exception:
            log.exception("a ticket's key could not be saved")
            await refuse(ack, view, NOT_SAVED)
            return
        await ack()
