"""The methods of the Web API: what each does to the world, and what it refuses."""

import base64
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tests.slack_sim.blocks import ApiError, Json, check_message_blocks, check_view
from tests.slack_sim.world import Channel, Hook, Message, View, Workspace

if TYPE_CHECKING:
    from tests.slack_sim.people import People

Item = TypeVar("Item")


class Arguments(dict[str, Any]):
    """The arguments of a call, whichever way they came: in forms and queries everything is text."""

    def need(self, name: str) -> Any:
        """An argument that must be there."""
        if self.get(name) in (None, ""):
            raise ApiError("invalid_arguments", f"missing required field: {name}")
        return self[name]

    def flag(self, name: str) -> bool:
        """A switch."""
        return self.get(name) in (True, "true", "True", "1", 1)

    def number(self, name: str, default: int) -> int:
        """A number."""
        try:
            return int(self.get(name) or default)
        except ValueError:
            raise ApiError("invalid_arguments", f"must be a number: {name}") from None

    def json(self, name: str, error: str = "invalid_arguments") -> Any:
        """A structure, which forms carry as text."""
        given = self.get(name)
        try:
            return json.loads(given) if isinstance(given, str) and given else given or None
        except ValueError:
            raise ApiError(error) from None


@dataclass(frozen=True)
class Call:
    """A call, as a test reads it."""

    method: str
    arguments: Arguments
    token: str
    at: float


@dataclass(frozen=True)
class Method:
    """A method of the Web API; `{}` in its scope is the kind of the channel."""

    act: Callable[["People", Workspace, Arguments], Json]
    token: str
    scope: str


METHODS: dict[str, Method] = {}

DEFAULT_SCOPES = (
    *("app_mentions:read", "assistant:write", "chat:write", "commands", "files:read", "reactions:read", "reactions:write"),
    *("team:read", "usergroups:read", "users:read", "channels:history", "channels:join", "channels:read", "groups:history"),
    *("groups:read", "im:history", "im:read", "im:write", "mpim:history", "mpim:read", "mpim:write"),
)


def method(name: str, *, scope: str = "", token: str = "bot") -> Callable[[Callable[..., Json]], Callable[..., Json]]:
    """Make a function a method of the Web API, for a bot's token, an app's, or none."""

    def register(act: Callable[..., Json]) -> Callable[..., Json]:
        METHODS[name] = Method(act, token, scope)
        return act

    return register


def perform(slack: "People", name: str, arguments: Arguments, token: str) -> Json:
    """What Slack answers to that call."""
    try:
        called = METHODS.get(name)
        if called is None:
            raise ApiError("unknown_method", req_method=name)
        workspace = _authorised(slack, called, token)
        _check_scope(slack, called, arguments)
        return {"ok": True, **called.act(slack, workspace, arguments)}
    except ApiError as refused:
        return refused.answer


def _authorised(slack: "People", called: Method, token: str) -> Workspace:
    workspaces = {each.bot_token: each for each in slack.workspaces}
    if called.token == "none":
        return slack.workspaces[0]
    if not token:
        raise ApiError("not_authed")
    if token != slack.app_token and token not in workspaces:
        raise ApiError("invalid_auth")
    if (token == slack.app_token) != (called.token == "app"):
        raise ApiError("not_allowed_token_type")
    return workspaces.get(token, slack.workspaces[0])


def _check_scope(slack: "People", called: Method, arguments: Arguments) -> None:
    channel = slack.channels.get(str(arguments.get("channel") or arguments.get("channel_id")))
    kind = {"channel": "channels", "group": "groups"}.get(channel.kind, channel.kind) if channel else "channels"
    needed = called.scope.replace("{}", kind)
    if needed and needed not in slack.scopes:
        raise ApiError("missing_scope", needed=needed, provided=",".join(slack.scopes))


# Tokens and teams


@method("api.test", token="none")
def api_test(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    if arguments.get("error"):
        raise ApiError(arguments["error"], args=dict(arguments))
    return {"args": dict(arguments)}


@method("auth.test")
def auth_test(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    about: Json = {"url": workspace.url, "team": workspace.domain.title(), "user": "signoff", "team_id": workspace.team_id}
    about |= {"user_id": workspace.bot_user, "bot_id": workspace.bot_id, "is_enterprise_install": False}
    return about | ({"enterprise_id": workspace.enterprise_id} if workspace.enterprise_id else {})


@method("apps.connections.open", token="app")
def open_connection(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    return {"url": slack.new_ticket()}


@method("oauth.v2.access", token="none")
def oauth_access(slack: "People", _: Workspace, arguments: Arguments) -> Json:
    if arguments.get("client_id") != slack.client_id:
        raise ApiError("invalid_client_id")
    if arguments.get("client_secret") != slack.client_secret:
        raise ApiError("bad_client_secret")
    workspace = slack.oauth_codes.pop(arguments.get("code", ""), None)
    if workspace is None:
        raise ApiError("invalid_code")
    about: Json = {"app_id": slack.app_id, "authed_user": {"id": "UINSTALLER"}, "scope": ",".join(slack.scopes)}
    about |= {"token_type": "bot", "access_token": workspace.bot_token, "bot_user_id": workspace.bot_user}
    about |= {"team": {"id": workspace.team_id, "name": workspace.domain.title()}, "enterprise": workspace.enterprise}
    return about | {"is_enterprise_install": False}


@method("team.info", scope="team:read")
def team_info(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    about = {"id": workspace.team_id, "name": workspace.domain.title(), "domain": workspace.domain, "url": workspace.url}
    return {"team": about | (workspace.team if workspace.enterprise_id else {})}


@method("bots.info", scope="users:read")
def bots_info(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    for each in slack.workspaces:
        if each.bot_id == arguments.get("bot", workspace.bot_id):
            about = {"id": each.bot_id, "app_id": slack.app_id, "user_id": each.bot_user, "name": "signoff"}
            return {"bot": about | {"deleted": False}}
    raise ApiError("bot_not_found")


# Messages


@method("chat.postMessage", scope="chat:write")
def post_message(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _channel_to_post(slack, workspace, arguments)
    content = _content(arguments)
    thread_ts = _thread(channel, arguments)
    message = slack.post(
        channel.id,
        **content | {"text": content["text"][:40_000], "metadata": _metadata(arguments)},
        **_author(slack, workspace),
        thread_ts=thread_ts,
        broadcast=arguments.flag("reply_broadcast"),
    )
    slack.echo(message, slack.posted_event(message))
    return {"channel": channel.id, "ts": message.ts, "message": slack.shown(message, metadata=True)}


@method("chat.update", scope="chat:write")
def update_message(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel, message = _own_message(slack, workspace, arguments, "cant_update_message")
    if channel.archived:
        raise ApiError("is_archived")
    content = _content(arguments)
    if len(content["text"]) > 4000:
        raise ApiError("msg_too_long")
    rich = [any(block["type"] == "rich_text" for block in each) for each in (message.blocks, content["blocks"])]
    if rich == [True, False]:
        raise ApiError("block_mismatch")
    metadata = _metadata(arguments) or message.metadata
    edited = {"user": workspace.bot_user, "ts": slack.new_ts()}
    changed = slack.change(message, **content, metadata=metadata, edited=edited)
    slack.echo(message, slack.changed_event(changed, message))
    return {"channel": channel.id, "ts": message.ts, "text": changed.text, "message": slack.shown(changed, metadata=True)}


@method("chat.delete", scope="chat:write")
def delete_message(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel, message = _own_message(slack, workspace, arguments, "cant_delete_message")
    slack.echo(message, slack.removed_event(message, slack.remove(message)))
    return {"channel": channel.id, "ts": message.ts}


@method("chat.postEphemeral", scope="chat:write")
def post_ephemeral(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _channel_to_post(slack, workspace, arguments)
    if arguments.need("user") not in channel.members:
        raise ApiError("user_not_in_channel")
    thread_ts, content = arguments.get("thread_ts") or None, _content(arguments)
    if thread_ts and not channel.replies.get(thread_ts):
        return {"message_ts": slack.new_ts()}  # there is no such thread yet: it is nowhere to be seen
    message = slack.post(channel.id, **content, **_author(slack, workspace), thread_ts=thread_ts, seen_by=arguments["user"])
    return {"message_ts": message.ts}


@method("chat.getPermalink")
def get_permalink(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _visible(slack, workspace, arguments)
    message = _message(channel, arguments.need("message_ts"))
    thread = f"?thread_ts={message.thread_ts}&cid={channel.id}" if message.thread_ts else ""
    url = f"{workspace.url}archives/{channel.id}/p{message.ts.replace('.', '')}{thread}"
    return {"channel": channel.id, "permalink": url}


@method("blocks.validate")
def validate_blocks(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    if arguments.get("view"):
        check_view(arguments.json("view"))
    else:
        check_message_blocks(arguments.json("blocks") or (arguments.json("message") or {}).get("blocks"))
    return {}


@method("reactions.add", scope="reactions:write")
def add_reaction(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    message = _message(_readable(slack, workspace, arguments), arguments.need("timestamp"))
    users = message.reactions.get(arguments.need("name"), [])
    if workspace.bot_user in users:
        raise ApiError("already_reacted")
    slack.change(message, reactions={**message.reactions, arguments["name"]: [*users, workspace.bot_user]})
    return {}


@method("reactions.get", scope="reactions:read")
def get_reactions(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _readable(slack, workspace, arguments)
    message = _message(channel, arguments.need("timestamp"))
    return {"type": "message", "channel": channel.id, "message": slack.shown(message)}


@method("files.info", scope="files:read")
def file_info(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    if arguments.get("file") not in slack.files:
        raise ApiError("file_not_found")
    return {"file": slack.files[arguments["file"]][0]}


# Conversations


@method("conversations.replies", scope="{}:history")
def replies(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _readable(slack, workspace, arguments)
    if arguments.need("ts") not in channel.messages:
        raise ApiError("thread_not_found")
    first, *rest = slack.thread(channel.id, arguments["ts"])
    page, paging = _page(_between(rest, arguments), arguments, 1000, lambda message: message.ts)
    return {"messages": _shown(slack, [first, *page], arguments), **paging}  # each page begins with the first message


@method("conversations.history", scope="{}:history")
def history(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _readable(slack, workspace, arguments)
    top = [each for each in slack.channel_messages(channel.id) if not each.thread_ts or each.broadcast]
    page, paging = _page(_between(top[::-1], arguments), arguments, 100, lambda message: message.ts)
    return {"messages": _shown(slack, page, arguments), **paging}


@method("conversations.info", scope="{}:read")
def channel_info(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _visible(slack, workspace, arguments)
    members = {"num_members": len(channel.members)} if arguments.flag("include_num_members") else {}
    return {"channel": channel.as_json(workspace.bot_user) | members}


@method("conversations.members", scope="{}:read")
def members(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    page, paging = _page(_visible(slack, workspace, arguments).members, arguments, 100, str)
    return {"members": page, **paging}


@method("conversations.open", scope="im:write")
def open_conversation(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    if arguments.get("channel"):
        channel = _visible(slack, workspace, arguments)
    else:
        people = [_user(slack, workspace, each).id for each in str(arguments.need("users")).split(",")]
        channel = slack.im_with(people[0], workspace)
        if len(people) > 1:
            name = f"G{''.join(sorted(people))}"
            known = slack.channels.get(name)
            channel = known or slack.add_channel(name, "mpdm", people, mpim=True, team_id=workspace.team_id)
    return {"channel": channel.as_json(workspace.bot_user) if arguments.flag("return_im") else {"id": channel.id}}


@method("conversations.join", scope="channels:join")
def join_conversation(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    channel = _visible(slack, workspace, arguments)
    if channel.archived:
        raise ApiError("is_archived")
    if channel.hidden:
        raise ApiError("method_not_supported_for_channel_type")
    if workspace.bot_user in channel.members:
        return {"channel": channel.as_json(workspace.bot_user), "warning": "already_in_channel"}
    channel.members.append(workspace.bot_user)
    return {"channel": channel.as_json(workspace.bot_user)}


# People


@method("users.info", scope="users:read")
def user_info(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    return {"user": _user(slack, workspace, arguments.need("user")).as_json()}


@method("users.list", scope="users:read")
def user_list(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    own = [each for each in slack.users.values() if each.team_id == workspace.team_id]
    page, paging = _page(own, arguments, 1000, lambda user: user.id)
    return {"members": [each.as_json() for each in page], **paging}


@method("usergroups.list", scope="usergroups:read")
def usergroup_list(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    groups = [
        {"id": name, "team_id": workspace.team_id, "is_usergroup": True, "handle": handle, "name": handle, "date_delete": 0}
        | ({"users": users} if arguments.flag("include_users") else {})
        for name, (handle, users) in slack.usergroups.items()
    ]
    return {"usergroups": groups}


@method("usergroups.users.list", scope="usergroups:read")
def usergroup_users(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    if arguments.need("usergroup") not in slack.usergroups:
        raise ApiError("no_such_subteam")
    return {"users": list(slack.usergroups[arguments["usergroup"]][1])}


# Modals and the home tab


@method("views.open")
def open_view(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    body = _view_body(arguments, "modal")
    trigger = slack.use_trigger(arguments.need("trigger_id"))
    return {"view": slack.open_view(trigger.user, workspace, body, onto=[]).as_json()}


@method("views.push")
def push_view(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    body = _view_body(arguments, "modal")
    trigger = slack.use_trigger(arguments.need("trigger_id"))
    below = slack.views(trigger.user)
    if not below:
        raise ApiError("invalid_trigger_id")
    return {"view": slack.open_view(trigger.user, workspace, body, onto=below).as_json()}


@method("views.update")
def update_view(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    view = _find_view(slack, arguments)
    body = _view_body(arguments, view.body["type"])
    if arguments.get("hash") not in (None, "", view.hash):
        raise ApiError("hash_conflict")
    return {"view": slack.update_view(view, body).as_json()}


@method("views.publish")
def publish_view(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    body = _view_body(arguments, "home")
    user = _user(slack, workspace, arguments.need("user_id")).id
    home = slack.home(user)
    if arguments.get("hash") and home and arguments["hash"] != home.hash:
        raise ApiError("hash_conflict")
    return {"view": slack.publish_view(user, workspace, body).as_json()}


# The agent surface


@method("assistant.threads.setStatus", scope="chat:write")
def set_status(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    return _note_status(slack, workspace, arguments, "assistant.threads.setStatus", "thread_ts")


@method("assistant.threads.setTitle", scope="assistant:write")
def set_title(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    return _note_status(slack, workspace, arguments, "assistant.threads.setTitle", "thread_ts", "title")


@method("assistant.threads.setSuggestedPrompts", scope="assistant:write")
def set_prompts(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    prompts = arguments.json("prompts")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= 4:
        raise ApiError("invalid_arguments", "must have 1 to 4 prompts")
    if not all(isinstance(each, dict) and each.get("title") and each.get("message") for each in prompts):
        raise ApiError("invalid_arguments", "a prompt has a title and a message")
    return _note_status(slack, workspace, arguments, "assistant.threads.setSuggestedPrompts")


@method("agents.sessions.setStatus", scope="chat:write")
def set_session_status(slack: "People", workspace: Workspace, arguments: Arguments) -> Json:
    if arguments.need("status") not in ("active", "processing", "suspended", "closed"):
        raise ApiError("invalid_arguments", "must be active, processing, suspended or closed")
    return _note_status(slack, workspace, arguments, "agents.sessions.setStatus") | {"status": arguments["status"]}


def _note_status(slack: "People", workspace: Workspace, arguments: Arguments, name: str, *needed: str) -> Json:
    channel = _channel(slack, workspace, arguments.need("channel_id"))
    if workspace.bot_user not in channel.members:
        raise ApiError("channel_not_found" if channel.hidden else "not_in_channel")
    for each in needed:
        arguments.need(each)
    if arguments.get("thread_ts") and arguments["thread_ts"] not in channel.messages:
        raise ApiError("thread_not_found")
    slack.statuses.append({"method": name, **arguments})
    return {}


# What `response_url` takes


def respond(slack: "People", hook: Hook, arguments: Arguments) -> Message | None:
    """Do what an app asked for at a `response_url`, or in its answer to a slash command."""
    original = slack.latest(hook.message) if hook.message else None
    if arguments.flag("delete_original") and original:
        slack.echo(original, slack.removed_event(original, slack.remove(original)))
        return None
    content = _content(arguments)
    if arguments.flag("replace_original") and original:
        changed = slack.change(original, **content, metadata=_metadata(arguments) or original.metadata)
        slack.echo(original, slack.changed_event(changed, original))
        return changed
    public = arguments.get("response_type") == "in_channel"
    message = slack.post(
        hook.channel,
        **content,
        **_author(slack, hook.workspace),
        thread_ts=arguments.get("thread_ts") or None,
        seen_by=None if public else hook.user,
    )
    slack.echo(message, slack.posted_event(message))
    return message


def use_hook(slack: "People", name: str, arguments: Arguments) -> Json:
    """Answer a call of a `response_url`: it works five times in thirty minutes."""
    try:
        hook = slack.hooks.get(name)
        if hook is None or time.monotonic() - hook.born > 1800:
            raise ApiError("expired_url")
        if hook.uses >= 5:
            raise ApiError("used_url")
        hook.uses += 1
        respond(slack, hook, arguments)
        return {"ok": True}
    except ApiError as refused:
        return refused.answer


# What several methods need


def _author(slack: "People", workspace: Workspace) -> Json:
    about = {"user": workspace.bot_user, "bot_id": workspace.bot_id, "app_id": slack.app_id}
    return about | {"team": workspace.team_id}


def _channel(slack: "People", workspace: Workspace, name: str) -> Channel:
    """A channel that the bot may know of."""
    channel = slack.channels.get(name)
    inside = channel is not None and workspace.bot_user in channel.members
    if channel is None or not (inside or (channel.team_id == workspace.team_id and not channel.hidden)):
        raise ApiError("channel_not_found")
    return channel


def _visible(slack: "People", workspace: Workspace, arguments: Arguments) -> Channel:
    return _channel(slack, workspace, arguments.need("channel"))


def _readable(slack: "People", workspace: Workspace, arguments: Arguments) -> Channel:
    channel = _visible(slack, workspace, arguments)
    if workspace.bot_user not in channel.members:
        raise ApiError("not_in_channel")
    return channel


def _channel_to_post(slack: "People", workspace: Workspace, arguments: Arguments) -> Channel:
    name = str(arguments.need("channel"))
    if name in slack.users:
        name = slack.im_with(_user(slack, workspace, name).id, workspace).id
    channel = _channel(slack, workspace, name)
    if channel.archived:
        raise ApiError("is_archived")
    if workspace.bot_user not in channel.members and "chat:write.public" not in slack.scopes:
        raise ApiError("not_in_channel")
    return channel


def _message(channel: Channel, ts: str) -> Message:
    if ts not in channel.messages:
        raise ApiError("message_not_found")
    return channel.messages[ts]


def _own_message(slack: "People", workspace: Workspace, arguments: Arguments, error: str) -> tuple[Channel, Message]:
    channel = _visible(slack, workspace, arguments)
    message = _message(channel, arguments.need("ts"))
    if message.bot_id != workspace.bot_id:
        raise ApiError(error)
    return channel, message


def _thread(channel: Channel, arguments: Arguments) -> str | None:
    thread_ts = arguments.get("thread_ts") or None
    if thread_ts is None:
        return None
    if thread_ts not in channel.messages:
        raise ApiError("thread_not_found")
    if channel.messages[thread_ts].thread_ts:
        raise ApiError("cannot_reply_to_message")
    return str(thread_ts)


def _content(arguments: Arguments) -> Json:
    text = arguments.get("text") or ""
    blocks = arguments.json("blocks", "invalid_blocks_format") or []
    if not isinstance(text, str):
        raise ApiError("invalid_arguments", "must be a string: text")
    if not text and not blocks and not arguments.get("attachments"):
        raise ApiError("no_text")
    check_message_blocks(blocks)
    return {"text": text, "blocks": blocks}


def _metadata(arguments: Arguments) -> Json | None:
    metadata: Json | None = arguments.json("metadata", "invalid_metadata_format")
    if metadata is not None:
        if not isinstance(metadata, dict) or not isinstance(metadata.get("event_type"), str):
            raise ApiError("invalid_metadata_format")
        if not isinstance(metadata.get("event_payload"), dict):
            raise ApiError("invalid_metadata_format")
    return metadata


def _user(slack: "People", workspace: Workspace, user_id: str) -> Any:
    user = slack.users.get(user_id)
    shared = [channel for channel in slack.channels.values() if {user_id, workspace.bot_user} <= set(channel.members)]
    same_company = user and user.enterprise_id and user.enterprise_id == workspace.enterprise_id
    if user is None or not (user.team_id == workspace.team_id or same_company or shared):
        raise ApiError("user_not_found")
    return user


def _between(messages: Iterable[Message], arguments: Arguments) -> list[Message]:
    oldest, latest = arguments.get("oldest") or "0", arguments.get("latest") or "99999999999"
    exact = {str(oldest), str(latest)} if arguments.flag("inclusive") else set()
    return [each for each in messages if float(oldest) < float(each.ts) < float(latest) or each.ts in exact]


def _page(items: list[Item], arguments: Arguments, default: int, key: Callable[[Item], str]) -> tuple[list[Item], Json]:
    """The page that the cursor names; a cursor is the key of the first item on it."""
    limit, start = min(arguments.number("limit", default), 1000), 0
    if limit < 1:
        raise ApiError("invalid_limit")
    if arguments.get("cursor"):
        try:
            start = [f"next:{key(each)}" for each in items].index(base64.b64decode(arguments["cursor"]).decode())
        except ValueError:
            raise ApiError("invalid_cursor") from None
    more = len(items) > start + limit
    cursor = base64.b64encode(f"next:{key(items[start + limit])}".encode()).decode() if more else ""
    return items[start : start + limit], {"has_more": more, "response_metadata": {"next_cursor": cursor}}


def _shown(slack: "People", messages: list[Message], arguments: Arguments) -> list[Json]:
    return [slack.shown(each, metadata=arguments.flag("include_all_metadata")) for each in messages]


def _view_body(arguments: Arguments, kind: str) -> Json:
    body = arguments.json("view")
    check_view(body)
    if body["type"] != kind:
        raise ApiError("invalid_arguments", f"must be a {kind} [json-pointer:/view/type]")
    return dict(body)


def _find_view(slack: "People", arguments: Arguments) -> View:
    for view in slack.all_views():
        if arguments.get("view_id") == view.id or (
            arguments.get("external_id") and arguments["external_id"] == view.body.get("external_id")
        ):
            return view
    raise ApiError("not_found")
