"""Our Slack against Slack's own libraries: what slack_sdk and Bolt accept, send and expect."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.slack_sim import Message, Slack, running_slack

APPROVE = {"type": "button", "action_id": "approve", "text": {"type": "plain_text", "text": "Approve"}, "value": "h1"}
CARD: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*OPS-1*"}},
    {"type": "actions", "block_id": "buttons", "elements": [APPROVE]},
]


def text_input(block_id: str, **more: Any) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": "typed", **more}
    return {"type": "input", "block_id": block_id, "label": {"type": "plain_text", "text": block_id}, "element": element}


def modal(*blocks: dict[str, Any], title: str = "Edit") -> dict[str, Any]:
    plain = {"type": "plain_text", "text": title}
    return {"type": "modal", "callback_id": "edit", "title": plain, "submit": plain, "blocks": list(blocks)}


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with running_slack() as running:
        running.echoes = False
        running.add_user("U1", "ann")
        running.add_user("U2", "ben")
        running.add_channel("C1", "ops", ["U1", "U2"])
        yield running


@pytest.fixture
def client(slack: Slack) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


class Recorder:
    """A Bolt app that notes what it is told."""

    def __init__(self, slack: Slack) -> None:
        self.told: list[dict[str, Any]] = []
        self.retries: list[str | None] = []
        self.client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
        self.app = AsyncApp(client=self.client, signing_secret=slack.signing_secret, raise_error_for_unhandled_request=False)
        self.app.middleware(self._note)
        self.app.event(re.compile(".+"))(self._nothing)
        self.app.action("typed")(self._nothing)

    async def _note(self, body: dict[str, Any], req: AsyncBoltRequest, next_: Callable[[], Awaitable[None]]) -> None:
        self.told.append(body)
        self.retries.extend(req.headers.get("x-slack-retry-num", []))
        await next_()

    async def _nothing(self, ack: Callable[[], Awaitable[None]]) -> None:
        await ack()

    @asynccontextmanager
    async def serving(self, *, then: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[str]:
        """Serve the app, and give its address."""

        async def answer(request: web.Request) -> web.Response:
            if then:
                await then()
            bolt = await self.app.async_dispatch(AsyncBoltRequest(body=await request.text(), headers=dict(request.headers)))
            return web.Response(status=bolt.status, body=bolt.body, headers={k: v[0] for k, v in bolt.headers.items()})

        served = web.Application()
        served.router.add_post("/slack/events", answer)
        runner = web.AppRunner(served, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        finally:
            await runner.cleanup()


@pytest.fixture
async def recorder(slack: Slack) -> AsyncIterator[Recorder]:
    recorder = Recorder(slack)
    async with recorder.serving() as url:
        slack.deliver_to(url)
        yield recorder


async def card(slack: Slack, client: AsyncWebClient, **more: Any) -> Message:
    posted = await client.chat_postMessage(channel="C1", text="card", blocks=CARD, **more)
    return slack.message("C1", posted["ts"])


async def error_of(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_the_three_wire_forms(slack: Slack, client: AsyncWebClient) -> None:
    said = await slack.say("U1", "C1", "hello")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {slack.bot_token}"}) as session:
        question = {"channel": "C1", "ts": said.ts}
        for call in (
            session.post(slack.api_url + "conversations.replies", json=question),
            session.post(slack.api_url + "conversations.replies", data=question),
            session.post(slack.api_url + "conversations.replies", params=question),
            session.get(slack.api_url + "conversations.replies", params=question),
        ):
            async with call as response:
                assert [each["text"] for each in (await response.json())["messages"]] == ["hello"]
    blocks = json.dumps(CARD)
    async with aiohttp.ClientSession() as session:
        form = {"token": slack.bot_token, "channel": "C1", "blocks": blocks}
        async with session.post(slack.api_url + "chat.postMessage", data=form) as response:
            assert (await response.json())["message"]["blocks"][1]["elements"][0]["value"] == "h1"
    assert slack.count("conversations.replies") == 4
    assert (await client.auth_test()).headers["x-oauth-scopes"].startswith("app_mentions:read,")
    assert await error_of(client.api_call("chat.postMesage")) == "unknown_method"
    assert await error_of(AsyncWebClient("xoxb-no", base_url=slack.api_url).auth_test()) == "invalid_auth"
    assert await error_of(client.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"


async def test_bolt_accepts_what_is_signed_and_nothing_else(slack: Slack, recorder: Recorder) -> None:
    assert (await slack.say("U1", "C1", "hello")).answer.status == 200
    assert json.loads((await slack.verify_url()).body) == {"challenge": "prove it"}
    body, kind = b'{"type": "event_callback"}', {"Content-Type": "application/json"}
    assert (await slack.raw_post(body, kind | slack.sign(body))).status != 401
    assert (await slack.raw_post(body + b" ", kind | slack.sign(body))).status == 401
    assert (await slack.raw_post(body, kind | slack.sign(body, 1_700_000_000))).status == 401
    assert (await slack.raw_post(body, kind)).status == 401


async def test_a_mention_makes_two_events_of_one_message(slack: Slack, recorder: Recorder) -> None:
    root = await slack.say("U1", "C1", "please", mention=True)
    message, mention = sorted((told["event"] for told in recorder.told), key=lambda event: event["type"], reverse=True)
    assert (message["type"], message["channel_type"], mention["type"]) == ("message", "channel", "app_mention")
    assert message["ts"] == mention["ts"] == root.ts
    assert message["text"] == mention["text"] == "<@UBOT> please"
    assert len({told["event_id"] for told in recorder.told}) == 2
    assert recorder.told[0]["authorizations"][0]["user_id"] == slack.bot_user

    for order, first in (("mention", "app_mention"), ("message", "message")):
        recorder.told.clear()
        slack.mention_order = order
        await slack.say("U1", "C1", "again", root.ts, mention=True)
        assert recorder.told[0]["event"]["type"] == first
    assert [each.text for each in slack.thread("C1", root.ts)] == ["<@UBOT> please", "<@UBOT> again", "<@UBOT> again"]

    slack.add_channel("C2", "elsewhere", ["U1"], bot_is_member=False)
    assert (await slack.say("U1", "C2", "<@UBOT> hello")).answer is None


async def test_edits_deletions_and_other_bots_are_told(slack: Slack, recorder: Recorder) -> None:
    root = await slack.say("U1", "C1", "one")
    reply = await slack.say("U2", "C1", "two", root.ts)
    await slack.edit(root, "three")
    await slack.delete(reply)
    await slack.bot_says("C1", "four", root.ts)
    await slack.delete(root)
    await slack.react("U2", slack.message("C1", root.ts), "ticket")
    await slack.join("U2", "C1")
    await slack.open_home("U1")
    events = [told["event"] for told in recorder.told]
    assert [event.get("subtype", event["type"]) for event in events] == [
        *("message", "message", "message_changed", "message_deleted", "bot_message", "message_changed"),
        *("reaction_added", "member_joined_channel", "app_home_opened"),
    ]
    assert events[1]["parent_user_id"] == "U1"
    assert (events[2]["message"]["text"], events[2]["previous_message"]["text"]) == ("three", "one")
    assert events[5]["message"]["subtype"] == "tombstone"
    assert [each.text for each in slack.thread("C1", root.ts)] == ["This message was deleted.", "four"]


async def test_events_come_again_until_they_are_accepted(slack: Slack) -> None:
    recorder, troubles = Recorder(slack), [web.HTTPServiceUnavailable(), None]

    async def trouble() -> None:
        if troubles:
            failure = troubles.pop(0)
            if failure:
                raise failure
            await asyncio.sleep(0.3)

    slack.ack_seconds = 0.2
    async with recorder.serving(then=trouble) as url:
        slack.deliver_to(url)
        answer = (await slack.say("U1", "C1", "hello")).answer
        assert (answer.status, answer.attempts) == (200, 3)
        assert recorder.retries[-1] == "2"
        assert len({told["event_id"] for told in recorder.told}) == 1
        assert [each.error for _, _, each in slack.deliveries] == ["", "http_timeout", ""]
    slack.retry_waits = (0.0,)
    answer = (await slack.say("U1", "C1", "hello")).answer
    assert (answer.status, answer.attempts, answer.error) == (0, 2, "connection_failed")


async def test_replicas_take_turns_and_events_can_come_twice(slack: Slack) -> None:
    one, two = Recorder(slack), Recorder(slack)
    async with one.serving() as first, two.serving() as second:
        slack.deliver_to(first, second)
        slack.duplicate = 1
        await slack.say("U1", "C1", "hello")
    assert [len(one.told), len(two.told)] == [1, 1]
    assert one.told == two.told


async def test_an_update_keeps_metadata_and_drops_blocks(slack: Slack, client: AsyncWebClient) -> None:
    metadata = {"event_type": "card", "event_payload": {"hash": "h1"}}
    posted = await card(slack, client, metadata=metadata)
    await client.chat_update(channel="C1", ts=posted.ts, text="done")
    updated = slack.message("C1", posted.ts)
    assert (updated.text, updated.blocks, updated.metadata, posted.text) == ("done", [], metadata, "card")
    for asked, shown in ((True, metadata), (False, None)):
        read = await client.conversations_replies(channel="C1", ts=posted.ts, include_all_metadata=asked)
        assert read["messages"][0].get("metadata") == shown
    said = await slack.say("U1", "C1", "mine")
    assert await error_of(client.chat_update(channel="C1", ts=said.ts, text="x")) == "cant_update_message"
    assert await error_of(client.chat_update(channel="C1", ts="1.2", text="x")) == "message_not_found"
    assert await error_of(client.chat_update(channel="C1", ts=posted.ts, text="x" * 4001)) == "msg_too_long"
    await client.chat_delete(channel="C1", ts=posted.ts)
    assert slack.channel_messages("C1") == [said]


SECTION = CARD[0]


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([SECTION] * 51, "invalid_blocks"),
        ([{**SECTION, "block_id": "b"}] * 2, "invalid_blocks"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}], "invalid_blocks"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": ""}}], "invalid_blocks"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "invalid_blocks"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "invalid_blocks"),
        ([{"type": "actions", "elements": []}], "invalid_blocks"),
        ([{"type": "actions", "elements": [APPROVE] * 2}], "invalid_blocks"),
        ([{"type": "actions", "elements": [{**APPROVE, "action_id": str(n)} for n in range(26)]}], "invalid_blocks"),
        ([{"type": "actions", "elements": [{**APPROVE, "value": "x" * 2001}]}], "invalid_blocks"),
        ([{"type": "actions", "elements": [{**APPROVE, "text": {"type": "plain_text", "text": "x" * 76}}]}], "invalid_blocks"),
        ([{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}], "invalid_blocks"),
        ([{"type": "sektion"}], "invalid_blocks"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2800}}] * 5, "msg_blocks_too_long"),
        ("{", "invalid_blocks_format"),
    ],
)
async def test_blocks_that_slack_refuses(client: AsyncWebClient, slack: Slack, blocks: Any, error: str) -> None:
    assert await error_of(client.chat_postMessage(channel="C1", text="x", blocks=blocks)) == error
    assert slack.channel_messages("C1") == []


async def test_where_the_bot_may_post(slack: Slack, client: AsyncWebClient) -> None:
    slack.add_channel("C2", "open", ["U1"], bot_is_member=False)
    slack.add_channel("C3", "secret", ["U1"], private=True, bot_is_member=False)
    slack.add_channel("C4", "old", ["U1"], archived=True)
    for channel, error in (
        ("C2", "not_in_channel"),
        ("C3", "channel_not_found"),
        ("C4", "is_archived"),
        ("C9", "channel_not_found"),
    ):
        assert await error_of(client.chat_postMessage(channel=channel, text="x")) == error
    assert await error_of(client.api_call("chat.postMessage", json={"channel": "C1"})) == "no_text"
    assert await error_of(client.chat_postMessage(channel="C1", text="x", thread_ts="1.2")) == "thread_not_found"
    slack.scopes.remove("users:read")
    assert await error_of(client.users_info(user="U1")) == "missing_scope"
    await client.conversations_join(channel="C2")
    assert len((await client.chat_postMessage(channel="C2", text="x" * 40_001))["message"]["text"]) == 40_000
    direct = await client.chat_postMessage(channel="U1", text="hello")
    assert slack.channels[direct["channel"]].im


async def test_reading_threads_and_people(slack: Slack, client: AsyncWebClient) -> None:
    slack.add_usergroup("S1", "approvers", ["U2"])
    slack.add_user("U3", "cem", team_id="T9", stranger=True)
    root = await slack.say("U1", "C1", "0")
    for number in range(1, 6):
        await slack.say("U1", "C1", str(number), root.ts)
    await client.chat_postEphemeral(channel="C1", user="U1", text="only ann", thread_ts=root.ts)
    assert await error_of(client.chat_postEphemeral(channel="C1", user="U3", text="x")) == "user_not_in_channel"
    pages, cursor = [], None
    while cursor != "":
        page = await client.conversations_replies(channel="C1", ts=root.ts, limit=2, cursor=cursor)
        pages.append("".join(each["text"] for each in page["messages"]))
        cursor = page["response_metadata"]["next_cursor"]
    assert pages == ["012", "034", "05"]
    since = slack.thread("C1", root.ts)[3].ts
    late = await client.conversations_replies(channel="C1", ts=root.ts, oldest=since)
    assert "".join(each["text"] for each in late["messages"]) == "045"
    assert (await client.conversations_history(channel="C1"))["messages"][0]["reply_count"] == 5
    assert await error_of(client.conversations_replies(channel="C1", ts="1.2")) == "thread_not_found"
    assert [each.text for each in slack.ephemerals("U1")] == ["only ann"]
    assert slack.ephemerals("U2") == []
    assert (await client.usergroups_users_list(usergroup="S1"))["users"] == ["U2"]
    assert (await client.conversations_members(channel="C1"))["members"] == ["U1", "U2", "UBOT"]
    assert await error_of(client.users_info(user="U3")) == "user_not_found"
    await slack.join("U3", "C1")
    assert (await client.users_info(user="U3"))["user"]["is_stranger"]
    link = await client.chat_getPermalink(channel="C1", message_ts=root.ts)
    assert link["permalink"] == f"https://acme.slack.com/archives/C1/p{root.ts.replace('.', '')}"


async def test_clicks_now_stale_and_forged(slack: Slack, client: AsyncWebClient, recorder: Recorder) -> None:
    clicks: list[dict[str, Any]] = []

    async def approve(ack: Callable[[], Awaitable[None]], body: dict[str, Any]) -> None:
        await ack()
        clicks.append(body)

    recorder.app.action("approve")(approve)
    root = await slack.say("U1", "C1", "hello")
    posted = await card(slack, client, thread_ts=root.ts)
    assert (await slack.click("U1", posted, "approve")).status == 200
    click = clicks[0]
    button = {"type": "button", "action_id": "approve", "block_id": "buttons", "value": "h1"}
    text = {"type": "plain_text", "text": "Approve", "emoji": True}
    assert click["actions"] == [button | {"text": text, "action_ts": click["actions"][0]["action_ts"]}]
    container = {"type": "message", "message_ts": posted.ts, "channel_id": "C1", "is_ephemeral": False}
    assert click["container"] == container | {"thread_ts": root.ts}
    assert click["user"] == {"id": "U1", "username": "ann", "name": "ann", "team_id": "T1"}
    assert click["channel"] == {"id": "C1", "name": "ops"}

    await client.chat_update(channel="C1", ts=posted.ts, text="gone")
    with pytest.raises(AssertionError, match="no 'approve'"):
        await slack.click("U1", slack.message("C1", posted.ts), "approve")
    await slack.click("U2", posted, "approve", value="h2", user_team="E1", team=None)
    assert clicks[1]["actions"][0]["value"] == "h2"
    assert (clicks[1]["user"]["team_id"], clicks[1]["team"]) == ("E1", None)


async def test_a_modal_from_its_opening_to_its_end(slack: Slack, client: AsyncWebClient, recorder: Recorder) -> None:
    answers = iter(
        [
            {"response_action": "errors", "errors": {"title": "too short"}},
            {"response_action": "update", "view": modal(text_input("title"), title="Again")},
            {"response_action": "push", "view": modal(text_input("more") | {"optional": True}, title="More")},
            {},
            {"response_action": "errors", "errors": {"nothing": "?"}},
            {"response_action": "clear"},
        ]
    )
    submitted: list[dict[str, Any]] = []

    async def edit(ack: Callable[..., Awaitable[None]], view: dict[str, Any]) -> None:
        submitted.append(view["state"]["values"])
        await ack(**next(answers))

    recorder.app.view("edit")(edit)
    options = [{"text": {"type": "plain_text", "text": name}, "value": name} for name in ("low", "high")]
    menu = {"type": "multi_static_select", "action_id": "typed", "options": options, "initial_options": options[:1]}
    people = {"type": "multi_users_select", "action_id": "typed"}
    view = modal(
        text_input("title", initial_value="as it was"),
        text_input("labels") | {"element": menu},
        text_input("people") | {"element": people, "optional": True},
    )
    trigger = slack.new_trigger("U1", slack.workspaces[0])
    opened = (await client.views_open(trigger_id=trigger, view=view))["view"]
    assert opened["root_view_id"] == opened["id"]
    assert await error_of(client.views_open(trigger_id=trigger, view=view)) == "exchanged_trigger_id"
    assert await error_of(client.views_update(view_id=opened["id"], hash="stale", view=view)) == "hash_conflict"

    [shown] = slack.views("U1")
    with pytest.raises(AssertionError, match="title: it is empty"):
        await slack.submit("U1", shown, {"title": ""})
    await slack.choose("U1", slack.views("U1")[0], "typed", "as ann typed it")
    assert (await slack.submit("U1", slack.views("U1")[0], {"people": ["U2"], "labels": ["low", "high"]})).ok
    assert submitted[0]["title"]["typed"] == {"type": "plain_text_input", "value": "as ann typed it"}
    assert [each["value"] for each in submitted[0]["labels"]["typed"]["selected_options"]] == ["low", "high"]
    assert submitted[0]["people"]["typed"] == {"type": "multi_users_select", "selected_users": ["U2"]}

    assert slack.views("U1")[0].title == "Edit"
    assert (await slack.submit("U1", slack.views("U1")[0])).ok
    [updated] = slack.views("U1")
    assert (updated.title, updated.id) == ("Again", shown.id)
    await slack.submit("U1", updated, {"title": "better"})
    _, pushed = slack.views("U1")
    assert (pushed.title, pushed.as_json()["root_view_id"]) == ("More", shown.id)
    await slack.submit("U1", pushed)
    assert [each.title for each in slack.views("U1")] == ["Again"]
    assert not (await slack.submit("U1", slack.views("U1")[0])).ok
    await slack.submit("U1", slack.views("U1")[0])
    assert slack.views("U1") == []


@pytest.mark.parametrize(
    "view",
    [
        modal(SECTION, title="x" * 25),
        modal(SECTION) | {"private_metadata": "x" * 3001},
        modal(*[SECTION] * 101),
        {**modal(text_input("title")), "submit": None},
        modal(text_input("title", initial_value="x" * 3001)),
        modal(SECTION) | {"type": "home"},
    ],
)
async def test_views_that_slack_refuses(slack: Slack, client: AsyncWebClient, view: dict[str, Any]) -> None:
    trigger = slack.new_trigger("U1", slack.workspaces[0])
    assert await error_of(client.views_open(trigger_id=trigger, view=view)) == "invalid_arguments"
    assert slack.views("U1") == []


async def test_triggers_expire(slack: Slack, client: AsyncWebClient) -> None:
    slack.trigger_seconds = 0.05
    trigger = slack.new_trigger("U1", slack.workspaces[0])
    await asyncio.sleep(0.1)
    assert await error_of(client.views_open(trigger_id=trigger, view=modal(SECTION))) == "expired_trigger_id"
    assert await error_of(client.views_open(trigger_id="1.2.3", view=modal(SECTION))) == "invalid_trigger_id"


async def test_response_urls_commands_and_shortcuts(slack: Slack, client: AsyncWebClient, recorder: Recorder) -> None:
    seen: list[dict[str, Any]] = []

    async def note(ack: Callable[..., Awaitable[None]], body: dict[str, Any]) -> None:
        seen.append(body)
        await ack("as you wish" if "command" in body else "")

    recorder.app.command("/signoff")(note)
    recorder.app.shortcut("draft")(note)
    recorder.app.action("approve")(note)
    await slack.command("U1", "C1", "/signoff", "help me")
    assert (seen[0]["text"], seen[0]["user_id"], seen[0]["channel_name"]) == ("help me", "U1", "ops")
    assert [each.text for each in slack.ephemerals("U1")] == ["as you wish"]

    posted = await card(slack, client)
    await slack.shortcut("U2", posted, "draft")
    assert (seen[1]["type"], seen[1]["message_ts"], seen[1]["message"]["text"]) == ("message_action", posted.ts, "card")

    await slack.click("U2", posted, "approve")
    hook = AsyncWebhookClient(seen[2]["response_url"])
    assert (await hook.send(text="only for ben")).status_code == 200
    assert (await hook.send(text="", replace_original=True, blocks=[SECTION])).status_code == 200
    assert [each.text for each in slack.ephemerals("U2")] == ["only for ben"]
    assert [block["type"] for block in slack.message("C1", posted.ts).blocks] == ["section"]
    assert (await hook.send(text="for all", response_type="in_channel")).status_code == 200
    assert (await hook.send(text="", delete_original=True)).status_code == 200
    assert [each.text for each in slack.channel_messages("C1")] == ["for all"]
    assert [(await hook.send(text="x")).status_code for _ in range(2)] == [200, 404]


async def test_faults(slack: Slack, client: AsyncWebClient) -> None:
    patient = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[AsyncRateLimitErrorRetryHandler()])
    slack.rate_limit("chat.postMessage", 0)
    assert (await patient.chat_postMessage(channel="C1", text="1")).status_code == 200
    slack.rate_limit("chat.postMessage", 30)
    with pytest.raises(SlackApiError) as refused:
        await client.chat_postMessage(channel="C1", text="x")
    assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (429, "30")

    slack.fail("chat.postMessage", "fatal_error", channel="C2")
    assert (await client.chat_postMessage(channel="C1", text="2"))["ok"]
    assert await error_of(client.chat_postMessage(channel="C2", text="x")) == "fatal_error"

    slack.break_http("chat.postMessage", 503)
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel="C1", text="x")
    slack.drop_reply("chat.postMessage")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="C1", text="3")
    slack.slow("chat.postMessage", 0.3)
    client.timeout = 0.1
    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel="C1", text="4")
    assert [each.text for each in slack.channel_messages("C1")] == ["1", "2", "3", "4"]

    slack.strict_rates = True
    assert (await client.chat_postMessage(channel="C1", text="5"))["ok"]
    assert await error_of(client.chat_postMessage(channel="C1", text="x")) == "ratelimited"
    assert slack.count("chat.postMessage") == 10
    assert slack.calls[0].arguments["text"] == "1"
    with pytest.raises(AssertionError, match="a ninth"):
        await slack.until(lambda: False, seconds=0.02, what="a ninth")


@asynccontextmanager
async def connected(slack: Slack, recorder: Recorder, times: int) -> AsyncIterator[None]:
    """The app, connected so often over Socket Mode."""
    slack.use_socket()
    handlers = [AsyncSocketModeHandler(recorder.app, slack.app_token, web_client=recorder.client) for _ in range(times)]
    try:
        for handler in handlers:
            await handler.connect_async()
        await slack.until(lambda: slack.connections == times)
        yield
    finally:
        for handler in handlers:
            await handler.close_async()


async def test_socket_mode_with_three_connections(slack: Slack, client: AsyncWebClient) -> None:
    recorder = Recorder(slack)

    async def approve(ack: Callable[[], Awaitable[None]]) -> None:
        await ack()

    async def edit(ack: Callable[..., Awaitable[None]]) -> None:
        await ack(response_action="errors", errors={"title": "no"})

    recorder.app.action("approve")(approve)
    recorder.app.view("edit")(edit)
    posted = await card(slack, client)
    async with connected(slack, recorder, 3):
        for number in range(6):
            assert (await slack.say("U1", "C1", str(number))).answer.ok
        assert [told["event"]["text"] for told in recorder.told] == ["0", "1", "2", "3", "4", "5"]
        assert (await slack.click("U1", posted, "approve")).status == 200
        trigger = slack.new_trigger("U1", slack.workspaces[0])
        await client.views_open(trigger_id=trigger, view=modal(text_input("title")))
        answer = await slack.submit("U1", slack.views("U1")[0], {"title": "x"})
        assert answer.json["response_action"] == "errors"

        await slack.disconnect_all()
        await slack.until(lambda: slack.connections == 3, what="all connections come back")
        assert (await slack.say("U1", "C1", "after")).answer.ok


async def test_what_is_not_acknowledged_comes_again_over_another_connection(slack: Slack) -> None:
    recorder = Recorder(slack)
    slack.ack_seconds = 0.2
    failures = ["now"]

    async def sometimes(next_: Callable[[], Awaitable[None]]) -> None:
        if failures.pop():
            raise RuntimeError("before it is stored")
        await next_()

    recorder.app.middleware(sometimes)
    failures[:0] = [""]
    async with connected(slack, recorder, 2):
        answer = (await slack.say("U1", "C1", "hello")).answer
        assert (answer.ok, answer.attempts) == (True, 2)
        assert recorder.retries == ["0", "1"]


async def test_a_lost_connection_brings_its_events_back(slack: Slack) -> None:
    async def connect(session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        headers = {"Authorization": f"Bearer {slack.app_token}"}
        async with session.post(slack.api_url + "apps.connections.open", headers=headers) as response:
            socket = await session.ws_connect((await response.json())["url"])
        assert (await socket.receive_json())["type"] == "hello"
        return socket

    slack.use_socket()
    async with aiohttp.ClientSession() as session:
        first = await connect(session)
        saying = asyncio.create_task(slack.say("U1", "C1", "hello"))
        assert (await first.receive_json())["retry_attempt"] == 0
        slack.break_links()
        again = await (second := await connect(session)).receive_json()
        assert (again["retry_attempt"], again["type"], again["accepts_response_payload"]) == (1, "events_api", False)
        await second.send_json({"envelope_id": again["envelope_id"]})
        assert (await saying).answer.ok
        others = [await connect(session) for _ in range(9)]
        with pytest.raises(AssertionError):
            await connect(session)
        for socket in (second, *others):
            await socket.close()


async def test_other_workspaces_the_grid_and_slack_connect(slack: Slack, recorder: Recorder) -> None:
    slack.add_workspace("T2", bot_token="xoxb-2", enterprise_id="E1")
    slack.add_user("W1", "dee", team_id="T2", enterprise_id="E1")
    slack.add_channel("C2", "grid", ["W1"], team_id="T2")
    slack.add_user("X1", "eve", team_id="T9", stranger=True)
    slack.add_channel("C3", "partners", ["U1", "X1"], connect=True)
    other = AsyncWebClient("xoxb-2", base_url=slack.api_url, retry_handlers=[])
    assert (await other.auth_test())["enterprise_id"] == "E1"
    assert await error_of(other.chat_postMessage(channel="C1", text="x")) == "channel_not_found"
    said = await slack.say("W1", "C2", "hello")
    assert (recorder.told[0]["team_id"], recorder.told[0]["authorizations"][0]["enterprise_id"]) == ("T2", "E1")
    await slack.shortcut("W1", said, "draft")
    assert recorder.told[1]["team"]["id"] == "T2"
    assert (recorder.told[1]["enterprise"]["id"], recorder.told[1]["is_enterprise_install"]) == ("E1", False)
    outside = await slack.say("X1", "C3", "hello")
    await slack.shortcut("X1", outside, "draft")
    assert (recorder.told[3]["team"]["id"], recorder.told[3]["user"]["team_id"]) == ("T1", "T9")
    code = slack.oauth_code("T2")
    login = f"Basic {b64encode(f'{slack.client_id}:{slack.client_secret}'.encode()).decode()}"
    installed = await AsyncWebClient(base_url=slack.api_url, headers={"Authorization": login}).api_call(
        "oauth.v2.access", params={"code": code}
    )
    assert (installed["access_token"], installed["team"]["id"]) == ("xoxb-2", "T2")


async def test_files_homes_and_statuses(slack: Slack, client: AsyncWebClient, recorder: Recorder) -> None:
    slack.add_file("F1", "log.txt", b"boom", "text/plain")
    said = await slack.say("U1", "C1", "see", files=["F1"])
    event = recorder.told[0]["event"]
    assert (event["subtype"], event["files"][0]["id"]) == ("file_share", "F1")
    async with aiohttp.ClientSession() as session:
        async with session.get(event["files"][0]["url_private"]) as response:
            assert (response.status, response.content_type) == (200, "text/html")
        headers = {"Authorization": f"Bearer {slack.bot_token}"}
        async with session.get(event["files"][0]["url_private"], headers=headers) as response:
            assert await response.read() == b"boom"
    await client.views_publish(user_id="U1", view={"type": "home", "blocks": CARD})
    await slack.open_home("U1", "home")
    assert recorder.told[1]["event"]["view"]["id"] == slack.home("U1").id
    await slack.choose("U1", slack.home("U1"), "approve")
    assert recorder.told[2]["container"] == {"type": "view", "view_id": slack.home("U1").id}
    await client.assistant_threads_setStatus(channel_id="C1", thread_ts=said.ts, status="is reading")
    assert slack.statuses[0]["status"] == "is reading"
    assert await error_of(client.agents_sessions_setStatus(channel_id="C1", status="asleep")) == "invalid_arguments"


async def test_the_apps_own_posts_come_back_to_it(slack: Slack, client: AsyncWebClient, recorder: Recorder) -> None:
    # Bolt drops them before an app's own middleware, so they are read where they are sent.
    slack.echoes = True
    posted = await card(slack, client)
    await client.chat_update(channel="C1", ts=posted.ts, text="done")
    await client.chat_delete(channel="C1", ts=posted.ts)
    await slack.idle()
    told = {payload["event"].get("subtype", "message"): answer.ok for _, payload, answer in slack.deliveries}
    assert told == {"message": True, "message_changed": True, "message_deleted": True}


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with running_slack() as slack, aiohttp.ClientSession() as session:
        slack.add_user("U1", "ann")
        slack.add_channel("C1", "ops", ["U1"])
        slack.use_socket()
        socket = await session.ws_connect(slack.new_ticket())
        slack.in_background(slack.say("U1", "C1", "hello"))
        await socket.receive()
    assert asyncio.all_tasks() == before
