import itertools
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import (
    AskRequest,
    Decision,
    FileRequest,
    FilingOutcome,
    PreviewRequest,
    Question,
    Reply,
    Unreadable,
    from_hitl,
    matches_card,
    read_answer,
    to_hitl,
)
from agent.rules import (
    DECISIONS,
    JUDGEMENTS,
    MOVES,
    RESULTS,
    SETTLEMENTS,
    STEPS,
    Click,
    Moving,
    Result,
    Row,
    Settling,
    Situation,
    Step,
    first,
    judge,
)
from agent.sealing import SealedTicket

ASK = AskRequest(questions=[Question(field="title", text="What?")])
SEALED = SealedTicket(payload={"type": "story", "title": "Old", "fields": {"risks": ["r"], "priority": "low"}})
PREVIEW = PreviewRequest(preview_id="p1", draft_hash=SEALED.draft_hash, version=1, sealed=SEALED.payload)
FILE = FileRequest(preview_id="p1", draft_hash=SEALED.draft_hash, approved_by="ann")


def every(kind: type[Any]) -> list[Any]:
    """All combinations of the facts."""
    hints = get_type_hints(kind)
    values = [(False, True) if hints[one.name] is bool else get_args(hints[one.name]) for one in fields(kind)]
    return [kind(*facts) for facts in itertools.product(*values)]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [(DECISIONS, Situation), (JUDGEMENTS, Click), (SETTLEMENTS, Settling), (STEPS, Step), (RESULTS, Result), (MOVES, Moving)],
)
def test_every_row_is_reached_and_every_situation_has_one(rows: tuple[Row, ...], kind: type[Any]) -> None:
    reached = {first(rows, facts).name for facts in every(kind)}
    assert reached == {row.name for row in rows}
    assert rows[-1].when == {}


def test_only_an_allowed_click_on_the_open_card_of_an_undecided_ticket_approves() -> None:
    for click in every(Click):
        decided = judge(click).then == "approved"
        current = click.card == "open" and not click.late
        assert decided == (click.allowed and click.act == "approve" and current and click.standing != "approved"), click


def test_only_an_approval_leads_to_filing_and_only_once() -> None:
    for situation in every(Situation):
        if first(DECISIONS, situation).then == "file_ticket":
            assert situation.approved
            assert situation.outcome != "filed"


def test_a_rejected_ticket_is_not_shown_again_unasked() -> None:
    for situation in every(Situation):
        if situation.rejected_same and not situation.asked_to_show:
            assert first(DECISIONS, situation).then != "preview_ticket"


@pytest.mark.parametrize("request_", [ASK, PREVIEW, FILE])
def test_requests_travel_in_the_form_that_interfaces_show(request_: Any) -> None:
    form = to_hitl(request_)
    assert from_hitl(form) == request_
    [action], [config] = form["action_requests"], form["review_configs"]
    assert action["name"] == config["action_name"]
    assert set(config["allowed_decisions"]) <= {"approve", "edit", "reject", "respond"}


APPROVALS = [
    {"decisions": [{"type": "approve"}]},
    [{"type": "accept", "args": None}],
    {"type": "approve"},
    {"type": "accept", "args": {"action": "preview_ticket", "args": {}}},
]


@pytest.mark.parametrize("raw", APPROVALS, ids=str)
def test_approve_in_all_spellings(raw: Any) -> None:
    answer = read_answer(raw, PREVIEW)
    assert isinstance(answer, Decision)
    assert answer.type == "approve"
    assert matches_card(answer, PREVIEW)


@pytest.mark.parametrize(
    "raw",
    [
        {"decisions": [{"type": "reject", "message": "too vague"}]},
        [{"type": "ignore", "reason": "too vague"}],
        {"type": "reject", "reason": "too vague"},
    ],
    ids=str,
)
def test_reject_in_all_spellings(raw: Any) -> None:
    answer = read_answer(raw, PREVIEW)
    assert isinstance(answer, Decision)
    assert (answer.type, answer.reason) == ("reject", "too vague")


@pytest.mark.parametrize(
    "raw",
    [
        "Title: New",
        {"decisions": [{"type": "respond", "message": "Title: New"}]},
        [{"type": "response", "args": "Title: New"}],
        {"type": "reply", "text": "Title: New"},
        {"text": "Title: New"},
    ],
    ids=str,
)
@pytest.mark.parametrize("request_", [ASK, PREVIEW])
def test_respond_in_all_spellings(raw: Any, request_: Any) -> None:
    answer = read_answer(raw, request_)
    assert isinstance(answer, Reply)
    assert answer.text == "Title: New"


EDITED = {
    **PREVIEW.model_dump(),
    "sealed": {**SEALED.payload, "title": "New", "fields": {"risks": ["r", "s"], "priority": "low"}},
}


@pytest.mark.parametrize(
    "raw",
    [
        {"decisions": [{"type": "edit", "edited_action": {"name": "preview_ticket", "args": EDITED}}]},
        [{"type": "edit", "args": {"action": "preview_ticket", "args": EDITED}}],
        {"type": "edit", "args": {"title": "New", "risks": ["r", "s"]}},
    ],
    ids=["studio", "inbox", "bare"],
)
def test_edit_in_all_spellings(raw: Any) -> None:
    answer = read_answer(raw, PREVIEW)
    assert isinstance(answer, Reply)
    assert {edit.field: edit.value for edit in answer.edits} == {"title": ["New"], "risks": ["r", "s"]}
    assert "New" in answer.text


@pytest.mark.parametrize(
    "raw",
    [
        {"status": "filed", "key": "OPS-1"},
        {"type": "outcome", "status": "filed", "key": "OPS-1"},
        {"decisions": [{"type": "respond", "message": '{"status": "filed", "key": "OPS-1"}'}]},
        [{"type": "response", "args": '{"status": "filed", "key": "OPS-1"}'}],
    ],
    ids=str,
)
def test_an_outcome_in_all_spellings(raw: Any) -> None:
    answer = read_answer(raw, FILE)
    assert isinstance(answer, FilingOutcome)
    assert (answer.status, answer.key) == ("filed", "OPS-1")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["approve", "edit", "type"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "args", "decisions", "text", "edits", "message", "status", "sealed"]), inner)
    ),
)


@given(anything, st.sampled_from([ASK, PREVIEW, FILE]))
def test_no_answer_is_an_error_and_only_a_decision_decides(raw: Any, request_: Any) -> None:
    answer = read_answer(raw, request_)
    assert isinstance(answer, Reply | Decision | FilingOutcome | Unreadable)
    assert answer.event_id
    if isinstance(raw, str):
        assert isinstance(answer, Reply)


def test_the_same_answer_to_the_same_request_is_the_same_event() -> None:
    assert read_answer("a", ASK).event_id == read_answer("a", ASK).event_id != read_answer("b", ASK).event_id
    assert read_answer({"text": "a", "event_id": "e1"}, ASK).event_id == "e1"


@pytest.mark.parametrize("change", [{"draft_hash": "0" * 64}, {"preview_id": "p2"}, {"draft_hash": SEALED.draft_hash[:8]}])
def test_a_decision_on_another_card_does_not_match(change: dict[str, str]) -> None:
    named = {"draft_hash": SEALED.draft_hash, "preview_id": "p1"}
    assert matches_card(Decision(type="approve", **named), PREVIEW)
    assert not matches_card(Decision(type="approve", **{**named, **change}), PREVIEW)
