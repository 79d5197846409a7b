"""With a model that listens: questions with buttons, and the marks of a card."""

import pytest

from tests.slack.channel import Channel, buttons, words
from tests.slack_sim import Message

TICKET = "title: Export fails\nproblem: It answers 500.\nacceptance_criteria: it finishes"
GUESSED = f"{TICKET}\nissue_type: bug\nguess environment: Safari 17"
SETTLED = "That question is settled by now"


pytestmark = pytest.mark.usefixtures("scribe")


async def asked(ops: Channel, thread: str, what: str) -> Message:
    """The message that asks this by buttons."""

    def found() -> Message | None:
        said = [one for one in ops.said(thread) if what in words(one.blocks) and "answer:0" in buttons(one)]
        return said[-1] if said else None

    message: Message = await ops.until(found, f"a question {what!r}")
    return message


def last(ops: Channel, thread: str) -> str:
    return words(ops.said(thread)[-1].blocks)


async def disagreed(ops: Channel) -> tuple[str, Message]:
    """A thread in which two people name different priorities, and the question that comes of it."""
    said = await ops.mention(f"{TICKET}\npriority: high")
    await ops.card(said.ts, "high")
    await ops.slack.say("U2BOB", "C1OPS", "priority: low", thread_ts=said.ts)
    return said.ts, await asked(ops, said.ts, "which one holds?")


# --- Questions with options ----------------------------------------------------------------------------------------------


async def test_who_disagrees_is_named_and_a_button_decides(ops: Channel) -> None:
    thread, question = await disagreed(ops)
    shown = words(question.blocks)
    assert "1. \nhigh\n2. \nlow\n*Said by* 1: @ann · 2: @bob" in shown
    assert "fill_in" not in buttons(question)
    answer = await ops.slack.click("U2BOB", question, "answer:1")
    assert answer.status == 200
    assert "low" in words((await ops.card(thread, "low")).blocks)
    assert ops.heard("U2BOB") == []


async def test_an_answer_is_taken_once_whoever_presses_and_however_often(ops: Channel) -> None:
    thread, question = await disagreed(ops)
    await ops.slack.click("U1ANN", question, "answer:1")
    payload = ops.slack.deliveries[-1][1]
    for _ in range(3):
        assert (await ops.slack.deliver_interaction(payload)).status == 200
    await ops.card(thread, "low")
    await ops.quiet()
    assert SETTLED not in last(ops, thread)
    for person in ("U1ANN", "U2BOB"):
        before = len(ops.said(thread))
        await ops.slack.click(person, question, "answer:0")
        await ops.until(lambda before=before: len(ops.said(thread)) > before, "an answer")
        assert SETTLED in last(ops, thread)
    await ops.quiet()
    assert [row["version"] for row in await ops.rows("SELECT version FROM previews WHERE status = 'open'")] == [2]


async def test_two_people_press_at_once_and_the_first_counts(ops: Channel) -> None:
    thread, question = await disagreed(ops)
    await ops.slack.click("U1ANN", question, "answer:0")
    await ops.slack.click("U2BOB", question, "answer:1")
    await ops.until(lambda: SETTLED in last(ops, thread), "an answer")
    await ops.quiet()
    [card] = ops.cards(thread)
    assert "high" in words(card.blocks)
    assert "low" not in words(card.blocks)


async def test_yes_gives_a_ticket_up_and_no_keeps_it(ops: Channel) -> None:
    said = await ops.mention(TICKET)
    await ops.card(said.ts)
    await ops.mention("forget it", thread=said.ts)
    question = await asked(ops, said.ts, "Forget this ticket?")
    assert {name: one["text"]["text"] for name, one in buttons(question).items()} == {"answer:0": "Yes", "answer:1": "No"}
    await ops.slack.click("U1ANN", question, "answer:1")
    card = await ops.card(said.ts)
    await ops.slack.click("U1ANN", question, "answer:0")
    await ops.until(lambda: SETTLED in last(ops, said.ts), "an answer")
    await ops.mention("forget it", thread=said.ts)
    again = await ops.until(lambda: [one for one in ops.said(said.ts) if "answer:0" in buttons(one)][1:], "the question again")
    await ops.slack.click("U1ANN", again[0], "answer:0")
    await ops.until(lambda: "Forgotten" in last(ops, said.ts), "it is forgotten")
    await ops.slack.click("U1ANN", card, "request_changes")
    await ops.until(lambda: any("given up" in told for told in ops.heard("U1ANN")), "an answer")
    assert ops.slack.views("U1ANN") == []


@pytest.mark.parametrize("asks", ["conflict", "forget it"])
async def test_a_question_waits_while_people_talk(ops: Channel, asks: str) -> None:
    if asks == "conflict":
        thread, question = await disagreed(ops)
    else:
        thread = (await ops.mention(TICKET)).ts
        await ops.card(thread)
        await ops.mention(asks, thread=thread)
        question = await asked(ops, thread, "Forget this ticket?")
    before = len(ops.said(thread))
    for n in range(3):
        await ops.slack.say("U2BOB", "C1OPS", f"chatter {n}", thread_ts=thread)
    await ops.quiet()
    assert len(ops.said(thread)) == before
    await ops.slack.click("U1ANN", question, "answer:0")
    await ops.quiet()
    assert SETTLED not in "".join(words(one.blocks) for one in ops.said(thread))
    assert "Forgotten" in last(ops, thread) or "high" in words(ops.cards(thread)[0].blocks)


@pytest.mark.parametrize("action", ["answer:7", "answer:999", "answer:0001", "answer:x", "answer:"])
async def test_an_option_that_is_none_answers_nothing(ops: Channel, action: str) -> None:
    thread, question = await disagreed(ops)
    value = buttons(question)["answer:0"]["value"]
    block_id = next(block["block_id"] for block in question.blocks if block["type"] == "actions")
    forged = {"type": "button", "action_id": action, "block_id": block_id, "value": value, "action_ts": "1.1"}
    await ops.slack.click("U2BOB", question, "answer:0", actions=[forged])
    await ops.quiet()
    assert ops.cards(thread) == []
    await ops.slack.click("U2BOB", (await asked(ops, thread, "which one holds?")), "answer:1")
    assert "low" in words((await ops.card(thread)).blocks)


async def test_a_button_counts_only_in_its_own_conversation(ops: Channel) -> None:
    thread, question = await disagreed(ops)
    ops.slack.add_channel("C2DEV", "dev", ["U4ZOE"])
    await ops.slack.click("U4ZOE", question, "answer:1", channel={"id": "C2DEV", "name": "dev"})
    await ops.until(lambda: ops.heard("U4ZOE"), "an answer")
    await ops.quiet()
    assert "only in its own conversation" in ops.heard("U4ZOE")[0]
    assert ops.cards(thread) == []


# --- Marks ---------------------------------------------------------------------------------------------------------------


async def test_what_nobody_said_is_marked_and_confirmed_by_one_click(ops: Channel) -> None:
    said = await ops.mention(GUESSED)
    card = await ops.card(said.ts, "Nobody said this")
    assert "1 value was said by nobody: Environment: Safari 17" in str(buttons(card)["approve_draft"]["confirm"])
    assert "*Not said:* steps to reproduce, expected, actual" in words(card.blocks)
    await ops.slack.click("U2BOB", card, "confirm_mark")
    await ops.until(lambda: "Nobody said this" not in words(ops.slack.latest(card).blocks), "no mark")
    await ops.quiet()
    now = ops.slack.latest(card)
    assert "Safari 17" in words(now.blocks)
    assert "confirm" not in buttons(now)["approve_draft"]
    assert ops.cards(said.ts) == [now]
    assert len(ops.said(said.ts)) == 1  # the card alone tells of it
    await ops.slack.click("U1ANN", card, "confirm_mark")
    await ops.slack.click("U1ANN", card, "remove_mark")
    await ops.until(lambda: len(ops.heard("U1ANN")) == 2, "two answers")
    assert all("no longer marks that" in told for told in ops.heard("U1ANN"))
    await ops.slack.click("U1ANN", card, "approve_draft")  # what would be filed is the same, so is the card
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")


async def test_what_nobody_said_is_taken_out_by_one_click(ops: Channel) -> None:
    said = await ops.mention(f"{GUESSED}\nlabels: export\nguess labels: urgent")
    card = await ops.card(said.ts, "urgent")
    marks = [block["block_id"] for block in card.blocks if block.get("block_id", "").startswith("mark-")]
    assert len(marks) == 2
    for mark in marks:
        await ops.slack.click("U2BOB", card, "remove_mark", block_id=mark)
        await ops.quiet()
    await ops.until(lambda: "Nobody said this" not in words(ops.cards(said.ts)[0].blocks), "no mark")
    shown = words(ops.cards(said.ts)[0].blocks)
    [row] = await ops.rows("SELECT convert_from(sealed, 'UTF8') AS sealed FROM previews WHERE status = 'open'")
    assert "export" in shown
    assert "urgent" not in row["sealed"]
    assert "Safari 17" not in row["sealed"]
    rows = await ops.rows("SELECT body FROM audit WHERE body LIKE '%remove %' ORDER BY seq")
    assert ["remove environment: Safari 17" in rows[0]["body"], "remove labels: urgent" in rows[1]["body"]] == [True, True]


async def test_many_marks_are_confirmed_together(ops: Channel) -> None:
    guesses = "\n".join(f"guess risks: risk {n}" for n in range(30))
    said = await ops.mention(f"{TICKET}\n{guesses}")
    card = await ops.card(said.ts, "and 25 more")
    every = next(block for block in card.blocks if block.get("block_id") == "marks")
    assert every["elements"][0]["text"]["text"] == "Confirm all 30"
    assert "30 values were said by nobody" in str(buttons(card)["approve_draft"]["confirm"])
    first = next(block["block_id"] for block in card.blocks if block.get("block_id", "").startswith("mark-"))
    await ops.slack.click("U2BOB", card, "confirm_mark", block_id=first)
    now = await ops.card(said.ts, "and 24 more")
    await ops.slack.click("U1ANN", card, "confirm_mark", block_id="marks")  # the thirty are no longer all
    await ops.until(lambda: ops.heard("U1ANN"), "an answer")
    await ops.slack.click("U1ANN", now, "confirm_mark", block_id="marks")
    await ops.until(lambda: "Nobody said this" not in words(ops.cards(said.ts)[0].blocks), "no mark")


async def test_a_forged_mark_changes_nothing(ops: Channel) -> None:
    said = await ops.mention(GUESSED)
    card = await ops.card(said.ts, "Nobody said this")
    other = await ops.mention(f"{TICKET}\nguess risks: of another ticket")
    theirs = await ops.card(other.ts, "of another ticket")
    mine, others = (buttons(one)["remove_mark"]["value"] for one in (card, theirs))
    session, digest = mine.rpartition(":")[0], others.rpartition(":")[2]
    await ops.quiet()
    drafts = await ops.rows("SELECT state FROM sessions ORDER BY session_id")
    for n, value in enumerate((f"{session}:{digest}", f"{session}:{'0' * 64}", session, f"{mine}:", "T1:C1OPS:1.1:zz", "")):
        for act in ("remove_mark", "confirm_mark"):
            forged = {"type": "button", "action_id": act, "block_id": "mark", "value": value, "action_ts": f"{n}.1"}
            await ops.slack.click("U2BOB", card, "remove_mark", actions=[forged])
    await ops.quiet()
    assert await ops.rows("SELECT state FROM sessions ORDER BY session_id") == drafts
    await ops.slack.click("U2BOB", card, "remove_mark")
    await ops.until(lambda: "Nobody said this" not in words(ops.cards(said.ts)[0].blocks), "no mark")


async def test_what_nobody_decided_stands_on_the_card_and_among_the_evidence(ops: Channel) -> None:
    thread, _ = await disagreed(ops)
    for _ in range(3):
        await ops.mention("hm", thread=thread)
        await ops.quiet()
    card = await ops.card(thread, "Undecided")
    assert "“high” (@ann) or “low” (@bob)" in words(card.blocks)
    await ops.slack.click("U1ANN", card, "show_evidence")
    assert "Undecided" in words((await ops.view("U1ANN")).blocks)


async def test_words_never_approve_and_say_where_the_button_is(ops: Channel) -> None:
    said = await ops.mention(TICKET)
    await ops.card(said.ts)
    await ops.mention("approved", thread=said.ts)
    await ops.until(lambda: "Words never approve a ticket" in last(ops, said.ts), "where the button is")
    assert await ops.count("approvals") == 0
