import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agent.asking import Unanswered
from agent.cli import main
from agent.conversation import Conversation, Head, dump, load
from agent.draft import FIELDS, Constraint, Evidence, TicketDraft, Unsaid
from agent.evaluation import NAMES, Counts, Expected, OneOf, Remark, Score, score, summed, texts_of, totals
from agent.interview import GuidedInterview
from agent.operations import Operation
from agent.protocol import Reply, Setting
from agent.reading import Listener, interview
from agent.replay import drafted
from skills.trackers import renderers
from tests.generated import conversations

TALKS = Path(__file__).parents[1] / "conversations"
SAID = {"m1": "Hi! The export fails\nsince Monday. It should take 30 seconds", "m2": "no, latency: under 200 ms"}


def evidence(field: str, quote: str, message: str = "m1", start: int | None = None, value: str = "") -> Evidence:
    at = SAID[message].index(quote) if start is None else start
    return Evidence(field=field, quote=quote, message=message, start=at, value=value)


def of(
    draft: TicketDraft, field: str, expected: dict[str, Expected] | None = None, never: tuple[str, ...] = ()
) -> dict[str, int]:
    """What a field's counts are, without those that are none."""
    counts = score(draft, SAID, expected or {}, never).fields[field]
    return {name: number for name, number in counts.as_json().items() if number}


def titled(title: str, *more: Evidence) -> TicketDraft:
    return TicketDraft(title=title, evidence=[*more])


def test_what_is_expected_is_found_whatever_its_case_and_spacing() -> None:
    draft = titled("The export fails\nsince Monday", evidence("title", "The export fails\nsince Monday"))
    assert of(draft, "title", {"title": "the EXPORT  fails since"}) == {"found": 1, "evidence_right": 1}
    assert of(draft, "title", {"title": OneOf(any=["breaks", "export fails"])}) == {"found": 1, "evidence_right": 1}


def test_what_is_not_there_is_missed_and_said() -> None:
    result = score(TicketDraft(), SAID, {"title": "export fails", "steps": ["open", "press"]})
    assert result.fields["title"] == Counts(missed=1)
    assert result.fields["steps"] == Counts(missed=2)
    assert result.remarks[0] == Remark("missed", "title", "export fails")
    assert result.total == Counts(missed=3)


def test_items_of_a_list_count_one_by_one() -> None:
    draft = TicketDraft(risks=["The export fails", "since Monday"], evidence=[evidence("risks", "The export fails")])
    assert of(draft, "risks", {"risks": ["export fails", "monday", "never"]}) == {"found": 2, "missed": 1, "evidence_right": 1}


@pytest.mark.parametrize("title", ["The export fails", "since monday. It", "The export"])
def test_what_was_said_is_no_invention_even_if_nobody_expects_it(title: str) -> None:
    assert of(titled(title), "title") == {}


@pytest.mark.parametrize("title", ["The export is slow", "xport fails", "fails on Monday"])
def test_what_nobody_said_is_an_invention(title: str) -> None:
    assert of(titled(title), "title") == {"invented": 1}


def test_what_is_expected_is_no_invention_unless_there_is_more_to_it() -> None:
    assert of(titled("Export broken"), "title", {"title": "export broken"}) == {"found": 1}
    assert of(titled("Export broken by aliens"), "title", {"title": "export broken"}) == {"found": 1, "invented": 1}


def test_what_is_said_in_another_field_is_missed_and_not_invented() -> None:
    result = score(TicketDraft(actual="The export fails"), SAID, {"title": "The export fails"})
    assert (result.fields["title"], result.fields["actual"]) == (Counts(missed=1), Counts())


def test_a_value_that_is_marked_as_nobodys_is_invented_though_its_words_were_said() -> None:
    draft = TicketDraft(title="The export fails", unsaid=[Unsaid(field="title", value="The export fails")])
    assert of(draft, "title") == {"invented": 1}


def test_what_is_never_to_be_there_is_invented_and_so_is_what_is_to_be_empty() -> None:
    assert of(titled("The export fails"), "title", never=("EXPORT fails",)) == {"invented": 1}
    assert of(TicketDraft(labels=["export", "fails"]), "labels", {"labels": []}) == {"invented": 2}
    assert of(TicketDraft(labels=["export"]), "labels") == {}


def test_the_default_type_is_nobodys_invention_and_a_type_is_said_in_other_words() -> None:
    assert of(TicketDraft(), "issue_type") == {}
    assert of(TicketDraft(issue_type="bug"), "issue_type") == {}
    assert of(TicketDraft(issue_type="task"), "issue_type") == {"invented": 1}
    assert of(TicketDraft(evidence=[evidence("issue_type", "Hi!")]), "issue_type") == {"invented": 1}


def test_both_sides_of_a_constraint_have_to_be_said() -> None:
    assert of(TicketDraft(constraints=[Constraint(key="latency", value="under 200 ms")]), "constraints") == {}
    assert of(TicketDraft(constraints=[Constraint(key="latency", value="30 seconds")]), "constraints") == {}
    assert of(TicketDraft(constraints=[Constraint(key="latency", value="under 2 ms")]), "constraints") == {"invented": 1}
    assert of(TicketDraft(constraints=[Constraint(key="size", value="under 200 ms")]), "constraints") == {"invented": 1}


def test_custom_fields_count_under_their_names() -> None:
    assert of(TicketDraft(custom={"Region": "the moon"}), "custom.Region") == {"invented": 1}


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (None, []),
        (evidence("title", "The export fails", start=0), []),
        (evidence("title", "The export fails", start=5), []),
        (Evidence(field="title", quote="The export fails", message="m2", start=4), []),
        (Evidence(field="title", quote="The export fails", message="m3", start=0), []),
        (evidence("problem", "The export fails"), []),
        (evidence("title", "since Monday", value="another"), []),
        (Evidence(field="title", value="The export fails", message="m1"), []),
        (evidence("title", "The export fails"), ["m2"]),
    ],
)
def test_wrong_evidence_is_counted(wrong: Evidence | None, names: list[str]) -> None:
    draft = titled("The export fails", *([wrong] if wrong else []))
    wanted: Expected = OneOf.model_validate({"any": ["export fails"], "from": names})
    assert of(draft, "title", {"title": wanted}) == {"found": 1}
    right = titled("The export fails", evidence("title", "The export fails"))
    wanted = OneOf.model_validate({"any": ["export fails"], "from": ["m2", "m1"]})
    assert of(right, "title", {"title": wanted}) == {"found": 1, "evidence_right": 1}


def test_one_wrong_quote_beside_a_right_one_is_wrong() -> None:
    both = titled("The export fails", evidence("title", "The export fails"), evidence("title", "The export fails", start=0))
    assert of(both, "title", {"title": "export"}) == {"found": 1}


def test_texts_are_those_of_threads_hands_and_places() -> None:
    quoted = Reply(event_id="a:0", text="of old\u200b", quoted=True)
    edit = Reply(event_id="b", text="/edit title=x", edits=[Operation(field="title", value=["by hand"])])
    first = Reply(event_id="a", text="now", thread=[quoted], setting=Setting(labels=["triage"], assignee="bob"))
    assert texts_of([first, edit]) == {"a:0": "of old", "a": "now", "a:setting": "\nbob\ntriage", "b": "by hand"}


def test_scores_add_up() -> None:
    one, other = Score(), Score()
    one.count("title", found=2, evidence_right=1)
    other.count("custom.x", invented=3)
    other.count("title", missed=1)
    assert summed([one, other]).fields["title"] == Counts(found=2, missed=1, evidence_right=1)
    whole = totals([one, other])
    assert {name: whole[name] for name in ("conversations", *NAMES)} == {
        "conversations": 2, "found": 2, "missed": 1, "invented": 3, "evidence_right": 1
    }  # fmt: skip
    assert [*whole["fields"]] == [*FIELDS, "custom.x"]


# --- What is scored ----------------------------------------------------------------------------------------------------


async def made(file: str, listener: Listener | None = None) -> tuple[TicketDraft, dict[str, str]]:
    outcome = await drafted(load(TALKS / f"{file}.jsonl"), renderers(), listener)
    return outcome.draft, texts_of(outcome.replies)


async def test_the_draft_is_the_one_that_was_approved_first() -> None:
    draft, texts = await made("said-while-filing", interview())
    assert (draft.title, [*texts]) == ("Export fails for EU customers", ["event-1"])


async def test_a_linked_ticket_ends_where_it_is_linked() -> None:
    draft, texts = await made("same-as-a-known-ticket")
    assert (draft.title, [*texts]) == ("password mails arrive half an hour late", ["event-1", "event-2"])


async def test_a_ticket_that_could_not_be_linked_goes_on() -> None:
    talk = load(TALKS / "same-as-a-known-ticket.jsonl")
    for show in talk.steps[2].shows:
        show["status"] = "refused"
    assert len((await drafted(talk, renderers())).replies) == 3


async def test_a_button_is_pressed_as_of_todays_question_and_only_where_it_is_asked() -> None:
    talk = load(TALKS / "disagreement-decided.jsonl")
    pressed = next(step.event.answer for step in talk.steps if getattr(step.event.answer, "question", ""))
    assert isinstance(pressed, Reply)
    pressed.question = "of-those-days"
    assert [*map(str, (await drafted(talk, renderers())).draft.items("constraints"))] == [
        "rate limit: 1000 requests per minute"
    ]
    read = await drafted(talk, renderers(), interview())
    assert pressed.text not in [reply.text for reply in read.replies]


async def test_a_conversation_is_scored_twice_alike() -> None:
    talk = load(TALKS / "called-into-a-thread.jsonl")
    first, second = [await drafted(talk, renderers(), listener) for listener in (interview(), None)]
    assert first.draft != second.draft
    assert len(texts_of(second.replies)) == len(texts_of(first.replies)) == 15


async def test_answers_that_a_model_did_not_give_are_counted() -> None:
    assert (await drafted(load(TALKS / "provider-down.jsonl"), renderers())).unanswered == 3
    assert (await drafted(load(TALKS / "sarcasm.jsonl"), renderers())).unanswered == 0


def test_expectations_are_kept_in_a_file(tmp_path: Path) -> None:
    head = Head.model_validate(
        {"expected": {"title": {"any": ["x"], "from": ["event-1"]}, "steps": ["a", {"any": ["b"]}]}, "never": ["z"]}
    )
    file = tmp_path / "one.jsonl"
    file.write_text("\n".join(dump(Conversation(head=head, steps=[]))))
    assert load(file).head == head


# --- Measures ----------------------------------------------------------------------------------------------------------


async def _score(talk: Conversation, listener: Listener | None) -> Score:
    outcome = await drafted(talk, renderers(), listener)
    return score(outcome.draft, texts_of(outcome.replies), talk.head.expected, talk.head.never)


async def test_at_least_forty_conversations_say_what_is_expected() -> None:
    talks = [load(file) for file in TALKS.glob("*.jsonl")]
    assert sum(bool(talk.head.expected) for talk in talks) >= 40


@pytest.mark.parametrize("file", sorted(TALKS.glob("*.jsonl")), ids=lambda file: file.stem)
async def test_conversation(file: Path) -> None:
    talk = load(file)
    assert (await _score(talk, None)).remarks == [], "what was recorded comes to what is expected"
    assert (await _score(talk, interview())).total.invented == 0


async def test_the_interview_invents_nothing_in_five_hundred_generated_conversations() -> None:
    items = quotes = 0
    for talk in conversations(500):
        outcome = await drafted(talk, renderers(), interview())
        texts = texts_of(outcome.replies)
        assert score(outcome.draft, texts, {}, talk.head.never).remarks == []
        for one in outcome.draft.evidence:
            assert texts[one.message].startswith(one.quote, one.start)
        items += sum(len(outcome.draft.items(field)) for field in FIELDS)
        quotes += len(outcome.draft.evidence)
    assert items > 3_000, "drafts that hold nothing would invent nothing"
    assert quotes > 3_000


class _Inventive(GuidedInterview):
    """Also says what nobody said."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(messages)
        result.generations[0].message.tool_calls[0]["args"]["operations"].append(  # type: ignore[attr-defined]
            {"op": "set", "field": "priority", "value": ["of the utmost importance"]}
        )
        return result


async def test_an_interview_that_invents_is_found_out() -> None:
    listener = Listener(_Inventive(), questions=1, guided=True)
    assert sum([(await _score(talk, listener)).fields["priority"].invented for talk in conversations(20)]) > 15


# --- The command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three conversations, two with what is expected of them."""
    monkeypatch.delenv("SIGNOFF_MODEL", raising=False)
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")
    for name in ("straight", "sarcasm", "guided-german"):
        (tmp_path / f"{name}.jsonl").write_text((TALKS / f"{name}.jsonl").read_text())
    return tmp_path


def test_json(some: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(some), "--json"]) == 0
    said = capsys.readouterr()
    whole = json.loads(said.out)
    assert said.err == ""
    assert [*whole] == ["conversations", *NAMES, "fields"]
    assert [*whole["fields"]] == [*FIELDS]
    assert all([*counts] == [*NAMES] for counts in whole["fields"].values())
    assert all(whole[name] == sum(counts[name] for counts in whole["fields"].values()) for name in NAMES)
    assert whole["conversations"] == 3
    assert (whole["found"], whole["missed"], whole["invented"], whole["evidence_right"]) == (11, 3, 0, 11)


def test_recorded_answers_are_scored_instead(some: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(some), "--json", "--recorded"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert (whole["found"], whole["missed"], whole["invented"], whole["evidence_right"]) == (14, 0, 0, 14)


def test_a_table_and_what_is_not_right(some: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(some)]) == 0
    printed = capsys.readouterr().out
    assert "3 conversations" in printed
    assert "sarcasm.jsonl  missed priority: “medium”" in printed
    assert "epic_id" not in printed


HEAD = '{"conversation": 1}\n'


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (None, "is no directory: name one"),
        ({}, "holds no conversation: put files there"),
        ({"a.txt": HEAD}, "holds no conversation: put files there"),
        ({"a.jsonl": HEAD}, 'says what is expected: add "expected"'),
        ({"a.jsonl": "{}"}, "a.jsonl, line 1 cannot be read"),
        ({"a.jsonl": '{"conversation": 1, "expected": {"color": "red"}}'}, "a.jsonl, line 1 cannot be read"),
        ({"a.jsonl": '{"conversation": 1, "expected": {"title": {"any": []}}}'}, "a.jsonl, line 1 cannot be read"),
    ],
)
def test_bad_input(
    files: dict[str, str] | None,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SIGNOFF_MODEL", raising=False)
    directory = tmp_path / "talks"
    if files is not None:
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
    assert main(["eval", str(directory)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("signoff: ")
    assert said.err.count("\n") == 1
    assert sentence in said.err


def test_a_model_that_cannot_be_used(some: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_MODEL", "gpt")
    assert main(["eval", str(some)]) == 2
    assert "SIGNOFF_MODEL" in capsys.readouterr().err


class _Flagging(GuidedInterview):
    """Answers so many times, and then no more."""

    left: int = 0

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if self.left == 0:
            raise Unanswered("the provider cannot be reached")
        self.left -= 1
        if '"draft": {}' in str(messages[-1].content):  # only whether it answers is asked
            heard = {"intent": "small_talk", "operations": []}
            answer = AIMessage("", tool_calls=[{"name": "update_draft", "args": heard, "id": "1"}])
            return ChatResult(generations=[ChatGeneration(message=answer)])
        return super()._generate(messages)


@pytest.mark.parametrize(
    ("answers", "status", "told"),
    [
        (
            0,
            2,
            "The model any:model does not answer: the provider cannot be reached: see signoff doctor, or unset SIGNOFF_MODEL",
        ),
        (3, 0, "times the model did not answer, and the guided interview read in its place"),
        (-1, 0, ""),
    ],
)
def test_a_model_reads(
    answers: int, status: int, told: str, some: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(_Flagging(left=answers), name="any:model")
    monkeypatch.setattr("agent.cli.evaluation.configured_listener", lambda: listener)
    assert main(["eval", str(some), "--json"]) == status
    said = capsys.readouterr()
    assert told in said.err
    assert bool(said.err) == bool(told)
    assert bool(said.out) == (status == 0)
