"""What comes in from Slack: payloads read into the events that a session takes, each under an id that a repeat shares.

Nothing is looked up here; what must be found out first is left to the turn (`slack_adapter.facts`) or to an errand.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.ports import Event
from agent.protocol import Decision, Reply, Settlement
from slack_adapter.text import names, said, shared

Body = Mapping[str, Any]

TICKET = "ticket"
"""The emoji that, put on a message, drafts a ticket from its thread."""

_VALUE = re.compile(r"([TE][A-Z0-9]{1,20}:[A-Z0-9]{1,20}:\d{1,20}\.\d{1,10})(?::([0-9a-f]{64})(?::(.{1,300}))?)?")
SPOKEN = (None, "file_share", "thread_broadcast", "me_message")
"""The subtypes of messages that are somebody speaking."""

ATTEMPT = "attempt-"
"""What the id of a row of buttons begins with that settles a filing; the number of its attempt follows."""

SETTLEMENTS: dict[str, Literal["again", "leave"]] = {"file_again": "again", "leave_filing": "leave"}
DECISIONS: dict[str, Literal["approve", "reject"]] = {"approve_draft": "approve", "reject_draft": "reject"}
MARKS: dict[str, Literal["confirm", "remove"]] = {"confirm_mark": "confirm", "remove_mark": "remove"}
ANSWER, SAME = "answer", "same_as"
NUMBERED = re.compile(f"(?:{ANSWER}|{SAME}):([0-9]{{1,3}})")
"""The action ids of buttons of which there are several."""


@dataclass(frozen=True)
class Errand:
    """Something to be found out before a session can be named: made durable as an effect that leads to an event."""

    key: str
    session_id: str
    body: dict[str, Any]
    origin: str = ""


@dataclass(frozen=True)
class Inbound:
    """What a payload comes to."""

    taken: Event | Errand
    button: bool = False
    """It is an act of a person's hand, which Slack does not retry."""
    begins: bool = True
    """It may begin a session; else it counts only if there is one already."""

    @property
    def key(self) -> str:
        """What a repeat of it shares."""
        return self.taken.event_id if isinstance(self.taken, Event) else self.taken.key


@dataclass(frozen=True)
class Value:
    """A button's value: the session it belongs to, and what in it."""

    session_id: str
    digest: str = ""
    """The hash that a card shows, or the digest of a mark on it."""
    key: str = ""
    """The ticket that may be the same."""

    @property
    def parts(self) -> tuple[str, str, str]:
        """The workspace, the channel and the thread of the session."""
        team, channel, ts = self.session_id.split(":")
        return team, channel, ts


def button_value(session_id: str, digest: str, key: str = "") -> str:
    """The value of a button that is about more than its session."""
    return ":".join(filter(None, (session_id, digest, key)))


def parse_value(value: Any) -> Value | None:
    """What a button's value says; None if it is none of ours."""
    found = _VALUE.fullmatch(value) if isinstance(value, str) else None
    return Value(*(part or "" for part in found.groups())) if found else None


def attempt_of(block_id: Any) -> int | None:
    """The attempt that a row of buttons is about; None if it is no such row."""
    found = re.fullmatch(rf"{ATTEMPT}(\d{{1,6}})", block_id) if isinstance(block_id, str) else None
    return int(found[1]) if found else None


def session_of(team: str, channel: str, thread_ts: str) -> str:
    """The id of the session that lives in this thread."""
    return f"{team}:{channel}:{thread_ts}"


def errand_session(team: str, channel: str, key: str) -> str:
    """The id that stands in for a session where an errand has none: it is delivered in a lane of its own."""
    number = int(hashlib.sha256(key.encode()).hexdigest()[:12], 16)
    return session_of(team, channel, f"0.{number % 10**10}")


def thread_of(session_id: str) -> tuple[str, str]:
    """The channel and thread that a session lives in."""
    _, channel, thread_ts = session_id.split(":")
    return channel, thread_ts


def team_of(body: Body) -> str:
    """The workspace a payload is from; on Enterprise Grid it may name only the organisation."""
    for found in (body.get("team"), body.get("team_id"), body.get("enterprise"), body.get("enterprise_id")):
        name = found.get("id") if isinstance(found, Mapping) else found
        if isinstance(name, str) and name:
            return name
    return ""


def read(body: Body, bot_user: str, team: str) -> Inbound | None:
    """What the payload comes to; None if it changes no session (or is not for us). Payloads are well formed: see `guard`.

    `team` is the workspace that the app was authorised for: in a channel shared with others, a payload may name theirs.
    """
    kind = body.get("type")
    if kind == "event_callback":
        return _event(team, body["event"], bot_user)
    if kind == "block_actions":
        return _click(body)
    if kind == "message_action" and body.get("callback_id") == "draft_ticket":
        return _shortcut(body, team)
    if body.get("command") and command_word(body) == "new":
        return _command(body, team)
    return None


def _event(team: str, event: Body, bot_user: str) -> Inbound | None:
    match event.get("type"):
        case "message" | "app_mention" if event.get("subtype") in SPOKEN:
            return read_message(team, event, bot_user)
        case "message" if event.get("subtype") in ("message_changed", "message_deleted"):
            return _amendment(team, event, bot_user)
        case "reaction_added":
            item = event["item"]
            on_message = item.get("type") == "message" and item.get("channel") and item.get("ts")
            if event.get("reaction") == TICKET and on_message and event["user"] != bot_user:
                key = f"{team}:{item['channel']}:{item['ts']}:reaction:{event['user']}:{event.get('event_ts', '')}"
                body = {"kind": "errand", "kind_of": "reaction", "ts": item["ts"], "user": event["user"]}
                return Inbound(Errand(key, session_of(team, item["channel"], item["ts"]), body))
    return None


def read_message(team: str, event: Body, bot_user: str) -> Inbound | None:
    """What somebody's message comes to; None if it is none of a person's, or not for us."""
    user, channel, ts, text = event.get("user"), event["channel"], event["ts"], said(event)
    if not user or user in (bot_user, "USLACKBOT") or event.get("bot_id") or event.get("edited"):
        return None  # a mention that is added by editing comes as an event of its own
    direct = event.get("channel_type") == "im" or channel.startswith("D")
    mentioned = names(event.get("text") or "", bot_user)  # not in what it passes on
    if not (direct or mentioned or event.get("thread_ts")):
        return None
    key = f"{team}:{channel}:{ts}"
    session_id = session_of(team, channel, event.get("thread_ts") or ts)
    surface = {
        "kind": "mention" if mentioned else "message",
        "ts": ts,
        "user_team": event.get("user_team") or event.get("team") or team,
    }
    if files := [file for file in event.get("files") or [] if isinstance(file, Mapping) and file.get("id")]:
        wanted = ("id", "name", "permalink", "url_private", "size", "mimetype", "mode", "user")
        surface["files"] = [{name: file[name] for name in wanted if name in file} for file in files]
    if passed_on := shared(event):
        surface["attachments"] = passed_on
    reply = Reply(text=text, by=user, addressed=direct or mentioned)
    event_taken = Event(event_id=key, session_id=session_id, origin=channel, surface=surface, answer=reply)
    return Inbound(event_taken, begins=direct or mentioned)


def is_top_of_direct(body: Body) -> bool:
    """Whether it is a message at the top of a direct conversation, where people do not think of threads."""
    event = body.get("event") or {}
    return event.get("channel_type") == "im" and not event.get("thread_ts")


def _amendment(team: str, event: Body, bot_user: str) -> Inbound | None:
    # Slack leaves a tombstone where a message with replies is deleted
    deleted = event["subtype"] == "message_deleted" or (event.get("message") or {}).get("subtype") == "tombstone"
    before = event.get("previous_message") or {}
    now = before if deleted else event.get("message") or {}
    if now.get("user") == bot_user or now.get("bot_id") or not now.get("ts", event.get("deleted_ts")):
        return None
    if not deleted and now.get("text") == before.get("text"):
        return None  # Slack unfurled a link, or somebody replied: the words are the same
    ts = event.get("deleted_ts") or now["ts"]
    about, session_id = f"{team}:{event['channel']}:{ts}", session_of(team, event["channel"], now.get("thread_ts") or ts)
    how: Literal["edited", "deleted"] = "deleted" if deleted else "edited"
    stamp = event.get("ts") or (now.get("edited") or {}).get("ts", "")
    amended = Reply(by=now.get("user") or "", amends=how, about=about, addressed=False)
    surface = {"kind": "amendment", "ts": ts}
    taken = Event(
        event_id=f"{about}:{how}:{stamp}", session_id=session_id, origin=event["channel"], surface=surface, answer=amended
    )
    return Inbound(taken, begins=False)


def _click(body: Body) -> Inbound | None:
    action, user = body["actions"][0], body["user"]
    value, act = parse_value(action.get("value")), action.get("action_id")
    if value is None or (meant := _meant(action, value, user["id"])) is None:
        return None
    answer, about = meant
    container = body.get("container") or {}
    channel = (body.get("channel") or {}).get("id") or container.get("channel_id") or ""
    message = container.get("message_ts") or (body.get("message") or {}).get("ts") or ""
    at = action.get("action_ts") or body.get("trigger_id") or ""
    event = Event(
        event_id=f"{team_of(body) or value.parts[0]}:{channel}:{message}:{user['id']}:{act}:{at}",
        session_id=value.session_id,
        origin=channel or value.parts[1],
        surface={
            "kind": "click",
            "channel": channel,
            "ts": message,
            "user_team": user.get("team_id") or "",
            **about,
        },
        answer=answer,
    )
    return Inbound(event, button=True, begins=False)


def _meant(action: Body, value: Value, by: str) -> tuple[Reply | Decision | Settlement, dict[str, Any]] | None:
    """What a button says, and what its turn has to look up of it: a label is cut, and a value is no place for long texts."""
    act, block_id = action.get("action_id") or "", action.get("block_id") or ""
    numbered = NUMBERED.fullmatch(act)
    if act == "new_ticket":
        return Reply(by=by, anew=True), {}
    if numbered and act.startswith(ANSWER) and block_id:
        return Reply(by=by, question=block_id), {"option": int(numbered[1])}
    if not value.digest:
        return None
    if act in MARKS:
        return Reply(by=by), {"mark": value.digest, "act": MARKS[act]}
    card = block_id.partition(":")[0] or None
    if act in DECISIONS:
        return Decision(type=DECISIONS[act], draft_hash=value.digest, preview_id=card, by=by), {}
    if numbered and act.startswith(SAME) and value.key:
        return Decision(type="reject", draft_hash=value.digest, preview_id=card, same_as=value.key, by=by), {}
    if act in SETTLEMENTS:
        return Settlement(act=SETTLEMENTS[act], draft_hash=value.digest, attempt=attempt_of(block_id), by=by), {}
    return None


def _shortcut(body: Body, team: str) -> Inbound:
    message, channel, user = body["message"], body["channel"]["id"], body["user"]
    key = f"{team}:{channel}:{message['ts']}:shortcut:{user['id']}:{body.get('action_ts') or body.get('trigger_id')}"
    surface = {"kind": "shortcut", "ts": message["ts"], "user_team": user.get("team_id") or team}
    session_id = session_of(team, channel, message.get("thread_ts") or message["ts"])
    asked = Reply(by=user["id"])
    return Inbound(Event(event_id=key, session_id=session_id, origin=channel, surface=surface, answer=asked), button=True)


def command_word(body: Body) -> str:
    """The first word behind a slash command, in small letters."""
    return "".join(str(body.get("text") or "").split(maxsplit=1)[:1]).lower()


def _command(body: Body, team: str) -> Inbound:
    channel, user = body["channel_id"], body["user_id"]
    key = f"{team}:command:{body['trigger_id']}"
    text = str(body["text"]).split(maxsplit=1)[1:]
    errand = {"kind": "errand", "kind_of": "new", "user": user, "text": "".join(text)}
    return Inbound(Errand(key, errand_session(team, channel, key), errand), button=True)
