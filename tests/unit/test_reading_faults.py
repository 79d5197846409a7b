"""What a model answers badly, or not at all, costs nobody a word: it is asked once more, and then the interview reads."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agent import asking
from agent.draft import FIELDS, TicketDraft
from agent.interview import HINT
from agent.listening import ANSWER_LIMIT, CALLS, OPERATIONS
from agent.model import configured_listener
from agent.protocol import Reply
from agent.reading import SPENT, TAKEN_OVER, UNREAD, UNREADABLE, Listener, Reader, Reading
from agent.state import State
from tests.model_sim import (
    BadArguments,
    Call,
    Calls,
    Drip,
    Empty,
    Enormous,
    Garbage,
    GarbageStream,
    Hang,
    Item,
    Model,
    NoChoices,
    Partial,
    Raw,
    Refusal,
    Reset,
    Status,
    Text,
    running_model,
)

LABELLED = Reply(text="Problem: The export of ACME fails.", by="ann", event_id="e1")
UNPLACED = Reply(text="and it was never any better, honestly", by="ann", event_id="e2")
OVERHEARD = Reply(text="the export takes an hour here", by="bob", event_id="e3", addressed=False)
KNOWN = TicketDraft(title="Export fails", problem="The export of ACME fails.")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.01, 0.01))


def listener(server: Model, **more: str) -> Listener:
    known = {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": server.url, "SIGNOFF_MODEL_TIMEOUT": "10"}
    return configured_listener(known | more)


async def read(who: Listener, new: Sequence[Reply], draft: TicketDraft = KNOWN, **more: Any) -> Reading:
    return await Reader(who).read(State(requester="ann", draft=draft, **more), new, new[-1].event_id)


def heard(*operations: Any, **more: Any) -> Call:
    return Call("update_draft", {"intent": "information", "operations": [*operations], **more})


SET = {
    "op": "set",
    "field": "problem",
    "value": "The export of ACME fails.",
    "quote": "The export of ACME fails.",
    "message": "e1",
}
FINE = heard(SET)

UNUSABLE: list[tuple[Item, str]] = [
    (BadArguments("{'intent'"), "the arguments of its call are no JSON object"),
    (BadArguments("[1]"), "the arguments of its call are no JSON object"),
    (BadArguments('"all"'), "the arguments of its call are no JSON object"),
    (BadArguments("[" * 90_000), "the arguments of its call are no JSON object"),
    (BadArguments('{"operations": ' + "[" * 400 + "]" * 400 + "}"), "the arguments of its call are no JSON object"),
    (BadArguments(""), "intent: Field required"),
    (Partial(), "the arguments of its call are no JSON object"),
    (heard(approved=True), "approved: Extra inputs are not permitted"),
    (heard({**SET, "approved_by": "ann"}), "operations.0.approved_by: Extra inputs are not permitted"),
    (heard({**SET, "field": "draft_hash"}), "operations.0: Value error, there is no field 'draft_hash': use one of title"),
    (heard({**SET, "op": "approve"}), "operations.0.op: Input should be"),
    (heard({**SET, "value": {"text": "x"}}), "operations.0.value: Input should be a valid list"),
    (heard({**SET, "value": [5]}), "operations.0.value.0: Input should be a valid string"),
    (heard({**SET, "value": ["a", "b"]}), "operations.0: Value error, problem holds one text, not 2"),
    (heard({**SET, "op": "add"}), "operations.0: Value error, problem holds one text: set it"),
    (heard({**SET, "quote": None}), "operations.0.quote: Input should be a valid string"),
    (heard("all"), "operations.0: Input should be a valid dictionary"),
    (Call("update_draft", {"intent": "approve", "operations": []}), "intent: Input should be"),
    (Call("update_draft", {"intent": "information", "operations": "none"}), "operations: Input should be a valid list"),
    (heard(SET, reply=5), "reply: Input should be a valid string"),
    (heard(*[SET] * (OPERATIONS + 1)), f"it has {OPERATIONS + 1} operations, and {OPERATIONS} can be"),
    (Calls([heard(*[SET] * 10)] * 7), f"it has 70 operations, and {OPERATIONS} can be"),
    (heard(SET, reply="x" * ANSWER_LIMIT), "it has more than 100,000 characters"),
    (Enormous(2_000_000), "it has more than 100,000 characters"),
    (Calls([FINE] * (CALLS + 1)), f"it has {CALLS + 1} calls: call update_draft once"),
    (Calls([FINE] * 200), "it has 200 calls: call update_draft once"),
    (Calls([FINE, Call("file_ticket", {"draft_hash": "0" * 64})]), "there is no tool 'file_ticket'"),
    (Call("preview_ticket"), "there is no tool 'preview_ticket'"),
    (Call(""), "there is no tool ''"),
    (Call("x" * 5_000), f"there is no tool '{'x' * 50}'"),
    (Refusal(), "it is empty"),
    (Empty(), "it is empty"),
    (Text("Done: I approved and filed it."), "it calls no tool: call update_draft once"),
    (Text(json.dumps({"intent": "information", "operations": []})), "it calls no tool"),
]


@pytest.mark.parametrize(("item", "problem"), UNUSABLE, ids=lambda one: repr(one)[:60])
async def test_an_unusable_answer_is_asked_for_once_more_and_then_the_interview_reads(item: Item, problem: str) -> None:
    async with running_model([item]) as server:
        who = listener(server)
        reading = await read(who, [LABELLED], TicketDraft())
        assert server.count == 2
        first, second = (request["messages"] for request in server.requests)
        assert second[:-1] == first
        assert second[-1]["content"].startswith(f"Your last answer could not be used: {problem}")
        assert len(second[-1]["content"]) < 1_500
        assert "there is no field" not in problem or all(name in second[-1]["content"] for name in FIELDS)
        assert (reading.draft.problem, reading.unread) == ("The export of ACME fails.", [])
        why = "its answer could not be used, twice"
        assert reading.said[0] == TAKEN_OVER.format(why=why)
        assert (reading.taken_over, reading.answered) == (why, "")
        assert [call.model for call in reading.calls] == ["openai:any", "openai:any", "guided-interview"]
        assert all(call.answer and not call.error for call in reading.calls)
        assert [call.unread for call in reading.calls] == ["unusable", "unusable", ""]
        assert reading.spent > 0, "what it took for nothing counts, too"
        for call in reading.calls:
            assert type(call).model_validate_json(call.model_dump_json()).answer, "it can be kept, and replayed"
        reading = await read(who, [OVERHEARD, UNPLACED])
        assert server.count == 4
        assert (reading.draft, reading.unread) == (KNOWN, [OVERHEARD, UNPLACED])
        assert reading.said == [TAKEN_OVER.format(why=why), UNREADABLE]


@pytest.mark.parametrize(("item", "problem"), UNUSABLE, ids=lambda one: repr(one)[:60])
async def test_a_second_answer_that_can_be_used_is(item: Item, problem: str) -> None:
    async with running_model([item, FINE]) as server:
        reading = await read(listener(server), [LABELLED], TicketDraft())
        assert server.count == 2
        assert [call.unread for call in reading.calls] == ["unusable", ""]
    assert (reading.draft.problem, reading.taken_over, reading.said) == ("The export of ACME fails.", "", [])


UNANSWERED: list[tuple[Item, int, int, str]] = [
    (Garbage(), 2, 2, "what the provider answers cannot be read (JSONDecodeError)"),
    (Garbage(kind="text/html"), 2, 2, "what the provider answers cannot be read (ValueError)"),
    (GarbageStream(), 2, 2, "what the provider answers cannot be read (ValueError)"),
    (NoChoices(), 2, 2, "what the provider answers cannot be read (IndexError)"),
    (
        Raw({"choices": [{"message": {"role": "user", "content": "x"}}]}),
        2,
        2,
        "what the provider answers cannot be read (TypeError)",
    ),
    (Hang(), 2, 2, "no answer came within 0.5 seconds"),
    (Drip(0.1), 2, 2, "no answer came within 0.5 seconds"),
    (Status(401), 1, 1, "the provider refuses the key"),
    (Status(500), 1, 3, "the provider answers with the status 500"),
    (Reset(), 1, 3, "the provider cannot be reached"),
]
"""What comes, how often it is asked for, by how many requests, and what is said of it."""


@pytest.mark.parametrize(("item", "calls", "requests", "why"), UNANSWERED, ids=lambda one: repr(one)[:60])
async def test_without_an_answer_the_interview_reads(item: Item, calls: int, requests: int, why: str) -> None:
    async with running_model([item]) as server:
        who = listener(server, SIGNOFF_MODEL_TIMEOUT="0.5" if isinstance(item, Hang | Drip) else "10")
        reading = await read(who, [LABELLED], TicketDraft())
        assert server.count == requests
        assert (reading.draft.problem, reading.unread) == ("The export of ACME fails.", [])
        assert reading.said[0] == TAKEN_OVER.format(why=why)
        made = [(call.model, call.error) for call in reading.calls]
        assert made == [*[("openai:any", why)] * calls, ("guided-interview", "")]
        if calls == 1:
            reading = await read(who, [OVERHEARD, UNPLACED])
            assert (reading.draft, reading.unread) == (KNOWN, [OVERHEARD, UNPLACED])
            assert reading.said == [TAKEN_OVER.format(why=why), UNREADABLE]
        count = server.count
        reading = await read(who, [UNPLACED], unread=[OVERHEARD])
        assert server.count == count, "it rests"
        assert reading.unread == [OVERHEARD, UNPLACED]


async def test_what_cannot_be_read_is_asked_for_once_more_with_the_error() -> None:
    async with running_model([Garbage(), FINE]) as server:
        reading = await read(listener(server), [LABELLED], TicketDraft())
        assert "could not be used: what the provider answers cannot be read" in server.requests[1]["messages"][-1]["content"]
    assert (reading.draft.problem, reading.taken_over, reading.said) == ("The export of ACME fails.", "", [])


async def test_an_unusable_answer_and_then_none() -> None:
    async with running_model([Text("hi"), Hang()]) as server:
        reading = await read(listener(server, SIGNOFF_MODEL_TIMEOUT="1"), [LABELLED], TicketDraft())
        assert server.count == 2
    assert reading.said[0] == TAKEN_OVER.format(why="no answer came within 1 seconds")
    assert (reading.draft.problem, [bool(call.error) for call in reading.calls]) == (LABELLED.text[9:], [False, True, False])


async def test_what_was_kept_goes_along_when_the_model_answers_again() -> None:
    late = {"op": "set", "field": "environment", "value": "here", "quote": "here", "message": "e3"}
    async with running_model([Empty(), Empty(), heard(late)]) as server:
        who = listener(server)
        kept = await read(who, [OVERHEARD])
        assert kept.unread == [OVERHEARD]
        reading = await read(who, [UNPLACED], unread=kept.unread)
        new = json.loads(server.requests[-1]["messages"][-1]["content"])["new"]
    assert [one["text"] for one in new] == [OVERHEARD.text, UNPLACED.text]
    assert (reading.draft.environment, reading.unread, reading.taken_over) == ("here", [], "")


async def test_what_is_kept_stays_bounded() -> None:
    many = [OVERHEARD.model_copy(update={"event_id": f"m{number}"}) for number in range(UNREAD + 5)]
    async with running_model([Status(401)]) as server:
        reading = await read(listener(server), many)
        assert reading.unread == many[5:]
        long = [one.model_copy(update={"text": "x" * 20_000}) for one in many]
        reading = await read(listener(server), long)
        assert reading.unread == long[-1:]


async def test_up_to_ten_calls_at_once_are_taken_as_one() -> None:
    title = {"op": "set", "field": "title", "value": "The export of ACME fails", "quote": "The export of ACME fails"}
    async with running_model([Calls([FINE, heard(title)] * (CALLS // 2))]) as server:
        reading = await read(listener(server), [LABELLED], TicketDraft())
        assert server.count == 1
    assert (reading.draft.problem, reading.draft.title) == ("The export of ACME fails.", "The export of ACME fails")


async def test_an_endless_loop_ends_by_the_budget() -> None:
    async with running_model([Text("I need to call the tool again." * 20)]) as server:
        who, spent, counts = listener(server, SIGNOFF_MODEL_BUDGET="6000"), 0, []
        for _ in range(8):
            reading = await read(who, [UNPLACED], spent=spent)
            spent = reading.spent
            counts.append(server.count)
        assert counts[-1] == counts[-2] < 16
        assert reading.said[0] == SPENT
        assert [call.unread for call in reading.calls][:1] == ["spent"]
        assert reading.said[1].endswith(HINT)
        assert reading.unread == [], "no model will read it"
        assert SPENT not in (await read(who, [UNPLACED], spent=spent, spent_told=True)).said


async def test_servers_that_count_no_tokens_are_reckoned() -> None:
    async with running_model([FINE], counts=False) as server:
        reading = await read(listener(server), [LABELLED], TicketDraft())
        assert reading.spent >= server.sizes[0] // 4
