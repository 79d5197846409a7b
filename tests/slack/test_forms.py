"""The forms: a draft changed by hand, by several people at once, and the settings of a channel."""

import pytest

from agent.operations import Operation
from agent.ports import Event
from agent.protocol import Reply
from persistence.store import PostgresStore
from slack_adapter import cards
from slack_adapter.naming import label
from tests.slack.channel import COMPLETE, Channel, words


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for a card to settle here."""
    monkeypatch.setattr(cards, "SETTLE", 0)


async def test_request_changes_opens_the_draft_and_saves_what_was_changed(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U3GUS", card, "request_changes")
    view = await ops.view("U3GUS")
    assert "it finishes\nit is logged" in str(view.blocks).replace("\\n", "\n")
    answer = await ops.slack.submit("U3GUS", view, {"title": "Export <!channel> fails", "acceptance_criteria": "it is fast"})
    assert answer.ok
    shown = words((await ops.card(said.ts, "it is fast")).blocks)
    assert "Export <!channel> fails" in shown
    assert "Acceptance criteria, removed: \nit finishes; it is logged" in shown
    assert ops.slack.views("U3GUS") == []


async def test_nothing_changed_is_nothing_said(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "request_changes")
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"))
    await ops.quiet()
    assert await ops.count("inbox") == 1


async def test_fill_in_the_rest_asks_for_what_is_missing(ops: Channel) -> None:
    said = await ops.mention("Export fails\nIt answers 500.")
    question = await ops.until(lambda: next((m for m in ops.said(said.ts) if "Fill in" in words(m.blocks)), None), "a question")
    await ops.slack.click("U1ANN", question, "fill_in")
    view = await ops.view("U1ANN")
    assert view.blocks[0]["block_id"] == "acceptance_criteria"
    assert "title" not in [block["block_id"] for block in view.blocks]
    await ops.slack.submit("U1ANN", view, {"acceptance_criteria": "it finishes"})
    await ops.card(said.ts, "it finishes")


@pytest.mark.parametrize(
    ("kind", "own", "others"),
    [
        ("bug", ["steps", "expected", "actual", "environment"], ["who", "what", "why"]),
        ("story", ["who", "what", "why"], ["steps"]),
    ],
)
async def test_the_form_has_the_fields_of_the_tickets_type(ops: Channel, kind: str, own: list[str], others: list[str]) -> None:
    said = await ops.mention(f"Type: {kind}\n{COMPLETE}")
    await ops.slack.click("U1ANN", await ops.card(said.ts), "request_changes")
    form = await ops.view("U1ANN")
    inputs = [block["block_id"] for block in form.blocks if block["type"] == "input"]
    assert set(own) <= set(inputs)
    assert not set(others) & set(inputs)
    await ops.slack.submit("U1ANN", form, dict.fromkeys(own, "first\nsecond"))
    shown = words((await ops.card(said.ts, "second")).blocks)
    for field in own:
        assert label(field) in shown
    await ops.slack.click("U1ANN", await ops.card(said.ts, "second"), "request_changes")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"issue_type": "task"})
    await ops.slack.click("U1ANN", await ops.card(said.ts, "Task"), "request_changes")
    again = [block["block_id"] for block in (await ops.view("U1ANN")).blocks]
    assert set(own) <= set(again)  # what they hold is filed, so it can be changed


async def test_two_people_change_the_same_field(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    for user in ("U1ANN", "U2BOB"):
        await ops.slack.click(user, card, "request_changes")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"title": "ann's title", "priority": "high"})
    await ops.card(said.ts, "ann's title")
    # bob is told what it says now; his other change, which nobody contests, and his words are kept
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"title": "bob's title", "labels": "export, urgent"})
    view = await ops.view("U2BOB")
    assert "was changed meanwhile. It now says:\nann's title" in words(view.blocks)
    assert await ops.count("inbox") == 2
    await ops.slack.submit("U2BOB", view)
    shown = words((await ops.card(said.ts, "bob's title")).blocks)
    assert "high" in shown
    assert "export, urgent" in shown


async def test_changes_of_different_fields_merge(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    for user in ("U1ANN", "U2BOB"):
        await ops.slack.click(user, card, "request_changes")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"title": "ann's title"})
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"priority": "low"})
    shown = words((await ops.card(said.ts, "low")).blocks)
    assert "ann's title" in shown


async def test_a_long_value_is_kept_whole(ops: Channel) -> None:
    problem = "word " * 1500
    said = await ops.mention(f"Title: Long\nProblem: {problem}\nAcceptance criteria: it finishes")
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "request_changes")
    view = await ops.view("U2BOB")
    assert "problem" not in [block.get("block_id") for block in view.blocks]
    assert "does not fit into a form" in words(view.blocks)
    await ops.slack.submit("U2BOB", view, {"title": "Longer"})
    await ops.card(said.ts, "Longer")
    [row] = await ops.rows("SELECT convert_from(sealed, 'UTF8') AS sealed FROM previews WHERE status = 'open'")
    assert problem.strip() in row["sealed"]


async def test_a_form_that_comes_too_late_gives_back_what_was_typed(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "request_changes")
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"title": "my long thoughts"})
    shown = words((await ops.view("U2BOB")).blocks)
    assert "filed already" in shown
    assert "my long thoughts" in shown
    await ops.slack.click("U2BOB", card, "request_changes")
    await ops.until(lambda: any("filed already" in text for text in ops.heard("U2BOB")), "an answer")


async def test_an_expired_trigger_is_answered(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    ops.slack.trigger_seconds = 0
    await ops.slack.click("U2BOB", card, "request_changes")
    await ops.until(lambda: any("took too long" in text for text in ops.heard("U2BOB")), "an answer")


async def test_setup_says_where_tickets_go_and_who_may_approve(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    old = await ops.card(said.ts)
    await ops.slack.command("U1ANN", "C1OPS", "/signoff", "setup")
    view = await ops.view("U1ANN")
    entered = {"project": "PLAT", "labels": "ops", "who": "listed", "people": ["U2BOB"], "options": ["not_requester"]}
    assert (await ops.slack.submit("U1ANN", view, entered)).ok
    card = await ops.card(said.ts, "PLAT")
    assert "Create in PLAT" in words(card.blocks)
    await ops.slack.click("U2BOB", old, "approve_draft")
    await ops.until(lambda: any("no longer current" in text for text in ops.heard("U2BOB")), "an answer")
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    assert "somebody else" in ops.heard("U1ANN")[-1]
    assert "@bob may approve" in ops.heard("U1ANN")[-1]
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as PLAT-1" in words(ops.slack.latest(card).blocks), "filed")
    again = await ops.mention("Title: Another\nProblem: It fails.\nAcceptance criteria: it works", by="U2BOB")
    assert "Labels: \nops" in words((await ops.card(again.ts)).blocks)


async def test_setup_is_for_who_may_approve(ops: Channel) -> None:
    await ops.slack.command("U3GUS", "C1OPS", "/signoff", "setup")
    await ops.slack.submit("U3GUS", await ops.view("U3GUS"), {"people": ["U3GUS"]})
    assert ops.slack.deliveries[-1][2].json["response_action"] == "errors"
    assert await ops.count("places") == 0


async def test_a_project_that_is_none_is_refused_in_the_form(ops: Channel) -> None:
    await ops.slack.command("U1ANN", "C1OPS", "/signoff", "setup")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"project": "no such; drop table"})
    assert "letter" in ops.slack.deliveries[-1][2].json["errors"]["project"]


async def test_a_direct_messages_card_goes_home_if_who_asked_may_not_approve(ops: Channel) -> None:
    await ops.slack.command("U0ADA", "C1OPS", "/signoff", "setup")
    await ops.slack.submit("U0ADA", await ops.view("U0ADA"), {"who": "listed", "people": ["U2BOB"], "options": ["home"]})
    ops.slack.add_channel("D1ANN", "", ["U1ANN"], im=True)
    direct = await ops.slack.say("U1ANN", "D1ANN", COMPLETE)
    card = await ops.until(
        lambda: next((m for m in ops.slack.channel_messages("C1OPS") if "Export fails" in words(m.blocks)), None), "a card"
    )
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")
    await ops.until(
        lambda: any("Filed as" in words(m.blocks) for m in ops.slack.thread("D1ANN", direct.ts)), "told in the conversation"
    )


async def test_who_comes_a_moment_too_late_gets_the_form_back(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    edit = Operation(field="title", value=["bob's title"], over="what it was")
    event = Event(
        event_id="T1:view:VBOB",
        session_id=f"T1:C1OPS:{said.ts}",
        origin="C1OPS",
        surface={"kind": "form"},
        answer=Reply(by="U2BOB", text="title", edits=[edit]),
    )
    await PostgresStore(ops.database).accept(event)  # as it was when the form was checked, and is no longer
    await ops.until(lambda: ops.slack.ephemerals("U2BOB"), "an answer")
    late, told = "U2BOB", ops.slack.ephemerals("U2BOB")[-1]
    assert "changed Title just before you" in words(told.blocks)
    await ops.slack.click(late, told, "reopen")
    view = await ops.view(late)
    assert "bob's title" in str(view.blocks)
    assert "was changed meanwhile" in words(view.blocks)
    await ops.slack.submit(late, view)
    await ops.card(said.ts, "bob's title")


async def test_a_comment_on_a_filed_ticket_is_made_once(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U1ANN", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")
    await ops.quiet()
    await ops.slack.click("U2BOB", ops.slack.latest(card), "comment")
    ops.slack.drop_reply("chat.postMessage")
    assert (await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"text": "also on Firefox"})).ok
    await ops.until(lambda: "also on Firefox" in words(ops.said(said.ts)[-1].blocks), "said in the thread")
    await ops.quiet()
    assert await ops.count("comments") == 1
    assert len([one for one in ops.said(said.ts) if "also on Firefox" in words(one.blocks)]) == 1


async def test_a_private_card_stays_where_it_is_while_slack_cannot_be_asked(ops: Channel) -> None:
    await ops.slack.command("U0ADA", "C1OPS", "/signoff", "setup")
    await ops.slack.submit("U0ADA", await ops.view("U0ADA"), {"options": ["home"]})
    ops.slack.add_channel("D1ANN", "", ["U1ANN"], im=True)
    ops.slack.break_http("users.info", times=2)
    direct = await ops.slack.say("U1ANN", "D1ANN", COMPLETE)
    await ops.until(lambda: [m for m in ops.slack.thread("D1ANN", direct.ts) if "Create in" in words(m.blocks)], "a card", 20)
    assert not [m for m in ops.slack.channel_messages("C1OPS") if "Export fails" in words(m.blocks)]


async def test_the_cards_of_direct_messages_follow_their_home(ops: Channel) -> None:
    ops.slack.add_channel("D1ANN", "", ["U1ANN"], im=True)
    direct = Channel(ops.slack, ops.database, "D1ANN")
    said = await ops.slack.say("U1ANN", "D1ANN", COMPLETE)
    await direct.card(said.ts, "Create in LOCAL")
    for project, options in (("PLAT", ["home"]), ("CORE", ["home"]), ("CORE", [])):
        await ops.slack.command("U0ADA", "C1OPS", "/signoff", "setup")
        await ops.slack.submit("U0ADA", await ops.view("U0ADA"), {"project": project, "options": options})
        await direct.card(said.ts, f"Create in {project if options else 'LOCAL'}")


async def test_open_cards_follow_the_settings_whoever_changed_them(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    await ops.slack.command("U2BOB", "C1OPS", "/signoff", "setup")
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"project": "PLAT"})
    await ops.card(said.ts, "Create in PLAT")


async def test_a_tracker_that_is_not_offered_is_not_settled(ops: Channel) -> None:
    await ops.slack.command("U2BOB", "C1OPS", "/signoff", "setup")
    view = await ops.view("U2BOB")
    chosen = next(block for block in view.blocks if block["block_id"] == "tracker")["element"]
    chosen["options"].append({"text": {"type": "plain_text", "text": "Nowhere"}, "value": "nowhere"})
    answer = await ops.slack.submit("U2BOB", view, {"tracker": "nowhere"})
    assert "older version" in answer.body
    assert await ops.count("places") == 0


async def test_only_an_admin_settles_where_everybodys_direct_messages_go(ops: Channel) -> None:
    ops.slack.add_channel("C6ZOE", "zoes-den", ["U4ZOE"])
    await ops.slack.command("U4ZOE", "C6ZOE", "/signoff", "setup")
    answer = await ops.slack.submit("U4ZOE", await ops.view("U4ZOE"), {"project": "DEN", "options": ["home"]})
    assert "Only an admin" in answer.json["errors"]["options"]
    assert await ops.count("places") == 0


async def test_settings_are_not_kept_when_slack_does_not_say_in_time_who_asks(ops: Channel) -> None:
    await ops.slack.command("U1ANN", "C1OPS", "/signoff", "setup")
    ops.slack.slow("conversations.members", 3.5)
    answer = await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"project": "PLAT"})
    assert "press Save again" in answer.body
    assert await ops.count("places") == 0


async def test_a_conflict_keeps_the_files_that_were_taken_off(ops: Channel) -> None:
    ops.slack.add_file("F1", "screen.png", b"pixels", "image/png")
    said = await ops.slack.say("U1ANN", "C1OPS", f"<@{ops.slack.bot_user}> {COMPLETE}", files=["F1"])
    card = await ops.card(said.ts)
    for user in ("U1ANN", "U2BOB"):
        await ops.slack.click(user, card, "request_changes")
    await ops.slack.submit("U1ANN", await ops.view("U1ANN"), {"title": "ann's title"})
    await ops.card(said.ts, "ann's title")
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"), {"title": "bob's title", "attachments": []})
    await ops.slack.submit("U2BOB", await ops.view("U2BOB"))
    await ops.card(said.ts, "bob's title")
    [row] = await ops.rows("SELECT convert_from(sealed, 'UTF8') AS sealed FROM previews WHERE status = 'open'")
    assert "screen.png" not in row["sealed"]


@pytest.mark.parametrize(
    ("entered", "field", "told"),
    [
        ({"who": "listed"}, "who", "at least one person or group"),
        ({"groups": "@ops-leads"}, "groups", "begin with S"),
    ],
)
async def test_a_rule_that_nobody_could_follow_is_refused_in_the_form(
    ops: Channel, entered: dict, field: str, told: str
) -> None:
    await ops.slack.command("U1ANN", "C1OPS", "/signoff", "setup")
    answer = await ops.slack.submit("U1ANN", await ops.view("U1ANN"), entered)
    assert told in answer.json["errors"][field]
    assert await ops.count("places") == 0
