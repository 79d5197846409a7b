"""What stands before Bolt: requests that are no requests of Slack's are refused with a 4xx, and never become a 500."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.request.payload_utils import (
    to_action,
    to_command,
    to_event,
    to_message,
    to_options,
    to_shortcut,
    to_step,
    to_view,
)
from slack_sdk.signature import SignatureVerifier

BODY_LIMIT = 4_000_000
"""Bytes of a request that are read; Slack's largest, a form with all it shows, stays far below."""


DEEPEST = 100
"""Levels of a payload; Slack's have a dozen or two, and what goes hundreds deep can be read but not written down again."""


class Refused(Exception):
    """The request is refused with this status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Shape(BaseModel):
    """Only what is read without asking whether it is there; all else is left as it is."""

    model_config = ConfigDict(extra="allow")


Id = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,40}$")]
Ts = Annotated[str, Field(pattern=r"^\d{1,20}\.\d{1,10}$")]


Key = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,300}$")]
"""What becomes part of an event's id, or is looked up: nothing that a database cannot hold."""


class _Named(_Shape):
    id: Id


class _Event(_Shape):
    type: str
    event_ts: Key | None = None
    user: str | dict[str, Any] | None = None
    channel: str | dict[str, Any] | None = None


class _File(_Shape):
    id: Key
    name: str | None = None
    permalink: str | None = None
    url_private: str | None = None
    mimetype: str | None = None
    size: int | None = None


class _Spoken(_Event):
    type: Literal["message", "app_mention"]
    channel: Id
    user: Id | None = None
    text: str | None = None
    thread_ts: Ts | None = None
    deleted_ts: Ts | None = None
    files: list[_File] | None = None
    attachments: list[dict[str, Any]] | None = None
    edited: "_Edit | None" = None
    message: "_Message | None" = None
    previous_message: "_Message | None" = None
    ts: Ts


class _Edit(_Shape):
    ts: Key = ""


class _Message(_Shape):
    ts: Ts | None = None
    thread_ts: Ts | None = None
    user: Id | None = None
    text: str | None = None
    edited: _Edit | None = None


class _Sent(_Message):
    ts: Ts


class _Item(_Shape):
    type: str
    channel: Id | None = None
    ts: Ts | None = None


class _Reaction(_Event):
    type: Literal["reaction_added"]
    user: Id
    reaction: str
    item: _Item


class _Callback(_Shape):
    type: Literal["event_callback"]
    event: _Event
    authorizations: list[dict[str, Any]] | None = None


class _Other(_Shape):
    type: str
    event: dict[str, Any] = Field(default_factory=dict)  # Bolt looks into it, whatever the type


class _Action(_Shape):
    action_id: str
    block_id: Key = ""
    action_ts: Key | None = None
    value: str | None = None


class _Container(_Shape):
    channel_id: Id | None = None
    message_ts: Ts | None = None
    thread_ts: Ts | None = None


class _Person(_Named):
    team_id: Id | None = None


class _Interactive(_Shape):
    user: _Person
    team: _Named | None = None
    enterprise: _Named | None = None
    channel: _Named | None = None
    message: _Message | None = None
    action_ts: Key | None = None
    trigger_id: Key | None = None


class _Actions(_Interactive):
    type: Literal["block_actions"]
    actions: list[_Action] = Field(min_length=1)
    container: _Container | None = None


class _Shortcut(_Interactive):
    type: Literal["message_action"]
    callback_id: str
    channel: _Named
    message: _Sent


class _State(_Shape):
    values: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)


class _Block(_Shape):
    type: str
    block_id: str = ""


class _View(_Shape):
    type: str  # Bolt reads it unasked
    id: Key
    callback_id: str = ""
    blocks: list[_Block]
    state: _State


class _Submission(_Interactive):
    type: Literal["view_submission"]
    view: _View


class _Command(_Shape):
    command: str
    channel_id: Id
    user_id: Id
    trigger_id: Key
    team_id: Id


_STRICT: dict[str, type[_Shape]] = {
    "event_callback": _Callback,
    "block_actions": _Actions,
    "message_action": _Shortcut,
    "view_submission": _Submission,
}
_SPEECH: dict[str, type[_Shape]] = {"message": _Spoken, "app_mention": _Spoken, "reaction_added": _Reaction}


def check_signature(verifier: SignatureVerifier, headers: Mapping[str, str], body: bytes) -> None:
    """Refuses what Slack has not signed within the last minutes, before anything of it is read."""
    timestamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not signature.isascii():
        raise Refused(401, "the request's signature is no signature")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refused(401, "the request's timestamp is no number")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "it is no UTF-8") from None
    if not verifier.is_valid(text, timestamp, signature):
        raise Refused(401, "the request's signature is wrong, or too old")


def check_body(content_type: str, body: bytes) -> None:
    """Refuses a body that is none of Slack's: no UTF-8, no JSON, or not of the shape that its type has."""
    try:
        text = body.decode()
        if content_type.partition(";")[0].strip() == "application/x-www-form-urlencoded":
            form = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
            if "payload" not in form:
                if form.get("ssl_check") != "1":
                    check_command(form)
                return
            text = form["payload"]
        check_payload(json.loads(text))
    except (ValueError, RecursionError) as error:  # ValidationError is a ValueError
        what = "its shape is not Slack's" if isinstance(error, ValidationError) else "it cannot be read"
        raise Refused(400, what) from None


def check_command(form: Any) -> None:
    """Raises ValueError for what is no slash command."""
    _Command.model_validate(form)


def check_payload(payload: Any) -> None:
    """Raises ValueError for a payload that is not of its type's shape."""
    if _deeper(payload, DEEPEST):
        raise ValueError("it is nested too deep")
    kind = _Other.model_validate(payload).type
    if model := _STRICT.get(kind):
        model.model_validate(payload)
    if kind == "event_callback" and (speech := _SPEECH.get(payload["event"]["type"])):
        speech.model_validate(payload["event"])
    try:  # Bolt reads more of a payload than we do, and asks for less before it does
        body = AsyncBoltRequest(body=payload, mode="socket_mode").body
        for part in (to_options, to_shortcut, to_action, to_view, to_command, to_event, to_message, to_step):
            part(body)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("Bolt cannot read it") from error


def _deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _deeper(one, levels - 1) for one in inner)
