import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.draft import FIELDS, TITLE_LIMIT, Evidence, TicketDraft, clean, first_line
from agent.operations import Operation, Source, apply

MESSAGE = Source(id="m1", author="ann", text="Title: Export fails\nIt answers 500.", permalink="link")


def change(draft: TicketDraft, *operations: Operation) -> tuple[TicketDraft, list[str]]:
    return apply(draft, operations, {"m1": MESSAGE})


def test_a_change_is_counted_and_leaves_the_old_draft_alone() -> None:
    before = TicketDraft()
    after, problems = change(before, Operation(field="title", value=["Export fails"]))
    assert (before.title, before.version) == ("", 0)
    assert (after.title, after.version, problems) == ("Export fails", 1, [])


def test_no_change_gives_the_same_object() -> None:
    draft, _ = change(TicketDraft(), Operation(field="title", value=["Export fails"]))
    assert change(draft, Operation(field="title", value=["Export fails"]))[0] is draft


def test_a_skipped_field_is_known_until_it_is_filled() -> None:
    draft, _ = change(TicketDraft(), Operation(op="skip", field="problem"))
    assert draft.skipped == ["problem"]
    assert change(draft, Operation(op="skip", field="problem"))[0] is draft
    draft, _ = change(draft, Operation(field="problem", value=["It fails."]))
    assert draft.skipped == []


def test_evidence_says_where_the_value_stands_in_whose_message() -> None:
    draft, _ = change(TicketDraft(), Operation(field="title", value=["Export fails"], message="m1"))
    assert draft.evidence == [
        Evidence(field="title", quote="Export fails", author="ann", message="m1", start=7, permalink="link")
    ]


def test_a_value_that_nobody_wrote_has_no_evidence() -> None:
    draft, _ = change(TicketDraft(), Operation(field="title", value=["Import fails"], message="m1"))
    assert draft.title == "Import fails"
    assert draft.evidence == []


def test_evidence_goes_with_its_value() -> None:
    draft, _ = change(TicketDraft(), Operation(field="title", value=["Export fails"], message="m1"))
    draft, _ = change(draft, Operation(field="title", value=["Other"], message="m1"))
    assert draft.evidence == []


def test_lists_are_set_added_to_and_taken_from() -> None:
    draft, _ = change(TicketDraft(), Operation(field="risks", value=["a", "b", "a "]))
    assert draft.risks == ["a", "b", "a"]
    draft, _ = change(draft, Operation(op="add", field="risks", value=["c", "b"]))
    assert draft.risks == ["a", "b", "a", "c"]
    draft, _ = change(draft, Operation(op="remove", field="risks", value=["a"]))
    assert draft.risks == ["b", "c"]


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (Operation(field="colour", value=["red"]), "There is no field 'colour': use one of title, problem"),
        (Operation(field="custom.", value=["red"]), "There is no field 'custom.'"),
        (Operation(field="custom.\x1b[2Jx", value=["red"]), "There is no field"),
        (Operation(field="title", value=["x" * 256]), "shorten it to 255"),
        (Operation(field="title", value=["a\nb"]), "The title is one line; that has 2."),
        (Operation(field="issue_type", value=["epic"]), "one of story, bug, task; 'epic' is none of them"),
        (Operation(op="remove", field="risks", value=["a"]), "risks has no item 'a'"),
        (Operation(op="add", field="title", value=["a"]), "The field title holds one text: set it."),
        (Operation(field="title", value=["a", "b"]), "The field title holds one text: set it."),
    ],
)
def test_an_impossible_change_is_a_sentence_and_the_others_are_made(operation: Operation, sentence: str) -> None:
    draft, problems = change(TicketDraft(), operation, Operation(field="problem", value=["kept"]))
    assert draft.problem == "kept"
    [problem] = problems
    assert sentence in problem


def test_constraints_and_custom_fields() -> None:
    draft, _ = change(
        TicketDraft(),
        Operation(field="constraints", value=["latency: under 200 ms", "on premises"]),
        Operation(field="custom.team", value=["blue"]),
        Operation(field="issue_type", value=["BUG"]),
    )
    assert [(one.key, one.value) for one in draft.constraints] == [("latency", "under 200 ms"), ("", "on premises")]
    assert (draft.custom, draft.issue_type) == ({"team": "blue"}, "bug")
    draft, _ = change(draft, Operation(field="custom.team", value=[""]))
    assert draft.custom == {}


def test_missing_depends_on_the_type() -> None:
    assert TicketDraft().missing() == ["problem", "title", "acceptance_criteria"]
    assert TicketDraft(issue_type="bug").missing() == ["problem", "title"]


def test_clean_takes_out_what_nobody_sees_and_keeps_the_rest() -> None:
    assert clean("a\u202eb\x00\u200bc\x1b[31md\x1b]8;;http://x\x07e\x1b\ud800\U000e0041") == ("abcde", 25)
    assert clean("l1\r\nl2\rl3\u2028l4\tx") == ("l1\nl2\nl3\nl4\tx", 0)
    assert clean("e\u0301") == ("é", 0)
    for text in ("👩\u200d💻", "می\u200cخواهم", "äöü 日本語 🇩🇪"):
        assert clean(text) == (text, 0)


@given(st.text())
def test_clean_is_stable(text: str) -> None:
    once, _ = clean(text)
    assert clean(once) == (once, 0)


@given(st.text())
def test_first_line_is_a_piece_of_the_text_and_fits(text: str) -> None:
    line = first_line(text)
    assert line in text
    assert len(line) <= TITLE_LIMIT


def test_first_line_is_cut_at_a_word() -> None:
    assert first_line("\n  \n" + "word " * 100) == ("word " * 51).strip()
    assert len(first_line("x" * 999)) == TITLE_LIMIT


@given(st.lists(st.builds(Operation, field=st.sampled_from(FIELDS), value=st.lists(st.text(max_size=20), max_size=3))))
def test_whatever_is_applied_the_draft_stays_valid(operations: list[Operation]) -> None:
    draft, _ = apply(TicketDraft(), operations, {})
    assert TicketDraft.model_validate(draft.model_dump()) == draft
