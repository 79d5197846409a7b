"""What is no request of Slack's, or an odd one: a 4xx or a friendly answer, never a 500, and nothing lost."""

import json
import time
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier

from agent.draft import TicketDraft
from slack_adapter import server
from slack_adapter.forms import Edited, edit_form
from slack_adapter.guard import Refused, check_body, check_signature
from slack_adapter.inbound import parse_value, read
from slack_adapter.settling import read_there
from tests.slack.channel import COMPLETE, Channel, words

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("timestamp", ["", "soon", "1e9", "-5", "9" * 400, "٣٤٥", "-400 s", "+400 s"])
async def test_an_odd_or_old_timestamp_is_401(ops: Channel, timestamp: str) -> None:
    if timestamp.endswith(" s"):
        timestamp = str(int(time.time()) + int(timestamp.removesuffix(" s")))
    body = json.dumps({"type": "event_callback", "event": {"type": "team_join"}}).encode()
    headers = {**JSON, "X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": "v0=00"}
    if timestamp.isascii():
        headers |= ops.slack.sign(body, timestamp)
        assert (await ops.slack.raw_post(body, headers)).status == 401
    else:
        with pytest.raises(Refused, match="no number"):
            check_signature(SignatureVerifier("secret"), {"x-slack-request-timestamp": timestamp}, body)


async def test_a_wrong_signature_is_401_and_nothing_is_kept(ops: Channel) -> None:
    event = {"type": "message", "channel": "C1OPS", "user": "U1ANN", "ts": "1.2", "text": f"<@{ops.slack.bot_user}> hi"}
    body = json.dumps({"type": "event_callback", "team_id": "T1", "event": event}).encode()
    good = ops.slack.sign(body)
    assert (await ops.slack.raw_post(body, {**JSON, **good, "X-Slack-Signature": "v0=" + "0" * 64})).status == 401
    assert (await ops.slack.raw_post(body + b" ", {**JSON, **good})).status == 401
    assert await ops.count("inbox") == 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"7", b'"text"', b"{", b"\xff\xfe", b"{}", b'{"type": 7}', b'{"type": "event_callback"}',
        b'{"type": "event_callback", "event": []}', b'{"type": "event_callback", "event": {"type": "message", "channel": 5}}',
        b'{"type": "event_callback", "event": {"type": "reaction_added", "user": "U1", "reaction": "ticket", "item": 5}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
async def test_signed_nonsense_is_400(ops: Channel, body: bytes) -> None:
    answer = await ops.slack.raw_post(body, {**JSON, **ops.slack.sign(body)})
    assert answer.status == 400


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "block_actions"}, {"type": "block_actions", "user": {"id": "U1ANN"}, "actions": []},
        {"type": "block_actions", "user": "U1ANN", "actions": [{"action_id": "approve_draft"}]},
        {"type": "view_submission", "user": {"id": "U1ANN"}, "view": {"id": "V1"}},
        {"type": "message_action", "callback_id": "draft_ticket", "user": {"id": "U1ANN"}},
        {"type": "shortcut", "callback_id": "x", "user": {"id": "U1ANN"}, "trigger_id": "1.2", "event": "x"},
    ],
)  # fmt: skip
async def test_signed_interactive_nonsense_is_400(ops: Channel, payload: dict) -> None:
    body = urlencode({"payload": json.dumps(payload)}).encode()
    assert (await ops.slack.raw_post(body, {**FORM, **ops.slack.sign(body)})).status == 400


async def test_an_oversized_body_is_413(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_LIMIT", 10_000)
    body = b" " * 10_001
    assert (await ops.slack.raw_post(body, {**JSON, **ops.slack.sign(body)})).status == 413


async def test_slack_can_verify_the_address(ops: Channel) -> None:
    assert (await ops.slack.verify_url()).status == 200


async def test_in_a_shared_channel_events_may_name_the_others_workspace(ops: Channel) -> None:
    event = {"type": "message", "channel": "C1OPS", "user": "U1ANN", "ts": "1795000000.000100", "channel_type": "channel"}
    event["text"] = f"<@{ops.slack.bot_user}> Export fails"
    ours = [{"team_id": "T1", "enterprise_id": None, "user_id": ops.slack.bot_user, "is_bot": True}]
    body = json.dumps({"type": "event_callback", "team_id": "T9OTHER", "authorizations": ours, "event": event}).encode()
    assert (await ops.slack.raw_post(body, {**JSON, **ops.slack.sign(body)})).status == 200
    assert [row["session_id"] for row in await ops.rows("SELECT session_id FROM sessions")] == ["T1:C1OPS:1795000000.000100"]


async def test_other_addresses_are_404_and_health_tells(ops: Channel) -> None:
    base = ops.url.removesuffix("/slack/events")
    assert (await ops.slack.raw_post(b"", JSON, url=base + "/other")).status == 404
    await ops.until(lambda: ops.ready(), "a worker")


@pytest.mark.parametrize("value", ["", "x", "T1:C1OPS", "T1:C1OPS:1.2:short", "{session}:" + "0" * 64, "T9:C9:9.9:" + "0" * 64])
async def test_a_button_nobody_knows_is_answered(ops: Channel, value: str) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    forged = [{**block} for block in card.blocks]
    for block in forged:
        if block["type"] == "actions":
            block["elements"] = [{**one, "value": value.format(session=f"T1:C1OPS:{said.ts}")} for one in block["elements"]]
    for action in ("approve_draft", "reject_draft", "request_changes"):
        heard = len(ops.heard("U2BOB"))
        answer = await ops.slack.click("U2BOB", card, action, actions=[
            {**next(e for b in forged if b["type"] == "actions" for e in b["elements"] if e["action_id"] == action),
             "block_id": "x", "action_ts": f"{time.time()}"}])  # fmt: skip
        assert answer.status == 200
        if action == "request_changes" and value.startswith("{session}"):
            assert await ops.view("U2BOB")  # the form is of the session, whatever card it was asked for at
        else:
            await ops.until(lambda heard=heard: len(ops.heard("U2BOB")) > heard, f"an answer to {action}")
    assert await ops.count("approvals") == 0


async def test_an_action_of_another_version_is_answered(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    action = {"type": "button", "action_id": "vote", "block_id": "b", "value": "x", "action_ts": "1.2"}
    await ops.slack.click("U2BOB", card, "approve_draft", actions=[action])
    await ops.until(lambda: any("older version" in text for text in ops.heard("U2BOB")), "an answer")


async def test_what_cannot_be_made_durable_is_not_acknowledged(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    with psycopg.connect(ops.dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE inbox RENAME TO elsewhere")
        try:
            assert (await ops.slack.click("U2BOB", card, "approve_draft")).status == 500
            retried = await ops.slack.say("U1ANN", "C1OPS", "Priority: high", thread_ts=said.ts)
        finally:
            connection.execute("ALTER TABLE elsewhere RENAME TO inbox")
    assert retried.answer.attempts == 4
    await ops.slack.click("U2BOB", card, "approve_draft")  # the person saw a warning, and clicks again
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
SEEDS = [
    {"type": "event_callback", "team_id": "T1", "event": {"type": "message", "channel": "C1", "user": "U1", "ts": "1.2",
     "text": "<@UBOT> hi", "thread_ts": "1.1", "files": [{"id": "F1"}], "channel_type": "im"}},
    {"type": "event_callback", "team_id": "T1", "event": {"type": "message", "subtype": "message_changed", "channel": "C1",
     "ts": "1.4", "message": {"ts": "1.2", "user": "U1", "text": "a", "edited": {"ts": "1.3"}},
     "previous_message": {"ts": "1.2", "text": "b"}}},
    {"type": "event_callback", "team_id": "T1", "event": {"type": "reaction_added", "user": "U1", "reaction": "ticket",
     "item": {"type": "message", "channel": "C1", "ts": "1.2"}, "event_ts": "1.3"}},
    {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1", "team_id": "T1"}, "channel": {"id": "C1"},
     "container": {"channel_id": "C1", "message_ts": "1.2"}, "message": {"ts": "1.2"}, "trigger_id": "t",
     "actions": [{"action_id": "approve_draft", "block_id": "b", "value": "T1:C1:1.2:" + "0" * 64, "action_ts": "1.3"}]},
    {"type": "message_action", "callback_id": "draft_ticket", "team": {"id": "T1"}, "user": {"id": "U1"}, "action_ts": "1.3",
     "channel": {"id": "C1"}, "message": {"ts": "1.2", "user": "U1", "text": "a"}},
]  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), st.data())
def test_whatever_passes_the_guard_can_be_read(seed: dict, data: st.DataObject) -> None:
    """A payload with one part replaced by something else is refused, or read without an error."""
    payload = json.loads(json.dumps(seed))
    place = payload
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        if isinstance(place, dict) and data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(json_values)
        break
    try:
        check_body("application/json", json.dumps(payload).encode("utf-8", "surrogatepass"))
    except Refused:
        return
    read(payload, "UBOT", "T1")


@given(st.one_of(json_values, st.text()))
def test_any_value_of_a_button_is_read_or_is_none(value: object) -> None:
    parse_value(value)


@pytest.mark.parametrize("bad", ["\x00", "\ud800", "x" * 400])
@pytest.mark.parametrize("where", ["action_ts", "block_id"])
async def test_what_no_database_can_hold_is_400(ops: Channel, where: str, bad: str) -> None:
    action = {"type": "button", "action_id": "approve_draft", "block_id": "b", "value": f"T1:C1OPS:1.2:{'0' * 64}"}
    payload = {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U2BOB", "team_id": "T1"}}
    payload |= {"channel": {"id": "C1OPS"}, "container": {"channel_id": "C1OPS"}, "actions": [{**action, where: bad}]}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    assert (await ops.slack.raw_post(body, {**FORM, **ops.slack.sign(body)})).status == 400


async def test_an_event_that_cannot_be_read_holds_up_nothing(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    await ops.quiet()
    with psycopg.connect(ops.dsn, autocommit=True) as connection:  # as another version might have written it
        connection.execute(
            """INSERT INTO inbox (event_id, session_id, seq, origin, kind, body, at)
            SELECT 'odd', session_id, last_seq + 1, '', 'dance', '{"type":"dance"}', clock_timestamp() FROM sessions"""
        )
        connection.execute("UPDATE sessions SET last_seq = last_seq + 1")
    await ops.mention("Priority: high", thread=said.ts)
    await ops.card(said.ts, "high")
    assert [row["outcome"] for row in await ops.rows("SELECT outcome FROM inbox WHERE event_id = 'odd'")] == ["failed"]


async def test_an_event_that_names_another_workspace_is_no_error(ops: Channel) -> None:
    event = {
        "type": "message",
        "channel": "D1ANN",
        "user": "U1ANN",
        "ts": "1795000000.000100",
        "channel_type": "im",
        "text": "hi",
    }
    body = json.dumps({"type": "event_callback", "team_id": "T9OTHER", "event": event}).encode()
    assert (await ops.slack.raw_post(body, {**JSON, **ops.slack.sign(body)})).status == 200


async def test_a_command_of_another_workspace_is_no_error_though_nobody_can_be_told(ops: Channel) -> None:
    fields = {"command": "/signoff", "team_id": "T9OTHER", "user_id": "U1ANN", "channel_id": "C1OPS", "trigger_id": "1.2"}
    body = urlencode(fields | {"response_url": "http://127.0.0.1:9/nobody"}).encode()
    assert (await ops.slack.raw_post(body, {**FORM, **ops.slack.sign(body)})).status == 200


async def test_a_menu_of_another_version_is_answered(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    action = {"type": "overflow", "action_id": "more", "block_id": "b", "selected_option": {"value": "x"}, "action_ts": "1.2"}
    await ops.slack.click("U2BOB", card, "approve_draft", actions=[action])
    await ops.until(lambda: any("older version" in text for text in ops.heard("U2BOB")), "an answer")


@pytest.mark.parametrize(
    "changed",
    [
        {"blocks": [{"type": "input", "block_id": "title"}]},
        {"blocks": [{"type": "input", "block_id": "title", "element": 7}]},
        {"private_metadata": "[" * 900 + "]" * 900},
        {"private_metadata": '{"s": "T1:C1:1.2", "b": [["title"]]}'},
    ],
)
def test_a_form_that_is_broken_is_none_of_ours(changed: dict) -> None:
    view = edit_form("T1:C1OPS:1.2", TicketDraft(title="Export fails"))
    values = {"title": {"value": {"type": "plain_text_input", "value": "Exports fail"}}}
    assert Edited({**view, "state": {"values": values}}).operations(TicketDraft(title="Export fails"))[0]
    with pytest.raises(ValueError, match="no form"):
        Edited({**view, "state": {"values": values}, **changed})


@pytest.mark.parametrize("attempt", ["1e999", "NaN", "[]", '"x"', "{}"])
def test_an_attempt_that_is_no_number_is_none_of_ours(attempt: str) -> None:
    kept = f'{{"s": "T1:C1OPS:1.2", "h": "{"0" * 64}", "a": {attempt}}}'
    view = {"private_metadata": kept, "state": {"values": {"key": {"value": {"type": "plain_text_input", "value": "A-1"}}}}}
    with pytest.raises(ValueError, match=r"no form|integer|int\(\)"):
        read_there(view)


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "shortcut", "user": 1.5, "callback_id": "a"},
        {"type": "view_closed", "view": 1.5},
        {"type": "event_callback", "team_id": "T1", "event": {"type": "team_join", "message": {"user": 3}}},
    ],
)
def test_what_bolt_would_stumble_over_is_refused(payload: dict) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        check_body("application/json", json.dumps(payload).encode())


async def test_what_is_nested_too_deep_to_be_written_down_is_400(ops: Channel) -> None:
    event = {"type": "message", "channel": "D1ANN", "user": "U1ANN", "ts": "1.2", "channel_type": "im", "text": "hi"}
    body = json.dumps({"type": "event_callback", "team_id": "T1", "event": {**event, "files": [{"id": "F1", "mode": "deep"}]}})
    for levels in (150, 900):
        nested = body.replace('"deep"', "[" * levels + "]" * levels).encode()
        assert (await ops.slack.raw_post(nested, {**JSON, **ops.slack.sign(nested)})).status == 400
    assert await ops.count("inbox") == 0


def test_a_form_without_a_type_is_refused() -> None:
    view = {"id": "V1", "blocks": [], "state": {"values": {}}}
    for kind in ({}, {"type": None}):
        body = {"type": "view_submission", "user": {"id": "U1"}, "view": {**view, **kind}}
        with pytest.raises(Refused, match="shape"):
            check_body("application/json", json.dumps(body).encode())
    check_body("application/json", json.dumps({**body, "view": {**view, "type": "modal"}}).encode())


@pytest.mark.parametrize("values", [[], {"title": 7}, {"title": {"value": 7}}])
def test_a_form_whose_state_has_another_shape_is_refused(values: object) -> None:
    view = {"type": "modal", "id": "V1", "blocks": [], "state": {"values": values}}
    body = {"type": "view_submission", "user": {"id": "U1"}, "view": view}
    with pytest.raises(Refused, match="shape"):
        check_body("application/json", json.dumps(body).encode())
