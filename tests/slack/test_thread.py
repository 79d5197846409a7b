"""From a mention to a filed ticket: what is heard in a thread, and when Signoff speaks."""

import re
from typing import Any

import pytest

from agent import shell
from agent.conversation import Conversation, Head
from agent.replay import replay
from persistence.history import read_steps
from skills.trackers import renderers
from slack_adapter import facts
from tests.slack.channel import COMPLETE, Channel, buttons, words

PROBLEM = "Export fails for everybody\nIt answers 500."


async def test_a_mention_becomes_a_filed_ticket(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    answer = await ops.slack.click("U2BOB", card, "approve_draft")
    assert answer.status == 200
    await ops.until(lambda: [m for m in ops.said(said.ts) if words(m.blocks).endswith("Filed as *LOCAL-1*.")], "filed")
    await ops.quiet()
    card = ops.slack.latest(card)
    assert "approve_draft" not in buttons(card)
    assert "Approved by <@U2BOB>" in words(card.blocks)
    assert "*Filed as LOCAL-1*" in words(card.blocks)


async def test_app_mention_and_message_are_one_event(ops: Channel) -> None:
    ops.slack.duplicate = 2
    said = await ops.mention(PROBLEM)
    await ops.quiet()
    assert await ops.count("inbox") == 1
    assert len([one for one in ops.said(said.ts) if "must be true" in words(one.blocks)]) == 1


async def test_it_asks_and_takes_the_answer_of_who_asked_for_the_ticket(ops: Channel) -> None:
    said = await ops.mention(PROBLEM)
    await ops.until(lambda: ops.said(said.ts), "a question")
    await ops.slack.say("U1ANN", "C1OPS", "it finishes in 20 s", thread_ts=said.ts)
    card = await ops.card(said.ts)
    assert "it finishes in 20 s" in words(card.blocks)
    assert f"/p{said.ts.replace('.', '')}|" in words(card.blocks)  # the evidence links to what was said


async def test_people_may_talk_to_each_other(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    before = len(ops.said(said.ts))
    await ops.slack.say("U2BOB", "C1OPS", "Title: something else entirely", thread_ts=said.ts)
    await ops.slack.say("U1ANN", "C1OPS", "thanks, let me look", thread_ts=said.ts)
    await ops.slack.bot_says("C1OPS", "Title: from a bot", thread_ts=said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "unrelated, at the top of the channel")
    await ops.quiet()
    assert len(ops.said(said.ts)) == before
    assert "Export fails" in words(ops.cards(said.ts)[0].blocks)
    assert ops.said((await ops.top())[-1].ts) == []


async def test_whoever_speaks_to_it_is_heard(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    await ops.mention("Priority: high", by="U2BOB", thread=said.ts)
    assert "high" in words((await ops.card(said.ts, "high")).blocks)


async def test_a_mention_in_a_running_thread_reads_what_was_said_before(ops: Channel) -> None:
    top = await ops.slack.say("U1ANN", "C1OPS", "Title: Export fails\nProblem: It answers 500.")
    await ops.slack.say("U2BOB", "C1OPS", "Priority: low", thread_ts=top.ts)
    await ops.slack.bot_says("C1OPS", "Priority: lowest", thread_ts=top.ts)
    await ops.slack.say("U1ANN", "C1OPS", "Acceptance criteria: it finishes", thread_ts=top.ts)
    await ops.mention("please", thread=top.ts)
    card = await ops.card(top.ts)
    assert "it finishes" in words(card.blocks)
    assert "low" not in words(card.blocks)  # in a guided interview only who asks is read


async def test_what_people_wrote_is_read_as_they_saw_it(ops: Channel) -> None:
    ops.slack.add_usergroup("S1", "oncall", ["U2BOB"])
    text = "Title: Export &amp; import fail\nProblem: <@U2BOB> saw it in <#C1OPS> :fire: see <https://a.example/x|the log>"
    said = await ops.mention(f"{text} <!subteam^S1> a &lt;b&gt; `:fire:` 12:100:33\nAcceptance criteria: it finishes")
    shown = words((await ops.card(said.ts)).blocks)
    assert "Export & import fail" in shown
    assert "@bob saw it in #ops 🔥 see the log (https://a.example/x) @oncall a <b> `:fire:` 12:100:33" in shown


async def test_nothing_that_people_wrote_is_markup(ops: Channel) -> None:
    said = await ops.mention(
        "Title: &lt;!channel&gt; <https://evil.example|https://good.example>\n"
        "Problem: &lt;@U2BOB&gt; *bold* \u202eright to left\nAcceptance criteria: &lt;https://evil.example|x&gt;"
    )
    card = await ops.card(said.ts)
    for text in (card.text, *(block["text"]["text"] for block in card.blocks if block["type"] == "section")):
        assert not re.search(r"<(!channel|@U2BOB>|https://evil)", text)
    assert "https://good.example (https://evil.example)" in words(card.blocks)
    assert "\u202e" not in str(card.blocks)


async def test_an_edited_or_deleted_message_marks_the_evidence(ops: Channel) -> None:
    said = await ops.mention(PROBLEM)
    await ops.until(lambda: ops.said(said.ts), "a question")
    answer = await ops.slack.say("U1ANN", "C1OPS", "it finishes", thread_ts=said.ts)
    card = await ops.card(said.ts)
    await ops.slack.edit(said, f"<@{ops.slack.bot_user}> never mind")
    await ops.card(said.ts, "(edited since)")
    await ops.slack.delete(answer)
    card = await ops.card(said.ts, "(deleted since)")
    assert "it finishes" in words(card.blocks)
    await ops.quiet()
    assert ops.slack.latest(card).ts == card.ts


async def test_a_filed_thread_is_left_in_peace_until_somebody_says_new(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.slack.click("U1ANN", await ops.card(said.ts), "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.said(said.ts)[-1].blocks), "filed")
    await ops.quiet()
    before = len(ops.said(said.ts))
    await ops.slack.say("U1ANN", "C1OPS", "great, thanks", thread_ts=said.ts)
    await ops.quiet()
    assert len(ops.said(said.ts)) == before
    await ops.slack.say("U1ANN", "C1OPS", "new Title: Import fails", thread_ts=said.ts)
    await ops.until(lambda: "What is the problem" in words(ops.said(said.ts)[-1].blocks), "a question for the next ticket")


async def test_a_reply_that_comes_before_the_mention_it_follows_is_not_lost(ops: Channel) -> None:
    slack = ops.slack
    top = slack.post("C1OPS", text=f"<@{slack.bot_user}> {PROBLEM}", user="U1ANN", team="T1")
    reply = slack.post("C1OPS", text="it finishes", user="U1ANN", team="T1", thread_ts=top.ts)
    for message in (reply, top, reply):
        await slack.deliver_event(slack.workspaces[0], slack.posted_event(message))
    assert "it finishes" in words((await ops.card(top.ts)).blocks)
    await ops.quiet()
    assert await ops.count("inbox") == 2


async def test_what_was_read_with_the_thread_is_not_read_again_when_it_is_delivered_late(ops: Channel) -> None:
    slack = ops.slack
    top = slack.post("C1OPS", text="Title: Export fails", user="U1ANN", team="T1")
    late = slack.post("C1OPS", text="the export answers 500", user="U1ANN", team="T1", thread_ts=top.ts)
    await ops.mention("please", thread=top.ts)
    await ops.until(lambda: ops.said(top.ts), "a question")
    await ops.quiet()
    asked = words(ops.said(top.ts)[-1].blocks)
    assert "must be true" in asked
    assert asked.count("This is a guided interview") == 1
    await slack.deliver_event(slack.workspaces[0], slack.posted_event(late))
    await ops.quiet()
    assert ops.cards(top.ts) == []  # it was the problem, and is no answer to the question
    outcomes = await ops.rows("SELECT outcome FROM inbox ORDER BY seq")
    assert [row["outcome"] for row in outcomes] == ["replied", "read before", "read before"]
    assert "must be true" in words(ops.said(top.ts)[-1].blocks)


async def test_nothing_is_looked_up_for_what_nobody_reads(ops: Channel) -> None:
    ops.slack.add_file("F1", "holiday.png", b"sun", "image/png")
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    ops.slack.add_user("U5NEW", "new")
    ops.slack.channels["C1OPS"].members.append("U5NEW")
    await ops.slack.say("U5NEW", "C1OPS", "look <@U4ZOE>", thread_ts=said.ts, files=["F1"])
    await ops.quiet()
    assert "U4ZOE" not in [call.arguments.get("user") for call in ops.slack.calls if call.method == "users.info"]


async def test_what_the_agent_tells_people_to_say_works_for_anybody(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "chatter", thread_ts=said.ts)
    await ops.slack.say("U2BOB", "C1OPS", "*show*", thread_ts=said.ts)
    below = await ops.until(lambda: next((one for one in ops.cards(said.ts) if one.ts > card.ts), None), "the card again")
    await ops.slack.click("U1ANN", below, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.said(said.ts)[-1].blocks), "filed")
    await ops.mention("new", by="U2BOB", thread=said.ts)
    await ops.until(lambda: "What is the problem" in words(ops.said(said.ts)[-1].blocks), "a question for the next ticket")


async def test_a_message_that_passes_a_mention_on_is_no_call(ops: Channel) -> None:
    message = ops.slack.post("C1OPS", text="", user="U2BOB", team="T1")
    passed = {"attachments": [{"is_share": True, "text": f"<@{ops.slack.bot_user}> {COMPLETE}", "fallback": "a message"}]}
    await ops.slack.deliver_event(ops.slack.workspaces[0], ops.slack.posted_event(message) | passed)
    await ops.quiet()
    assert await ops.count("inbox") == 0


async def test_the_thread_of_a_filed_ticket_stays_its_requesters(ops: Channel) -> None:
    said = await ops.mention(COMPLETE)
    await ops.slack.click("U1ANN", await ops.card(said.ts), "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.said(said.ts)[-1].blocks), "filed")
    await ops.slack.say("U2BOB", "C1OPS", "New", thread_ts=said.ts)  # an answer to somebody
    await ops.slack.say("U1ANN", "C1OPS", f"new {COMPLETE}\nPriority: high", thread_ts=said.ts)
    assert "asked for by <@U1ANN>" in words((await ops.card(said.ts, "high")).blocks)


async def test_what_goes_wrong_with_one_message_holds_up_no_click(ops: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.quiet()
    real = facts.readable

    async def buggy(text: str, lookup: Any) -> str:
        if "poison" in text:
            raise KeyError("a bug")
        return await real(text, lookup)

    monkeypatch.setattr(facts, "readable", buggy)
    monkeypatch.setattr(shell, "PAUSE", 0.01)
    await ops.slack.say("U1ANN", "C1OPS", "poison", thread_ts=said.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")
    assert [one for one in ops.said(said.ts) if "could not process that message" in words(one.blocks)]


async def test_what_was_said_in_slack_replays_without_slack(ops: Channel) -> None:
    top = await ops.slack.say("U1ANN", "C1OPS", "Title: Export fails")
    await ops.slack.say("U1ANN", "C1OPS", "Problem: <@U2BOB> saw :fire: in <#C1OPS>", thread_ts=top.ts)
    await ops.mention("please", thread=top.ts)
    await ops.slack.say("U2BOB", "C1OPS", "chatter", thread_ts=top.ts)
    await ops.until(lambda: ops.said(top.ts), "a question")
    await ops.slack.say("U1ANN", "C1OPS", "it finishes", thread_ts=top.ts)
    card = await ops.card(top.ts)
    await ops.slack.click("U3GUS", card, "approve_draft")
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "new_ticket" in buttons(ops.slack.latest(card)), "filed")
    await ops.slack.click("U1ANN", ops.slack.latest(card), "new_ticket")
    await ops.quiet()
    session_id = f"T1:C1OPS:{top.ts}"
    steps = await read_steps(ops.database.engine, session_id)
    assert len(steps) == 7
    conversation = Conversation(head=Head(session_id=session_id), steps=steps)
    assert await replay(conversation, renderers()) is None
