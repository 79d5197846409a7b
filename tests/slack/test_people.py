"""Who may decide: guests, strangers, other organisations, Enterprise Grid, lists and groups. And what a card is bound to."""

import pytest

from persistence.sessions import PostgresPlaces
from tests.slack.channel import COMPLETE, Channel, words

ON_A_GRID = pytest.mark.parametrize("slack", ["E1ORG"], indirect=True)
"""The workspace belongs to an organisation."""


async def refused(ops: Channel, person: str, card, **click) -> str:
    """What somebody is told whose click decides nothing."""
    before = len(ops.heard(person))
    direct = ops.slack.im_with(person, ops.slack.workspaces[0]).id
    told = len(ops.slack.channel_messages(direct))
    await ops.slack.click(person, card, "approve_draft", **click)
    await ops.until(lambda: len(ops.heard(person)) > before or len(ops.slack.channel_messages(direct)) > told, "an answer")
    assert await ops.count("approvals") == 0
    return ops.heard(person)[-1] if len(ops.heard(person)) > before else words(ops.slack.channel_messages(direct)[-1].blocks)


async def accepted(ops: Channel, user: str, card, **click) -> None:
    await ops.slack.click(user, card, "approve_draft", **click)
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"guest": True}, "guests may not"),
        ({"bot": True}, "an app may not"),
        ({"deleted": True}, "deactivated"),
        ({"stranger": True}, "only people of this organisation"),
        ({"team_id": "T9OTHER"}, "only people of this organisation"),
    ],
)
async def test_who_is_no_full_member_may_not(ops: Channel, about: dict, why: str) -> None:
    if "team_id" in about:
        ops.slack.add_workspace("T9OTHER", bot_token="xoxb-other")
    ops.slack.add_user("U6ODD", "odd", **about)
    ops.slack.channels["C1OPS"].members.append("U6ODD")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert why in await refused(ops, "U6ODD", card)


async def test_a_click_that_says_another_team_is_not_believed_to_be_ours(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert "organisation" in await refused(ops, "U2BOB", card, user_team="T9OTHER")


@ON_A_GRID
async def test_a_click_that_does_not_say_whose_it_is_counts_for_nothing(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")
    payload = {**ops.slack.deliveries[-1][1], "user": {"id": "U1ANN"}, "enterprise": {"id": "E1ORG", "name": "org"}}
    assert payload["user"] == {"id": "U1ANN"}
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")
    again = await ops.mention("Title: Another\nProblem: It fails.\nAcceptance criteria: it works")
    other = await ops.card(again.ts)
    action = {"type": "button", "action_id": "approve_draft", "block_id": other.blocks[-1]["block_id"], "action_ts": "1.2"}
    action["value"] = other.blocks[-1]["elements"][0]["value"]
    container = {"type": "message", "message_ts": other.ts, "channel_id": "C1OPS"}
    await ops.slack.deliver_interaction({**payload, "actions": [action], "container": container})
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    assert "only people of this organisation" in ops.heard("U1ANN")[-1]
    assert await ops.count("approvals") == 1


async def test_a_guest_who_is_named_may(ops: Channel) -> None:
    rule = {"who": "listed", "people": ["U3GUS"]}
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": rule}, "U1ANN")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert "@gus may approve" in await refused(ops, "U2BOB", card)
    await accepted(ops, "U3GUS", card)


async def test_a_user_group_may_and_fails_closed(ops: Channel) -> None:
    ops.slack.add_usergroup("S1", "oncall", ["U2BOB"])
    rule = {"who": "listed", "groups": ["S1"]}
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": rule}, "U1ANN")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    ops.slack.break_http("usergroups.users.list", times=1)
    assert "could not be asked" in await refused(ops, "U2BOB", card)
    ops.slack.fail("usergroups.users.list", "plan_upgrade_required")
    assert "plan_upgrade_required): mend it with /signoff setup" in await refused(ops, "U2BOB", card)
    assert "@oncall may approve" in await refused(ops, "U1ANN", card)
    await accepted(ops, "U2BOB", card)


async def test_anyone_in_the_workspace(ops: Channel) -> None:
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": {"who": "workspace"}}, "U1ANN")
    said = await ops.mention(COMPLETE)
    await accepted(ops, "U4ZOE", await ops.card(said.ts))


async def test_a_copy_of_a_card_elsewhere_decides_nothing(ops: Channel) -> None:
    ops.slack.add_channel("C3DEV", "dev", ["U2BOB"])
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    elsewhere = {"type": "message", "message_ts": card.ts, "channel_id": "C3DEV"}
    told = await refused(ops, "U2BOB", card, container=elsewhere, channel={"id": "C3DEV", "name": "dev"})
    assert "copy" in told


@ON_A_GRID
async def test_a_grid_workspace_that_names_only_the_organisation(ops: Channel) -> None:
    ops.slack.add_user("U7ENT", "ent", enterprise_id="E1ORG")
    ops.slack.channels["C1OPS"].members.append("U7ENT")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await accepted(ops, "U7ENT", card, team=None)


async def test_who_asked_may_be_kept_from_approving(ops: Channel) -> None:
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": {"not_requester": True}}, "U1ANN")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert "somebody else" in await refused(ops, "U1ANN", card)
    await accepted(ops, "U2BOB", card)


async def test_who_alone_may_approve_is_named_on_the_card_and_called_once(ops: Channel) -> None:
    ops.slack.add_usergroup("S1", "oncall", ["U2BOB"])
    rule = {"who": "listed", "people": ["U2BOB", "U1ANN"], "groups": ["S1"], "not_requester": True}
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": rule}, "U1ANN")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert "*Waits for* <@U2BOB> or <!subteam^S1>" in words(card.blocks)
    await ops.slack.say("U2BOB", "C1OPS", "looking", thread_ts=said.ts)
    await ops.mention("show", thread=said.ts)
    again = await ops.until(lambda: next((one for one in ops.cards(said.ts) if one.ts > card.ts), None), "the card again")
    assert "*Waits for* @bob or @oncall" in words(again.blocks)


@ON_A_GRID
@pytest.mark.parametrize(
    ("who", "grid", "allowed"),
    [
        ("members", {"enterprise_id": "E1ORG"}, True),
        ("members", {"enterprise_id": "E2OTHER"}, False),
        ("members", {}, False),
        ("workspace", {"enterprise_id": "E1ORG"}, False),  # of the organisation, and yet not of this workspace
    ],
)
async def test_on_a_grid_a_click_may_name_another_workspace_of_the_organisation(
    ops: Channel, who: str, grid: dict, allowed: bool
) -> None:
    ops.slack.add_workspace("T8SIBLING", bot_token="xoxb-sibling", enterprise_id="E1ORG")
    ops.slack.add_user("U7ENT", "ent", team_id="T8SIBLING", **grid)
    ops.slack.channels["C1OPS"].members.append("U7ENT")
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": {"who": who}}, "U1ANN")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    if allowed:
        await accepted(ops, "U7ENT", card, user_team="T8SIBLING")
    else:
        assert "may" in await refused(ops, "U7ENT", card, user_team="T8SIBLING")


@pytest.mark.parametrize("action", ["request_changes", "show_evidence", "fill_in", "comment", "reopen"])
async def test_a_button_pressed_elsewhere_opens_nobodys_draft(ops: Channel, action: str) -> None:
    ops.slack.add_channel("C5SEC", "secret", ["U1ANN"], private=True)
    secret = Channel(ops.slack, ops.database, "C5SEC")
    said = await secret.mention(COMPLETE)
    card = await secret.card(said.ts)
    ops.slack.add_channel("C3DEV", "dev", ["U4ZOE"])
    forged = {"type": "button", "action_id": action, "value": f"T1:C5SEC:{said.ts}", "block_id": f"T1:C5SEC:{said.ts}"}
    payload = {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U4ZOE", "team_id": "T1"}, "trigger_id": "1.2"}
    payload |= {"channel": {"id": "C3DEV"}, "container": {"message_ts": card.ts, "channel_id": "C3DEV"}}
    await ops.slack.deliver_interaction({**payload, "actions": [{**forged, "action_ts": "1.2"}]})
    await ops.until(lambda: ops.heard("U4ZOE"), "an answer")
    assert "not known to me" in ops.heard("U4ZOE")[-1]
    assert ops.slack.views("U4ZOE") == []


async def test_what_somebody_typed_is_given_back_to_nobody_else(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U1ANN", card, "request_changes")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"title": "ann's own words"})
    await ops.quiet()
    [row] = await ops.rows("SELECT event_id FROM inbox WHERE event_id LIKE '%view%'")
    forged = {"type": "button", "action_id": "reopen", "value": f"T1:C1OPS:{said.ts}", "block_id": row["event_id"]}
    await ops.slack.click("U2BOB", card, "request_changes", actions=[{**forged, "action_ts": "1.2"}])
    await ops.until(lambda: ops.heard("U2BOB"), "an answer")
    assert ops.slack.views("U2BOB") == []


async def test_a_group_that_is_gone_locks_out_nobody_else(ops: Channel) -> None:
    await PostgresPlaces(ops.database).write("T1:C1OPS", {"approvers": {"groups": ["S9GONE"]}}, "U1ANN")
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    assert "S9GONE (no_such_subteam)" in await refused(ops, "U4ZOE", card)
    await accepted(ops, "U2BOB", card)
