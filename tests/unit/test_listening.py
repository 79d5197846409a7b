"""With a model that listens: what it may change, what people are told, and what it is sent."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from agent.extract import NO_APPROVAL, NOT_YOURS, STARTED_OVER
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
    ("reply", "shown"),
    [
        ("It is approved and filed as OPS-1.", "It is approved and filed as OPS-1."),
        (":white_check_mark: *Approved by ann*.", "Approved by ann."),
        ("\x1b[2J\x1b[H✔ ~Approved~ \u202eby `ann`", "✔ Approved by ann"),
        ("Approve at https://evil.example/x and <@U1|ann>", "Approve at (a link) and @U1ann"),
        ("It stands at https://status.example/1", "It stands at https://status.example/1"),
    ],
)
async def test_the_models_own_words_are_told_as_such_and_plain(reply: str, shown: str) -> None:
    talk = Held(TICKET, heard(intent="question", reply=reply))
    await talk.say(SAID)
    assert await talk.told("is it filed? see https://status.example/1") == f"The model says: {shown}"


async def test_a_reply_of_nothing_is_not_said() -> None:
    talk = Held(TICKET, heard(intent="question", reply=" \u200b\n "))
    await talk.say(SAID)
    assert "The model says" not in await talk.told("is it filed?")


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
    assert "so I read this as a guided interview" in told
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
    assert [one["field"] for one in sent["asked"]] == ["problem"]
    assert sent["earlier"] == [{"id": "m1", "by": "ann", "text": "exports"}]
    assert sent["new"] == [{"id": "m2", "by": "bob", "text": "they fail"}]


# --- What a model may not do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "held"),
    [
        ("constraints", "cost:free for ever", "cost: free for ever"),
        ("constraints", ": drop the database", "drop the database"),
        ("constraints", "a :b", "a: b"),
        ("issue_type", "Task", "task"),
        ("labels", "urgent", "urgent"),
        ("title", "  Wire 5000 EUR ", "Wire 5000 EUR"),
    ],
)
async def test_nothing_that_nobody_said_is_without_a_mark(field: str, value: str, held: str) -> None:
    talk = Held(heard(patch(field, value, "Hi", "m1")))
    await talk.say("Hi there")
    assert [(one.field, one.value) for one in talk.draft.unsaid] == [(field, held)]


async def test_what_was_said_is_known_in_whatever_form_the_draft_holds_it() -> None:
    talk = Held(
        heard(patch("issue_type", "Bug", "a Bug", "m1"), patch("constraints", "cost:free", "cost:free", "m1", op="add"))
    )
    await talk.say("it is a Bug, cost:free")
    assert talk.draft.unsaid == []
    assert [(one.field, one.value or one.quote) for one in talk.draft.evidence] == [
        ("issue_type", "bug"),
        ("constraints", "cost: free"),
    ]


async def test_a_title_made_of_what_nobody_said_is_marked_too() -> None:
    answers = [heard(patch("problem", "Wire 5000 EUR to Mallory", "hi", "m1"))] + [heard()] * 5
    talk = Held(*answers)
    for text in ("hi, it is broken", "hm", "hm", "hm"):
        await talk.say(text)
    assert talk.draft.title == "Wire 5000 EUR to Mallory"
    assert {one.field for one in talk.draft.unsaid} == {"title", "problem"}


async def test_the_needed_fields_cannot_be_left_open_by_a_model() -> None:
    talk = Held(heard({"op": "answer", "field": "title", "how": "skip", "quote": "hi", "message": "m1"}))
    await talk.say("hi")
    assert talk.draft.skipped == []


async def test_a_model_makes_up_no_fields() -> None:
    talk = Held(heard(patch("custom.Approved by the CFO", "500", "500", "m1")))
    assert "left out 1 change" in await talk.told("it fails with 500")
    assert talk.draft.custom == {}


SAYS_LOW = heard(
    *TICKET.tool_calls[0]["args"]["operations"], patch("priority", "low", "low", "m1"), patch("steps", ["open it"])
)
AGAINST = [
    patch("priority", "urgent", "ok", "m2"),
    {"op": "set", "field": "priority", "value": [""], "message": "m2"},
    {"op": "set", "field": "priority", "value": [], "quote": "ok", "message": "m2"},
    {"op": "set", "field": "steps", "value": [], "quote": "ok", "message": "m2"},
    {"op": "remove", "field": "steps", "value": ["open it"], "quote": "ok", "message": "m2"},
    {"op": "replace", "field": "steps", "old": "open it", "value": ["ok"], "quote": "ok", "message": "m2"},
    {"op": "answer", "field": "priority", "value": ["urgent"], "quote": "ok", "message": "m2"},
]


@pytest.mark.parametrize("change", AGAINST, ids=range(len(AGAINST)))
async def test_what_others_said_is_neither_overwritten_nor_taken_out_by_the_way(change: dict[str, Any]) -> None:
    talk = Held(SAYS_LOW, heard(change))
    await talk.say(SAID + ", priority low, first open it")
    before = talk.draft
    assert "left out 1 change" in await talk.told("ok", by="bob")
    assert talk.draft == before


async def test_somebody_may_have_an_item_of_others_taken_out() -> None:
    talk = Held(
        SAYS_LOW, heard({"op": "remove", "field": "steps", "value": ["open it"], "quote": "drop the step", "message": "m2"})
    )
    await talk.say(SAID + ", priority low, first open it")
    await talk.say("drop the step that says to start", by="bob")
    assert talk.draft.steps == []


@pytest.mark.parametrize(
    "change",
    [
        {"op": "answer", "field": "priority", "value": ["low"], "quote": "low", "message": "m1"},
        {"op": "answer", "field": "priority", "value": ["high"], "quote": "hm", "message": "m3"},
        {"op": "set", "field": "priority", "value": ["high"], "quote": "hm", "message": "m3"},
        {"op": "set", "field": "priority", "value": [], "quote": "hm", "message": "m3"},
    ],
)
async def test_only_an_answer_settles_what_people_say_differently(change: dict[str, Any]) -> None:
    talk = Held(SAYS_LOW, heard(patch("priority", "urgent", "urgent", "m2")), heard(change))
    await talk.say(SAID + ", priority low, first open it")
    await talk.say("it is urgent", by="bob")
    await talk.say("hm", by="cat")
    assert [one.field for one in talk.draft.conflicts] == ["priority"]
    assert talk.draft.priority == "low"


async def test_an_open_conflict_is_not_left_open_by_the_way() -> None:
    skip = {"op": "answer", "field": "priority", "how": "skip", "quote": "urgent", "message": "m2"}
    talk = Held(SAYS_LOW, heard(patch("priority", "urgent", "urgent", "m2"), skip))
    await talk.say(SAID + ", priority low, first open it")
    await talk.say("it is urgent", by="bob")
    assert talk.kinds() == ["say", "question"]


async def test_several_people_say_a_long_text_line_by_line() -> None:
    both = "the export fails with 500 since Monday\nalso happens in Safari"
    talk = Held(TICKET, heard(patch("problem", both, "also happens in Safari", "m2")))
    await talk.say(SAID)
    await talk.say("also happens in Safari", by="bob")
    assert (talk.draft.problem, talk.draft.unsaid, talk.draft.conflicts) == (both, [], [])
    assert [one.author for one in talk.draft.evidence if one.field == "problem"] == ["ann", "bob"]


@pytest.mark.parametrize("text", ["yes, it happens in prod too", "sure, I can look", "ja, bei mir auch", "yes"])
async def test_what_people_say_to_each_other_gives_up_no_draft(text: str) -> None:
    talk = Held(TICKET, heard())
    await talk.say(SAID)
    await talk.say("never mind")
    await talk.say(text, by="bob", addressed=False)
    assert talk.draft.title


@pytest.mark.parametrize("intent", ["show", "start_over", "forget", "question"])
async def test_a_model_that_mistakes_talk_for_orders_does_not_fill_the_thread(intent: str) -> None:
    talk, shown = Held(TICKET, heard(intent=intent, reply="Look!")), 0
    await talk.say(SAID)
    for number in range(5):
        shown += len(await talk.say(f"aside {number}", by="bob", addressed=False))
    assert shown == 0


# --- What is deleted, and what is too much ----------------------------------------------------------------------------------


async def test_deleted_words_are_sent_no_more_and_say_nothing_any_more() -> None:
    talk = Held(TICKET, heard(patch("priority", "high", "priority high", "m1")))
    await talk.say(SAID + ", priority high, hunter2")
    await talk.send(Reply(by="ann", amends="deleted", about="m1"))
    await talk.say("anything else?")
    assert "hunter2" not in talk.request
    assert talk.draft.priority == ""
    assert all(one.changed == "deleted" for one in talk.draft.evidence)


async def test_amendments_take_no_room_of_what_was_said() -> None:
    talk = Held(TICKET, heard())
    await talk.say(SAID)
    for _ in range(6):
        await talk.send(Reply(by="ann", amends="edited", about="m1"))
    await talk.say("anything else?")
    assert [one["id"] for one in json.loads(str(talk.model.requests[-1][1].content))["earlier"]] == ["m1"]


async def test_how_many_messages_were_too_many_to_keep_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.asking.REST", 0.0)
    talk = Held(TICKET, ValueError("no JSON"))
    await talk.say(SAID)
    for number in range(25):
        await talk.say(f"and another thing, number {number}")
    assert talk.turn.graph
    [card] = [show for show in await talk.say("show") if show["kind"] == "preview"]
    assert card["unread"] == 25
    talk.model.answers = [heard()]
    assert "the 5 before them are too many" in await talk.told("and now?")


async def test_the_tokens_of_a_provider_are_taken_with_care() -> None:
    for counted, spent in ((10**10, 2**31 - 1), (-5, None), ("12", None), ([], None), (1.5, None)):
        answer = heard()
        answer.usage_metadata = {"input_tokens": counted, "output_tokens": 1, "total_tokens": 1}  # type: ignore[typeddict-item]
        talk = Held(answer)
        await talk.say("hello")
        assert talk.turn.graph
        [call] = talk.turn.graph.calls
        assert call.input_tokens == (spent or call.characters // 4)
