"""What people do in Slack, and what the app is told about it."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from tests.slack_sim import api
from tests.slack_sim.blocks import (
    STATE_KEYS,
    ApiError,
    Json,
    action,
    check_view,
    elements_of,
    entered,
    find_element,
    refused_by_client,
    state,
)
from tests.slack_sim.delivery import Delivery
from tests.slack_sim.world import Answer, Channel, Message, View, Workspace


class People(Delivery):
    """A world with people who act in it.

    Every act is delivered to the app and returns its answer. What is forged replaces entries of an interaction's payload,
    for what only an odd client or an attacker would send: `click(..., team=None)`.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.client_id, self.client_secret = "1.2", "client-secret"
        self.scopes = list(api.DEFAULT_SCOPES)
        self.mention_order: Literal["both", "mention", "message"] = "both"
        self.echoes = True

    # Messages

    async def say(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        files: Sequence[str] = (),
        *,
        mention: bool = False,
        attachments: Sequence[Json] = (),
    ) -> Message:
        """Post a message, with the bot's name before it if `mention`; the app's answer is in its `answer`.

        A mention makes two events: both at once, or the one that `mention_order` names first.
        """
        place = self.channels[channel]
        if user not in place.members:
            raise AssertionError(f"{user} is not in {channel}")
        workspace = self._workspace(place)
        if mention:
            text = f"<@{workspace.bot_user if workspace else self.bot_user}> {text}"
        message = self.post(
            channel,
            text=text,
            user=user,
            team=self.users[user].team_id,
            thread_ts=self.message(channel, thread_ts).root if thread_ts else None,
            blocks=[_rich_text(text)],
            files=[self.files[each][0] for each in files],
            attachments=list(attachments),
            subtype="file_share" if files else None,
        )
        events = [self.posted_event(message)]
        if workspace and f"<@{workspace.bot_user}>" in text and not place.im:
            events.append({**message.as_json(), "type": "app_mention", "channel": channel, "event_ts": message.ts})
        if self.mention_order == "both":
            answers = await asyncio.gather(*(self._tell(place, event) for event in events))
        else:
            events = events[::-1] if self.mention_order == "mention" else events
            answers = [await self._tell(place, event) for event in events]
        given = [each for each in answers if each]
        return replace(message, answer=next((each for each in given if not each.ok), given[0] if given else None))

    async def edit(self, message: Message, text: str) -> Answer | None:
        """Edit one's own message."""
        now, edited = self.message(message.channel, message.ts), {"user": message.user, "ts": self.new_ts()}
        changed = self.change(now, text=text, blocks=[_rich_text(text)], edited=edited)
        return await self._tell(self.channels[message.channel], self.changed_event(changed, now))

    async def delete(self, message: Message) -> Answer | None:
        """Delete a message; replies stay under a tombstone."""
        now = self.message(message.channel, message.ts)
        return await self._tell(self.channels[message.channel], self.removed_event(now, self.remove(now)))

    async def bot_says(
        self, channel: str, text: str, thread_ts: str | None = None, *, bot_id: str = "BOTHER", username: str = "other"
    ) -> Message:
        """Another app posts."""
        message = self.post(channel, text=text, bot_id=bot_id, username=username, subtype="bot_message", thread_ts=thread_ts)
        return replace(message, answer=await self._tell(self.channels[channel], self.posted_event(message)))

    async def react(self, user: str, message: Message, name: str) -> Answer | None:
        """Add an emoji."""
        now = self.message(message.channel, message.ts)
        self.change(now, reactions={**now.reactions, name: [*now.reactions.get(name, []), user]})
        item = {"type": "message", "channel": message.channel, "ts": message.ts}
        event = {"type": "reaction_added", "user": user, "reaction": name, "item": item, "item_user": message.user}
        return await self._tell(self.channels[message.channel], event | {"event_ts": self.new_ts()})

    async def join(self, user: str, channel: str) -> Answer | None:
        """Come into a channel; with the bot as the user, it is invited."""
        place = self.channels[channel]
        if user not in place.members:
            place.members.append(user)
        kind = "C" if place.kind == "channel" else "G"
        event = {"type": "member_joined_channel", "user": user, "channel": channel, "channel_type": kind}
        return await self._tell(place, event | {"team": self.users[user].team_id, "event_ts": self.new_ts()})

    async def open_home(self, user: str, tab: str = "messages") -> Answer | None:
        """Open the app's messages or its home tab."""
        workspace = self._workspace_of(user)
        event: Json = {"type": "app_home_opened", "user": user, "channel": self.im_with(user, workspace).id, "tab": tab}
        home = self.home(user)
        if tab == "home" and home:
            event["view"] = home.as_json()
        return await self.deliver_event(workspace, event | {"event_ts": self.new_ts()})

    # Interactions

    async def click(
        self,
        user: str,
        message: Message,
        action_id: str,
        *,
        value: Any = None,
        block_id: str | None = None,
        user_team: str | None = None,
        **forged: Any,
    ) -> Answer:
        """Press a button of the message, or choose `value` from one of its menus.

        The message is taken as it was handed out: one from before an update makes a stale click.
        """
        block, element = find_element(message.blocks, action_id, block_id)
        place, workspace = self.channels[message.channel], self._workspace_of_message(message)
        container = {"type": "message", "message_ts": message.ts, "channel_id": place.id}
        container["is_ephemeral"] = message.seen_by is not None
        shown = self.shown(message)
        if "thread_ts" in shown:
            container["thread_ts"] = shown["thread_ts"]
        payload = self._interaction("block_actions", user, workspace, user_team)
        payload |= {"container": container, "channel": place.short}
        if not message.seen_by:
            payload["message"] = shown
        chosen = {_place(block, element): entered(element, value)} if element["type"] in STATE_KEYS else {}
        payload |= {"state": state(message.blocks, chosen), "actions": [action(block, element, value, self.new_ts())]}
        payload["response_url"] = self.new_hook(user, workspace, place.id, message)
        return await self.deliver_interaction(payload | forged)

    async def choose(
        self, user: str, view: View, action_id: str, value: Any = None, *, user_team: str | None = None, **forged: Any
    ) -> Answer:
        """Press a button of a modal or a home tab, or choose or type `value` in one of its elements."""
        block, element = find_element(view.blocks, action_id)
        if element["type"] in STATE_KEYS:
            view = self.replace_view(replace(view, inputs={**view.inputs, _place(block, element): entered(element, value)}))
        payload = self._interaction("block_actions", user, view.workspace, user_team)
        payload |= {"container": {"type": "view", "view_id": view.id}, "view": view.as_json()}
        payload["actions"] = [action(block, element, value, self.new_ts())]
        return await self.deliver_interaction(payload | forged)

    async def submit(
        self, user: str, view: View, values: Json | None = None, *, user_team: str | None = None, **forged: Any
    ) -> Answer:
        """Enter values by block id, submit the modal, and do with it what the app answers.

        A value is the text, the option's value, the id, or a list of them. The rest is submitted as it stands. The answer
        is not ok if Slack could not do what the app answered.
        """
        inputs = dict(view.inputs)
        blocks = {block["block_id"]: block for block in view.blocks}
        for block_id, value in (values or {}).items():
            [element, *_] = [each for each in elements_of(blocks[block_id]) if each["type"] in STATE_KEYS]
            inputs[_place(blocks[block_id], element)] = entered(element, value)
        view = self.replace_view(replace(view, inputs=inputs))
        filled = view.as_json()["state"]["values"]
        for block in view.blocks:
            if block["type"] == "input" and (
                why := refused_by_client(block, filled[block["block_id"]][block["element"]["action_id"]])
            ):
                raise AssertionError(f"Slack does not submit this, {block['block_id']}: {why}")
        payload = self._interaction("view_submission", user, view.workspace, user_team)
        payload |= {"view": view.as_json(), "response_urls": []}
        answer = await self.deliver_interaction(payload | forged)
        if answer.ok:
            try:
                self._obey(user, view, json.loads(answer.body) if answer.body else {})
            except (ApiError, ValueError) as trouble:
                return replace(answer, error=str(trouble))
        return answer

    def _obey(self, user: str, view: View, order: Json) -> None:
        """Do with a submitted modal what the app said."""
        what = order.get("response_action")
        if what == "errors":
            inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
            if not order.get("errors") or not set(order["errors"]) <= inputs:
                raise ApiError("errors for blocks that take no input")
        elif what in ("update", "push"):
            check_view(order.get("view"))
            if what == "update":
                self.update_view(next((each for each in self.views(user) if each.id == view.id), view), order["view"])
            else:
                self.open_view(user, view.workspace, order["view"], onto=self.views(user))
        elif what == "clear":
            self.close_views(user)
        elif what is None:
            self.close_views(user, view)
        else:
            raise ApiError(f"unknown response_action {what}")

    async def close(self, user: str, view: View, *, clear: bool = False) -> Answer | None:
        """Close a modal, or all with `clear`; the app is told if the view asked for it."""
        self.close_views(user, None if clear else view)
        if not view.body.get("notify_on_close"):
            return None
        payload = self._interaction("view_closed", user, view.workspace, None)
        return await self.deliver_interaction(payload | {"view": view.as_json(), "is_cleared": clear})

    async def shortcut(
        self, user: str, message: Message | None, callback_id: str, *, user_team: str | None = None, **forged: Any
    ) -> Answer:
        """Use a message shortcut, or with None a global one."""
        workspace = self._workspace_of_message(message) if message else self._workspace_of(user)
        payload = self._interaction("message_action" if message else "shortcut", user, workspace, user_team)
        payload |= {"callback_id": callback_id, "action_ts": self.new_ts()}
        if message:
            place = self.channels[message.channel]
            payload |= {"channel": place.short, "message_ts": message.ts, "message": self.shown(message)}
            payload["response_url"] = self.new_hook(user, workspace, place.id, message)
        return await self.deliver_interaction(payload | forged)

    async def command(self, user: str, channel: str, command: str, text: str = "") -> Answer:
        """Use a slash command; what the app answers is shown as Slack shows it."""
        place, workspace = self.channels[channel], self._workspace_of(user)
        url = self.new_hook(user, workspace, channel, None)
        fields: Json = {"token": "verification", "team_id": workspace.team_id, "team_domain": workspace.domain}
        fields |= {"channel_id": channel, "channel_name": place.short["name"], "user_id": user}
        fields |= {"user_name": self.users[user].name, "command": command, "text": text, "api_app_id": self.app_id}
        fields |= {"is_enterprise_install": "false", "response_url": url}
        if workspace.enterprise_id:
            fields |= {"enterprise_id": workspace.enterprise_id, "enterprise_name": "Acme Group"}
        answer = await self.deliver_command(fields | {"trigger_id": self.new_trigger(user, workspace)})
        if answer.ok and answer.body:
            plain = not answer.body.startswith("{")
            try:
                hook = self.hooks[url.partition("/actions/")[2]]
                api.respond(self, hook, api.Arguments({"text": answer.body} if plain else answer.json))
            except ApiError as trouble:
                return replace(answer, error=str(trouble))
        return answer

    # What the app is told

    def echo(self, message: Message, event: Json) -> None:
        """What the app does comes back to it as an event, as what everybody does."""
        if self.echoes and not message.seen_by:
            self.in_background(self._tell(self.channels[message.channel], event))

    async def _tell(self, place: Channel, event: Json) -> Answer | None:
        """Deliver an event if the bot is there to see it."""
        workspace = self._workspace(place)
        return await self.deliver_event(workspace, event, connect=place.connect) if workspace else None

    def posted_event(self, message: Message) -> Json:
        """That a message came."""
        place = self.channels[message.channel]
        event = self.shown(message) | {"channel": place.id, "event_ts": message.ts, "channel_type": place.kind}
        if place.connect:
            event |= {"user_team": message.team, "source_team": message.team}
        return event if message.bot_id else event | {"client_msg_id": f"msg-{message.ts}"}

    def changed_event(self, changed: Message, previous: Message) -> Json:
        """That a message changed."""
        about = {"message": self.shown(changed), "previous_message": previous.as_json()}
        return self._hidden_event(changed, "message_changed") | about

    def removed_event(self, message: Message, tombstone: Message | None) -> Json:
        """That a message was deleted: with replies, it changed to its tombstone."""
        if tombstone:
            return self.changed_event(tombstone, message)
        about = {"deleted_ts": message.ts, "previous_message": message.as_json()}
        return self._hidden_event(message, "message_deleted") | about

    def _hidden_event(self, message: Message, subtype: str) -> Json:
        ts, place = self.new_ts(), self.channels[message.channel]
        event = {"type": "message", "subtype": subtype, "hidden": True, "channel": place.id, "channel_type": place.kind}
        return event | {"ts": ts, "event_ts": ts}

    def _interaction(self, kind: str, user: str, workspace: Workspace, user_team: str | None) -> Json:
        person = self.users[user]
        about = {"id": user, "username": person.name, "name": person.name, "team_id": user_team or person.team_id}
        payload: Json = {"type": kind, "user": about, "api_app_id": self.app_id, "token": "verification"}
        payload |= {"team": workspace.team, "enterprise": workspace.enterprise, "is_enterprise_install": False}
        return payload if kind == "view_closed" else payload | {"trigger_id": self.new_trigger(user, workspace)}

    def _workspace(self, place: Channel) -> Workspace | None:
        """The workspace whose bot is in the channel; its own before one that shares it."""
        inside = [each for each in self.workspaces if each.bot_user in place.members]
        return min(inside, key=lambda each: each.team_id != place.team_id, default=None)

    def _workspace_of(self, user: str) -> Workspace:
        team = self.users[user].team_id
        return next((each for each in self.workspaces if each.team_id == team), self.workspaces[0])

    def _workspace_of_message(self, message: Message) -> Workspace:
        authors = [each for each in self.workspaces if each.bot_id == message.bot_id]
        return authors[0] if authors else self._workspace(self.channels[message.channel]) or self.workspaces[0]


def _place(block: Json, element: Json) -> tuple[str, str]:
    return block["block_id"], element["action_id"]


def _rich_text(text: str) -> Json:
    """The block that Slack's own clients write."""
    parts = [part for part in re.split(r"(<@\w+>)", text) if part]
    elements = [
        {"type": "user", "user_id": part[2:-1]} if part.startswith("<@") else {"type": "text", "text": part} for part in parts
    ]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}
