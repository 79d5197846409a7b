from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.draft import TicketDraft, clean
from agent.interview import HINT, INTRODUCTION, LABELS, NO_APPROVAL, NO_TITLE, listen


def hear(text: str, asked: str = "", **draft: Any) -> tuple[list[str], dict[str, Any]]:
    """What is said, and the operations as field -> value (or the operation, if it does not set)."""
    said, operations = listen(
        {
            "draft": TicketDraft(**draft).model_dump(),
            "asked": [{"field": asked, "text": "?"}] if asked else [],
            "earlier": [{"id": "m0", "by": "ann", "text": "hello"}],
            "new": [{"id": "m1", "by": "ann", "text": text}],
        }
    )
    assert all(one["message"] == "m1" for one in operations)
    return said, {one["field"]: one["value"] if one["op"] == "set" else _as_pair(one) for one in operations}


def _as_pair(operation: dict[str, Any]) -> Any:
    how = operation.get("how") or operation["op"]
    return operation["value"] if how == "answer" else (how, operation["value"])


def test_it_says_what_it_is_once() -> None:
    request = {"draft": TicketDraft().model_dump(), "asked": [], "earlier": [], "new": [{"id": "m", "by": "a", "text": "x"}]}
    assert listen(request)[0] == [INTRODUCTION]
    assert hear("x")[0] == []


def test_an_unlabelled_first_message_is_the_problem_and_its_first_line_the_title() -> None:
    assert hear("\n Export fails.\nSince Monday.\n")[1] == {
        "problem": ["Export fails.\nSince Monday."],
        "title": ["Export fails."],
    }


@pytest.mark.parametrize(
    ("text", "criteria"),
    [
        ("Acceptance criteria: - one - two", ["one", "two"]),
        ("Acceptance criteria:\n- one\n- two", ["one", "two"]),
        ("acceptance criteria:\n1. one\n2) two", ["one", "two"]),
        ("AC: one", ["one"]),
        ("AC: one\ntwo", ["one", "two"]),
        ("Acceptance criteria\n* one\n* two - with a dash", ["one", "two - with a dash"]),
        ("## Acceptance Criteria\n\n• one\n• two\n  goes on", ["one", "two\n  goes on"]),
        ("**Acceptance criteria:** one", ["one"]),
        ("acceptance_criteria: one", ["one"]),
        ("Acceptance criteria：一つ", ["一つ"]),
    ],
)
def test_labelled_lists(text: str, criteria: list[str]) -> None:
    assert hear(text, problem="p", title="t")[1] == {"acceptance_criteria": criteria}


def test_labelled_lines_of_all_kinds() -> None:
    said, operations = hear("Type: Bug\nTitle: Crash\nProblem: It dies.\nAt night.\nLabels: a, b\nEpic: OPS-1\nPriority: high")
    assert said == []
    assert operations == {
        "issue_type": ["Bug"],
        "title": ["Crash"],
        "problem": ["It dies.\nAt night."],
        "labels": ["a", "b"],
        "epic_id": ["OPS-1"],
        "priority": ["high"],
    }


def test_text_before_the_first_label_is_read_as_any_other() -> None:
    assert hear("It dies.\nType: bug")[1] == {"problem": ["It dies."], "title": ["It dies."], "issue_type": ["bug"]}
    assert hear("it lives\nLabels: x", "acceptance_criteria", problem="p")[1] == {
        "acceptance_criteria": ["it lives"],
        "labels": ["x"],
    }


def test_also_adds() -> None:
    assert hear("Also acceptance criteria: three", problem="p")[1] == {"acceptance_criteria": ("add", ["three"])}


def test_answers_are_taken_word_for_word() -> None:
    assert hear("Yes - but only on Mondays", "acceptance_criteria", problem="p")[1] == {
        "acceptance_criteria": ["Yes - but only on Mondays"]
    }
    assert hear("approve", "title", problem="p")[1] == {"title": ["approve"]}


@pytest.mark.parametrize("text", ["skip", "Skip.", " SKIP! ", "*skip*"])
def test_skip_works_for_everything_but_the_title(text: str) -> None:
    assert hear(text, "acceptance_criteria", problem="p")[1] == {"acceptance_criteria": ("skip", [])}
    assert hear(text, "title", problem="p") == ([NO_TITLE], {})


@pytest.mark.parametrize("text", ["approved", "Approve this now", "LGTM", "ship it!", "ok", "I approve", "yes"])
def test_words_never_approve(text: str) -> None:
    assert hear(text, problem="p", title="t") == ([NO_APPROVAL], {})


@pytest.mark.parametrize("text", ["thanks", "see log\nerror type: 5", "> Title: quoted from somebody else", "problem", "risks"])
def test_what_it_cannot_read_changes_nothing(text: str) -> None:
    assert hear(text, problem="p", title="t") == ([HINT], {})


def test_what_cannot_be_placed_is_said() -> None:
    said, operations = hear("Hello!\nPriority: high\nnone at all\nProblem: one\nDescription: two", title="t", problem="p")
    assert operations == {"priority": ["high"], "problem": ["one"]}
    assert [text for text in ("Hello!", "none at all", "two") if any(text in sentence for sentence in said)] == [
        "Hello!",
        "none at all",
        "two",
    ]


def test_a_long_run_of_spaces_is_read_like_any_text() -> None:
    text = "log:\n" + " " * 19_000 + "x"
    assert hear(text)[1]["problem"] == [text]


@pytest.mark.parametrize("text", ["OK so the export fails", "Approved invoices are not emailed", "yes we have a problem"])
def test_a_first_message_may_begin_with_any_word(text: str) -> None:
    assert hear(text)[1]["problem"] == [text]


pieces = st.sampled_from([*(f"{label}: " for label in LABELS), "- ", "\n", "\n- ", "## ", "skip", "also ", "x", "ß", " "])


@given(st.lists(pieces | st.text(max_size=8), max_size=12).map("".join), st.sampled_from(["", "title", "problem", "risks"]))
def test_it_never_invents(text: str, asked: str) -> None:
    cleaned, _ = clean(text)
    _, operations = listen(
        {
            "draft": TicketDraft().model_dump(),
            "asked": [{"field": asked, "text": "?"}] if asked else [],
            "earlier": [],
            "new": [{"id": "m1", "by": "ann", "text": cleaned}],
        }
    )
    for one in operations:
        assert all(value in cleaned for value in one["value"])


@pytest.mark.parametrize("word", ["hi", "Hello!", "help", "what can you do?"])
def test_a_greeting_is_no_ticket(word: str) -> None:
    said, changed = hear(word)
    assert "what is wrong, or what you need" in said[-1]
    assert changed == {}
