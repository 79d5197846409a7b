"""With a model that listens: what it may change, what people are told, and what it is sent."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from agent.extract import NO_APPROVAL, NOT_SO, NOT_YOURS, STARTED_OVER
from agent.listening import CALLS, OPERATIONS, Unusable, heard_in
from agent.operations import Operation
from agent.protocol import Decision, Found, Likeness, Reply
from agent.reading import LEFT_OUT
from tests.scripted import Held, heard, patch

TICKET = heard(
    patch("issue_type", "bug", "fails with 500"),
    patch("title", "the export fails with 500", message="m1"),
    patch("problem", "the export fails with 500 since Monday", message="m1"),
)
SAID = "Hi, the export fails with 500 since Monday"


async def test_what_people_say_is_in_the_draft_with_who_said_it() -> None:
    talk = Held(TICKET)
    shows = await talk.say(SAID)
    assert talk.kinds() == ["preview"]
    assert shows[0]["unsaid"] == []
    assert shows[0]["not_said"] == ["steps", "expected", "actual", "environment"]
    assert {(one.field, one.author, one.message) for one in talk.draft.evidence} == {
        (field, "ann", "m1") for field in ("issue_type", "title", "problem")
    }
    assert len(talk.model.requests) == 1


@pytest.mark.parametrize(
    "lie",
    [
        patch("priority", "high", "it is of high priority", "m2"),
        patch("priority", "high", "high", "m1"),  # said, and elsewhere
        patch("priority", "high", "high", "m9"),
        patch("priority", "high", "hig", "m2"),
        {"op": "set", "field": "priority", "value": ["high"], "message": "m9"},
        {"op": "remove", "field": "labels", "value": ["web"], "message": "m2"},
        {"op": "answer", "field": "priority", "how": "skip", "message": "m2"},
    ],
)
async def test_a_quote_that_is_not_in_its_message_is_thrown_away_and_counted(lie: dict[str, Any]) -> None:
    talk = Held(heard(patch("labels", ["web"], "web", "m1", op="add")), heard(lie, patch("title", "exports", "exports", "m2")))
    await talk.say("web")
    assert LEFT_OUT.format(number=1, s="") in await talk.told("the exports are of high value")
    assert (talk.draft.priority, talk.draft.labels, talk.draft.skipped, talk.draft.title) == ("", ["web"], [], "exports")
    assert talk.turn.graph
    assert [call.dropped for call in talk.turn.graph.calls] == [1]


async def test_what_no_quote_says_is_marked_until_somebody_confirms_it() -> None:
    talk = Held(TICKET, heard(patch("environment", "production", "in prod", "m2")))
    await talk.say(SAID)
    [card] = await talk.say("that is in prod")
    assert card["unsaid"] == [{"field": "environment", "value": "production"}]
    shows = await talk.send(Reply(by="bob", edits=[Operation(op="confirm", field="environment", value=["production"])]))
    assert [show["kind"] for show in shows] == ["marks"]  # the card stands: what would be filed is the same
    assert talk.draft.unsaid == []
    assert [one.author for one in talk.draft.evidence if one.field == "environment"] == ["bob"]


async def test_a_marked_value_is_taken_out_by_hand() -> None:
    talk = Held(TICKET, heard(patch("environment", "production", "in prod", "m2")))
    await talk.say(SAID)
    await talk.say("that is in prod")
    [card] = await talk.send(Reply(by="bob", edits=[Operation(field="environment", value=[])]))
    assert card["unsaid"] == []
    assert "environment" not in card["sealed"]["fields"]


async def test_what_people_say_differently_is_asked_about_and_not_settled() -> None:
    talk = Held(
        heard(*TICKET.tool_calls[0]["args"]["operations"], patch("priority", "low", message="m1")),
        heard(patch("priority", "urgent", "urgent", "m2")),
        heard({**patch("priority", "urgent", "urgent", "m3"), "op": "answer"}),
    )
    await talk.say(SAID + ", priority low")
    shows = await talk.say("no way, this is urgent", by="bob")
    [question] = shows[0]["questions"]
    assert (question["options"], question["by"], talk.draft.priority) == (["low", "urgent"], ["ann", "bob"], "low")
    await talk.say("urgent, says our contract: 4 hours", by="cat")
    assert (talk.draft.priority, talk.draft.conflicts, talk.kinds()) == ("urgent", [], ["preview"])


async def test_a_statement_that_is_called_an_answer_settles_nothing() -> None:
    talk = Held(
        heard(*TICKET.tool_calls[0]["args"]["operations"], patch("priority", "low", message="m1")),
        heard({**patch("priority", "urgent", "urgent", "m2"), "op": "answer"}),
    )
    await talk.say(SAID + ", priority low")
    await talk.say("no way, this is urgent", by="bob")
    assert (talk.draft.priority, [one.field for one in talk.draft.conflicts]) == ("low", ["priority"])


async def test_who_said_it_may_correct_it() -> None:
    talk = Held(
        heard(*TICKET.tool_calls[0]["args"]["operations"], patch("priority", "low", message="m1")),
        heard(patch("priority", "urgent", "urgent", "m2"), intent="correction"),
    )
    await talk.say(SAID + ", priority low")
    await talk.say("sorry, I meant urgent")
    assert (talk.draft.priority, talk.draft.conflicts) == ("urgent", [])


@pytest.mark.parametrize("text", ["approved", "LGTM", "ship it", "I approve this", "go ahead please", "👍"])
@pytest.mark.parametrize("intent", ["approval", "information", "show"])
async def test_words_never_approve_and_people_are_told_where_the_button_is(text: str, intent: str) -> None:
    talk = Held(TICKET, heard(intent=intent))
    await talk.say(SAID)
    assert NO_APPROVAL in await talk.told(text)
    assert talk.turn.graph
    assert talk.turn.graph.decision is None


@pytest.mark.parametrize(
    ("reply", "claims"),
    [
        ("It is approved and filed as OPS-1.", True),
        ("Done! I submitted it.", True),
        ("No, nothing is filed.", False),
        ("It was not approved, and it can be filed by the button.", False),
    ],
)
async def test_a_model_that_says_it_is_filed_is_corrected(reply: str, claims: bool) -> None:
    talk = Held(TICKET, heard(intent="question", reply=reply))
    await talk.say(SAID)
    assert (NOT_SO in await talk.told("is it filed?")) == claims


async def test_a_draft_is_given_up_only_after_a_yes() -> None:
    talk = Held(TICKET, heard(intent="start_over"))
    await talk.say(SAID)
    [question] = (await talk.say("scrap all of that, another try"))[0]["questions"]
    assert question["options"] == ["Yes", "No"]
    assert talk.draft.title
    assert NOT_YOURS in await talk.told("Yes", by="eve", question=question["id"])
    assert talk.draft.title
    assert STARTED_OVER in await talk.told("Yes", question=question["id"])
    assert talk.draft.title == ""


async def test_a_ticket_that_is_there_is_offered_and_links_instead() -> None:
    talk = Held(TICKET)
    talk.found = Found(
        tickets=[Likeness(key="OPS-7", url="https://example.com/OPS-7", title="Export: 500", why="the same words")]
    )
    shows = await talk.say(SAID)
    assert talk.kinds() == ["similar", "preview"]
    click = Decision(type="reject", draft_hash=shows[1]["draft_hash"], by="ann", same_as="OPS-7")
    assert [show["row"] for show in await talk.send(click)] == ["unlinked"]  # nobody read the ticket


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage(""),
        AIMessage("Sure! I updated the draft."),
        AIMessage("", tool_calls=[{"name": "file_ticket", "args": {}, "id": "1"}]),
        AIMessage("", invalid_tool_calls=[{"name": "update_draft", "args": "{", "id": "1", "error": "?"}]),
        heard(patch("colour", "red")),
        heard({"op": "approve", "field": "title"}),
        heard({**patch("title", "x"), "confidence": 1}),
        heard(patch("title", ["a", "b"])),
        heard(patch("title", "a", op="add")),
        heard(intent="file it"),
        heard(*[patch("title", "x")] * (OPERATIONS + 1)),
        heard(patch("problem", "x" * 100_001)),
        AIMessage("", tool_calls=heard().tool_calls * (CALLS + 1)),
        AIMessage("", tool_calls=[{"name": "update_draft", "args": {"operations": "all"}, "id": "1"}]),
    ],
    ids=range(14),
)
async def test_an_answer_that_cannot_be_used_is_asked_for_once_more_and_then_the_interview_reads(answer: AIMessage) -> None:
    with pytest.raises(Unusable):
        heard_in(answer)
    talk = Held(answer)
    told = await talk.told("Problem: the export fails")
    assert len(talk.model.requests) == 2
    assert "Your last answer could not be used" in talk.request
    assert "I took it as a guided interview does" in told
    assert talk.draft.problem == "the export fails"


async def test_a_second_answer_that_can_be_used_is() -> None:
    talk = Held(AIMessage(""), TICKET)
    await talk.say(SAID)
    assert talk.draft.title == "the export fails with 500"
    assert talk.kinds() == ["preview"]


async def test_what_nobody_could_read_is_kept_and_read_when_the_model_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.asking.REST", 0.0)
    place = heard(patch("environment", "the EU one", message="m2"))
    talk = Held(TICKET, *[ValueError("no JSON")] * 2, place)
    await talk.say(SAID)
    assert "what the provider answers cannot be read" in await talk.told("it is the EU one")
    [card] = [show for show in await talk.say("show") if show["kind"] == "preview"]
    assert card["unread"] == 1
    await talk.say("any news?")
    assert talk.draft.environment == "the EU one"
    assert [(one.author, one.message) for one in talk.draft.evidence if one.field == "environment"] == [("ann", "m2")]
    assert talk.turn.graph
    assert talk.turn.graph.state.get("unread", []) == []


async def test_a_spent_budget_makes_it_an_interview() -> None:
    talk = Held(TICKET, budget=10)
    await talk.say(SAID)
    assert "I am a guided interview" in await talk.told("Priority: high")
    assert (talk.draft.priority, len(talk.model.requests)) == ("high", 1)


async def test_what_it_is_sent_stays_flat() -> None:
    talk, sizes = Held(heard()), []
    for turn in range(60):
        await talk.say(f"message {turn:02}: " + "words " * 40, by="ann")
        sizes.append(len(talk.request))
    assert max(sizes[10:]) < 1.02 * min(sizes[10:])


async def test_it_is_sent_what_is_pending_and_what_was_said_and_no_evidence() -> None:
    talk = Held(heard(patch("title", "exports", message="m1")), heard())
    await talk.say("exports")
    await talk.say("they fail", by="bob")
    sent = json.loads(str(talk.model.requests[-1][1].content))
    assert sent["draft"]["title"] == "exports"
    assert "evidence" not in sent["draft"]
    assert [one["field"] for one in sent["asked"]] == ["problem", "acceptance_criteria"]
    assert sent["earlier"] == [{"id": "m1", "by": "ann", "text": "exports"}]
    assert sent["new"] == [{"id": "m2", "by": "bob", "text": "they fail"}]
