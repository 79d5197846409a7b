"""What a Slack holds: workspaces, people, channels, messages, views, and what of it can be seen."""

import json
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from tests.slack_sim.blocks import ApiError, Json, complete, state


@dataclass(frozen=True)
class Answer:
    """What the app answered to a delivery; status 0 means that nothing came within the time."""

    status: int
    body: str = ""
    seconds: float = 0.0
    attempts: int = 1
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether Slack is content; otherwise a person sees a warning, and an event comes again."""
        return 200 <= self.status < 300 and not self.error

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Workspace:
    """A workspace where the app is installed."""

    team_id: str
    bot_token: str
    bot_user: str
    bot_id: str
    domain: str
    enterprise_id: str | None = None

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"https://{self.domain}.slack.com/"

    @property
    def team(self) -> Json:
        """The `team` of interactive payloads."""
        grid = {"enterprise_id": self.enterprise_id, "enterprise_name": "Acme Group"} if self.enterprise_id else {}
        return {"id": self.team_id, "domain": self.domain, **grid}

    @property
    def enterprise(self) -> Json | None:
        """The `enterprise` of interactive payloads."""
        return {"id": self.enterprise_id, "name": "Acme Group"} if self.enterprise_id else None


@dataclass(frozen=True, kw_only=True)
class User:
    """A person, or a bot."""

    id: str
    name: str
    team_id: str
    real_name: str
    display_name: str
    guest: bool = False
    stranger: bool = False
    bot: bool = False
    deleted: bool = False
    admin: bool = False
    enterprise_id: str | None = None

    def as_json(self) -> Json:
        """As users.info shows it."""
        about: Json = {"id": self.id, "team_id": self.team_id, "name": self.name, "deleted": self.deleted}
        about["profile"] = {
            "real_name": self.real_name,
            "real_name_normalized": self.real_name,
            "display_name": self.display_name,
            "display_name_normalized": self.display_name,
            "team": self.team_id,
        }
        about |= {"is_bot": self.bot, "is_app_user": False, "updated": 1700000000}
        if self.stranger:
            about["is_stranger"] = True
        if self.enterprise_id:
            about["enterprise_user"] = {"id": self.id, "enterprise_id": self.enterprise_id, "teams": [self.team_id]}
        if not self.deleted:
            about |= {"real_name": self.real_name, "tz": "Europe/Berlin", "tz_label": "CET", "tz_offset": 3600}
            about |= {"is_restricted": self.guest, "is_ultra_restricted": False, "is_admin": self.admin, "is_owner": False}
            about |= {"is_primary_owner": False}
        return about


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as it was when it was handed out: it never changes."""

    channel: str
    ts: str
    text: str = ""
    user: str | None = None
    bot_id: str | None = None
    app_id: str | None = None
    team: str | None = None
    thread_ts: str | None = None
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    edited: Json | None = None
    subtype: str | None = None
    username: str | None = None
    files: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    broadcast: bool = False
    seen_by: str | None = None  # the only person who sees it: an ephemeral
    answer: Answer | None = field(default=None, compare=False)  # the app's, to the event that told of it

    @property
    def root(self) -> str:
        """The thread that it is in, or begins."""
        return self.thread_ts or self.ts

    def as_json(self) -> Json:
        """As events and the Web API show it, without metadata and without what is known about its thread."""
        about: Json = {"type": "message", "ts": self.ts, "text": self.text}
        names = ("subtype", "user", "bot_id", "app_id", "team", "username", "thread_ts", "blocks", "files", "edited")
        about |= {name: value for name in (*names, "attachments") if (value := getattr(self, name))}
        if self.app_id:
            about["bot_profile"] = {"id": self.bot_id, "app_id": self.app_id, "name": "signoff", "team_id": self.team}
        if self.files:
            about["upload"] = False
        if self.reactions:
            about["reactions"] = [{"name": name, "users": users, "count": len(users)} for name, users in self.reactions.items()]
        return about


@dataclass
class Channel:
    """A place to talk, with its messages in the order of their `ts`."""

    id: str
    name: str
    team_id: str
    members: list[str]
    private: bool = False
    im: bool = False
    mpim: bool = False
    archived: bool = False
    connect: bool = False
    messages: dict[str, Message] = field(default_factory=dict)
    replies: dict[str, list[str]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The `channel_type` of events, and the first word of the scopes that it needs."""
        return "im" if self.im else "mpim" if self.mpim else "group" if self.private else "channel"

    @property
    def hidden(self) -> bool:
        """Whether those who are not in it cannot tell that it exists."""
        return self.private or self.im or self.mpim

    @property
    def short(self) -> Json:
        """The `channel` of interactive payloads, which do not tell private names."""
        return {"id": self.id, "name": "directmessage" if self.im else "privategroup" if self.private else self.name}

    def as_json(self, bot_user: str) -> Json:
        """As conversations.info shows it."""
        about: Json = {"id": self.id, "created": 1700000000, "is_archived": self.archived, "is_im": self.im}
        about |= {"is_org_shared": False, "context_team_id": self.team_id}
        if self.im:
            return about | {"user": next((member for member in self.members if member != bot_user), bot_user)}
        about |= {"name": self.name, "name_normalized": self.name, "is_channel": self.kind == "channel"}
        about |= {"is_group": self.kind == "group", "is_mpim": self.mpim, "is_private": self.hidden, "is_general": False}
        about |= {"is_shared": self.connect, "is_ext_shared": self.connect, "is_member": bot_user in self.members}
        about |= {"creator": self.members[0] if self.members else "", "topic": {"value": ""}, "purpose": {"value": ""}}
        return about


@dataclass(frozen=True, kw_only=True)
class View:
    """A modal or a home tab as it was when it was handed out."""

    id: str
    hash: str
    user: str
    body: Json
    workspace: Workspace
    app_id: str
    root_view_id: str
    previous_view_id: str | None = None
    inputs: dict[tuple[str, str], Json] = field(default_factory=dict)

    @property
    def blocks(self) -> list[Json]:
        """What is in it."""
        return list(self.body["blocks"])

    @property
    def callback_id(self) -> str:
        """What the app calls it."""
        return self.body.get("callback_id") or ""

    @property
    def private_metadata(self) -> str:
        """What the app keeps in it."""
        return self.body.get("private_metadata") or ""

    @property
    def title(self) -> str:
        """What is written on top of it."""
        return str((self.body.get("title") or {}).get("text", ""))

    def as_json(self) -> Json:
        """As payloads and the Web API show it."""
        body = {"callback_id": "", "private_metadata": "", "external_id": "", "submit": None, "close": None, "title": None}
        body |= {"clear_on_close": False, "notify_on_close": False} | self.body
        about: Json = {"id": self.id, "team_id": self.workspace.team_id, "hash": self.hash, "root_view_id": self.root_view_id}
        about |= {"previous_view_id": self.previous_view_id, "app_id": self.app_id, "bot_id": self.workspace.bot_id}
        about |= {"app_installed_team_id": self.workspace.team_id, "state": state(self.blocks, self.inputs)}
        return body | about


@dataclass
class Trigger:
    """What lets the app open a modal for a person: once, and soon."""

    user: str
    workspace: Workspace
    born: float
    used: bool = False


@dataclass
class Hook:
    """A `response_url`."""

    url: str
    user: str
    workspace: Workspace
    channel: str
    message: Message | None
    born: float
    uses: int = 0


class World:
    """Everything that exists, and what a test reads of it. Whatever it hands out is a snapshot."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.app_id = "A0SIGNOFF"
        self.app_token = "xapp-1-A0SIGNOFF-1-secret"
        self.trigger_seconds = 3.0
        self.base_url = ""
        self.workspaces: list[Workspace] = []
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.usergroups: dict[str, tuple[str, list[str]]] = {}
        self.files: dict[str, tuple[Json, bytes]] = {}
        self.statuses: list[Json] = []
        self.triggers: dict[str, Trigger] = {}
        self.hooks: dict[str, Hook] = {}
        self.oauth_codes: dict[str, Workspace] = {}
        self._ephemerals: list[Message] = []
        self._views: dict[str, list[View]] = {}
        self._homes: dict[str, View] = {}
        self._last_ts = 0
        self._numbers = count(1)
        self.team_id, self.bot_token, self.bot_user, self.bot_id = "T1", "xoxb-1-secret", "UBOT", "BBOT"
        first = self.add_workspace(self.team_id, bot_token=self.bot_token, bot_user="UBOT", bot_id="BBOT", domain="acme")
        self.url = first.url

    # What there is

    def add_workspace(self, team_id: str, **about: Any) -> Workspace:
        """A workspace with the app installed, with what `Workspace` knows of it; adding one again changes it."""
        known = {each.team_id: each for each in self.workspaces}
        fresh = Workspace(team_id, f"xoxb-{team_id}", f"UBOT{team_id}", f"BBOT{team_id}", domain=team_id.lower())
        workspace = replace(known.get(team_id, fresh), **about)
        self.workspaces = list((known | {team_id: workspace}).values())
        self.add_user(workspace.bot_user, "signoff", bot=True, team_id=team_id, enterprise_id=workspace.enterprise_id)
        return workspace

    def add_user(self, user_id: str, name: str, **about: Any) -> User:
        """A person, with what `User` knows of them; adding one again replaces it, for instance by somebody deleted."""
        given = {"team_id": self.team_id, "real_name": name.title(), "display_name": name} | about
        self.users[user_id] = User(id=user_id, name=name, **given)
        return self.users[user_id]

    def add_channel(
        self, channel_id: str, name: str, members: Iterable[str] = (), *, bot_is_member: bool = True, **about: Any
    ) -> Channel:
        """A channel, with what `Channel` knows of it: of the first workspace and with its bot in it, unless told otherwise."""
        team_id = about.setdefault("team_id", self.team_id)
        bots = [each.bot_user for each in self.workspaces if each.team_id == team_id and bot_is_member]
        channel = Channel(id=channel_id, name=name, members=[*dict.fromkeys([*members, *bots])], **about)
        self.channels[channel_id] = channel
        return channel

    def add_usergroup(self, group_id: str, handle: str, users: Iterable[str]) -> None:
        """A user group; adding one again replaces its members."""
        self.usergroups[group_id] = (handle, list(users))

    def add_file(self, file_id: str, name: str, content: bytes, mimetype: str, **more: Any) -> Json:
        """An uploaded file; `url_private` serves it to whoever has a bot's token. `more`: what else Slack says of it."""
        url = f"{self.base_url}/files-pri/{file_id}/{name}"
        about: Json = {"id": file_id, "name": name, "title": name, "mimetype": mimetype, "size": len(content)}
        about |= {"filetype": name.rpartition(".")[2], "created": 1700000000, "is_external": False, "mode": "hosted"}
        about |= {"url_private": url, "url_private_download": url, "file_access": "visible"} | more
        self.files[file_id] = (about, content)
        return about

    def oauth_code(self, team_id: str) -> str:
        """What a person's browser brings back to the app after installing it."""
        code = f"code-{next(self._numbers)}"
        self.oauth_codes[code] = next(each for each in self.workspaces if each.team_id == team_id)
        return code

    def im_with(self, user: str, workspace: Workspace) -> Channel:
        """The person's direct messages with the app."""
        for channel in self.channels.values():
            if channel.im and user in channel.members and workspace.bot_user in channel.members:
                return channel
        return self.add_channel(f"D{user}{workspace.team_id}", "", [user], im=True, team_id=workspace.team_id)

    # What a test reads

    def message(self, channel: str, ts: str) -> Message:
        """A message as it is now."""
        return self.channels[channel].messages[ts]

    def latest(self, message: Message) -> Message | None:
        """The message as it is now; None once it is deleted."""
        if message.seen_by:
            return next((each for each in self._ephemerals if each.ts == message.ts), None)
        return self.channels[message.channel].messages.get(message.ts)

    def thread(self, channel: str, ts: str) -> list[Message]:
        """A message and its replies, oldest first."""
        place = self.channels[channel]
        return [place.messages[each] for each in [ts, *place.replies.get(ts, [])]]

    def channel_messages(self, channel: str) -> list[Message]:
        """All messages of a channel, replies too, oldest first."""
        return list(self.channels[channel].messages.values())

    def ephemerals(self, user: str) -> list[Message]:
        """What only this person sees, oldest first."""
        return [each for each in self._ephemerals if each.seen_by == user]

    def views(self, user: str) -> list[View]:
        """The person's open modals, the visible one last."""
        return list(self._views.get(user, []))

    def home(self, user: str) -> View | None:
        """The person's home tab."""
        return self._homes.get(user)

    # What happens

    def new_ts(self) -> str:
        """A later `ts` than any before; close to the clock."""
        self._last_ts = max(self._last_ts + 100, int(time.time() * 1e6))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def post(self, channel: str, *, blocks: list[Json] | None = None, **fields: Any) -> Message:
        """A new message in the channel, or for one person only."""
        message = Message(channel=channel, ts=self.new_ts(), blocks=complete(blocks or [], self.random), **fields)
        if message.seen_by:
            self._ephemerals.append(message)
            return message
        place = self.channels[channel]
        place.messages[message.ts] = message
        if message.thread_ts:
            place.replies.setdefault(message.thread_ts, []).append(message.ts)
        return message

    def change(self, message: Message, **fields: Any) -> Message:
        """The message, changed."""
        changed = replace(message, **fields)
        complete(changed.blocks, self.random)
        if message.seen_by:
            self._ephemerals = [changed if each.ts == message.ts else each for each in self._ephemerals]
        else:
            self.channels[message.channel].messages[message.ts] = changed
        return changed

    def remove(self, message: Message) -> Message | None:
        """Delete a message; one with replies leaves a tombstone, which is returned."""
        place = self.channels[message.channel]
        if message.seen_by:
            self._ephemerals = [each for each in self._ephemerals if each.ts != message.ts]
        elif place.replies.get(message.ts):
            gone = Message(channel=message.channel, ts=message.ts, user="USLACKBOT", subtype="tombstone")
            return self.change(gone, text="This message was deleted.")
        else:
            del place.messages[message.ts]
            if message.thread_ts:
                place.replies[message.thread_ts].remove(message.ts)
        return None

    def shown(self, message: Message, *, metadata: bool = False) -> Json:
        """A message as the Web API shows it: with what its thread adds."""
        place, about = self.channels[message.channel], message.as_json()
        replies = [place.messages[each] for each in place.replies.get(message.ts, [])]
        if replies:
            users = [*dict.fromkeys(each.user for each in replies if each.user)]
            about |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts}
            about |= {"reply_users": users, "reply_users_count": len(users), "is_locked": False, "subscribed": False}
        if message.thread_ts and message.thread_ts in place.messages:
            about["parent_user_id"] = place.messages[message.thread_ts].user
        if metadata and message.metadata:
            about["metadata"] = message.metadata
        return about

    def new_trigger(self, user: str, workspace: Workspace) -> str:
        """A fresh `trigger_id`."""
        trigger = f"{next(self._numbers)}.{self.random.getrandbits(32)}.{self.random.getrandbits(64):016x}"
        self.triggers[trigger] = Trigger(user, workspace, time.monotonic())
        return trigger

    def use_trigger(self, trigger_id: str) -> Trigger:
        """The trigger, used up."""
        trigger = self.triggers.get(trigger_id)
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if time.monotonic() - trigger.born > self.trigger_seconds:
            raise ApiError("expired_trigger_id")
        trigger.used = True
        return trigger

    def new_hook(self, user: str, workspace: Workspace, channel: str, message: Message | None) -> str:
        """A fresh `response_url`."""
        name = f"{workspace.team_id}/{next(self._numbers)}/{self.random.getrandbits(64):016x}"
        url = f"{self.base_url}/actions/{name}"
        self.hooks[name] = Hook(url, user, workspace, channel, message, time.monotonic())
        return url

    def open_view(self, user: str, workspace: Workspace, body: Json, *, onto: list[View]) -> View:
        """A modal on top of those."""
        if len(onto) >= 3:
            raise ApiError("push_limit_reached")
        view = self._new_view(user, workspace, body, onto)
        self._views[user] = [*onto, view]
        return view

    def publish_view(self, user: str, workspace: Workspace, body: Json) -> View:
        """The person's home tab, new or again."""
        known = self._homes.get(user)
        self._homes[user] = self._changed(known, body) if known else self._new_view(user, workspace, body, [])
        return self._homes[user]

    def update_view(self, view: View, body: Json) -> View:
        """The view with another content; what the person entered stays where the ids do."""
        return self.replace_view(self._changed(view, body))

    def replace_view(self, view: View) -> View:
        """The view in its place, changed."""
        if view.body["type"] == "home":
            self._homes[view.user] = view
        self._views[view.user] = [view if each.id == view.id else each for each in self._views.get(view.user, [])]
        return view

    def close_views(self, user: str, view: View | None = None) -> None:
        """Close a view and those above it, or all."""
        stack = self._views.get(user, [])
        ids = [each.id for each in stack]
        self._views[user] = stack[: ids.index(view.id)] if view and view.id in ids else []

    def all_views(self) -> list[View]:
        """Everything that views.update can find."""
        return [view for stack in self._views.values() for view in stack] + list(self._homes.values())

    def _new_view(self, user: str, workspace: Workspace, body: Json, below: list[View]) -> View:
        complete(body["blocks"], self.random)
        view_id = f"V{next(self._numbers):08d}"
        root, previous = (below[0].id, below[-1].id) if below else (view_id, None)
        view = View(
            id=view_id, hash=self._hash(), user=user, body=body, workspace=workspace, app_id=self.app_id, root_view_id=root
        )
        return replace(view, previous_view_id=previous)

    def _changed(self, view: View, body: Json) -> View:
        complete(body["blocks"], self.random)
        return replace(view, body=body, hash=self._hash())

    def _hash(self) -> str:
        return f"{int(time.time())}.{self.random.getrandbits(32):08x}"
