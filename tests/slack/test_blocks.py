"""Every block that is emitted is valid, whatever the draft holds; and nothing that would be filed is missing on a card."""

from typing import Any
from unicodedata import normalize

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.draft import Attachment, Conflict, Constraint, Evidence, TicketDraft, Unsaid
from agent.operations import Operation
from agent.projects import Project
from agent.sealing import Destination, diff, seal
from agent.surfaces import CardView
from skills.trackers.local import LocalRenderer
from slack_adapter import blocks, forms, notes
from slack_adapter.evidence import evidence_blocks
from slack_adapter.pieces import FALLBACK
from slack_adapter.settings import Approvers, ChannelSetting
from slack_adapter.setup_form import setup_form
from slack_adapter.text import cut
from tests.block_kit import problems
from tests.slack.channel import buttons

SESSION = "T1:C1OPS:1700000000.000100"

words_ = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=1, max_size=60).filter(str.strip)
long_words = st.builds(lambda text, times: (text * times)[:20_000], words_, st.sampled_from([1, 1, 1, 40, 400]))
items = st.lists(long_words, max_size=12)
authors = st.sampled_from(["U1ANN", "<!channel>"])
drafts = st.builds(
    TicketDraft,
    title=st.builds(lambda text, times: (text * times)[:255], words_, st.sampled_from([1, 20])),
    problem=long_words,
    proposed_solution=st.one_of(st.just(""), long_words),
    acceptance_criteria=items,
    constraints=st.lists(st.builds(Constraint, key=st.one_of(st.just(""), words_), value=words_), max_size=3),
    risks=items,
    issue_type=st.sampled_from(["story", "bug", "task"]),
    priority=st.one_of(st.just(""), words_),
    labels=st.lists(words_, max_size=4),
    steps=items,
    expected=st.one_of(st.just(""), long_words),
    who=st.one_of(st.just(""), words_),
    unsaid=st.lists(
        st.builds(Unsaid, field=st.sampled_from(["risks", "issue_type", "custom.x", "why"]), value=long_words), max_size=9),
    conflicts=st.lists(
        st.builds(Conflict, field=st.sampled_from(["priority", "custom.x"]),
                  sides=st.lists(st.builds(Evidence, value=long_words, author=authors), min_size=2, max_size=4)), max_size=3),
    custom=st.dictionaries(words_, long_words, max_size=3),
    attachments=st.lists(st.builds(Attachment, id=words_, name=words_, sha256=st.sampled_from(["", "a" * 64])), max_size=3),
    evidence=st.lists(
        st.builds(Evidence, field=st.just("title"), quote=words_, author=authors,
                  permalink=st.sampled_from(["", "https://acme.slack.com/archives/C1/p1"])), max_size=6),
)  # fmt: skip


def card_of(draft: TicketDraft, before: TicketDraft | None = None, **about: Any) -> CardView:
    """The card that this draft would have."""
    sealed = seal(Destination(project="OPS"), LocalRenderer().render(draft, Project(key="OPS")))
    old = seal(Destination(project="OPS"), LocalRenderer().render(before, Project(key="OPS"))) if before else None
    return CardView(
        session_id=SESSION,
        preview_id="a" * 16,
        draft_hash=sealed.draft_hash,
        version=2,
        sealed=sealed.payload,
        since=diff(old.payload if old else None, sealed.payload),
        evidence=draft.evidence,
        people=[one.author for one in draft.evidence],
        unanswered=draft.missing(),
        not_said=draft.not_said(),
        unsaid=draft.unsaid,
        conflicts=draft.conflicts,
        unread=len(draft.risks),
        **{"status": "open", "age": 0.0, "requester": "U1ANN", **about},
    )


def texts(value: Any) -> str:
    """All text of blocks, one after the other without anything between."""
    if isinstance(value, list):
        return "".join(map(texts, value))
    if isinstance(value, dict):
        own = value["text"] if isinstance(value.get("text"), str) else ""
        return own + "".join(texts(item) for item in value.values() if not isinstance(item, str))
    return ""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(drafts, st.one_of(st.none(), drafts), st.booleans(), st.sampled_from(["open", "approved", "rejected", "superseded"]))
def test_cards_are_valid_and_whole(draft: TicketDraft, before: TicketDraft | None, private: bool, status: str) -> None:
    filed = {"filing": "filed", "key": "OPS-1", "url": "https://t.example/OPS-1"} if status == "approved" else {}
    card = card_of(draft, before, status=status, decided_by="U2BOB", **filed)
    parts = blocks.build_draft_preview_blocks_with_hash(card, private=private)
    for part in parts:
        assert problems({"text": blocks.card_text(card), "blocks": part}) == []
    if status != "superseded":
        shown = "".join(texts([block for block in part if block["type"] != "context"]) for part in parts).replace(
            "(continued) ", ""
        )
        for value in (
            draft.problem,
            draft.proposed_solution,
            draft.expected,
            draft.who,
            *draft.steps,
            *draft.acceptance_criteria,
            *draft.risks,
            *draft.custom.values(),
        ):
            assert "".join(normalize("NFC", value).split()) in "".join(shown.split())
    with_buttons = [n for n, part in enumerate(parts) if "approve_draft" in buttons(_Message(part))]
    assert with_buttons == ([len(parts) - 1] if status == "open" else [])


class _Message:
    def __init__(self, part: list[dict[str, Any]]) -> None:
        self.blocks = part


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(drafts, st.booleans())
def test_forms_are_valid(draft: TicketDraft, missing: bool) -> None:
    assert problems(forms.edit_form(SESSION, draft, missing=missing)) == []
    typed = [Operation(field="title", value=["mine"]), Operation(field="priority", value=["x" * 500])]
    typed += [Operation(op="remove", field="attachments", value=[file.id for file in draft.attachments])]
    assert problems(forms.edit_form(SESSION, draft, typed=typed, contested=["title", "priority"])) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(drafts)
def test_who_said_what_is_valid(draft: TicketDraft) -> None:
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Who said what"}}
    assert problems({**view, "blocks": evidence_blocks(draft)}) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(long_words, max_size=30, unique=True), min_size=1, max_size=3), st.booleans())
def test_questions_are_valid(options: list[list[str]], disputed: bool) -> None:
    asked = [
        {"field": "priority", "text": "Which?"}
        | ({"options": some, "id": f"{n:012x}"} if some else {})
        | ({"by": ["U1ANN"] * len(some)} if disputed else {})
        for n, some in enumerate(options)
    ]
    text, shown = notes.questions(SESSION, asked)
    assert problems({"text": cut(text, FALLBACK), "blocks": shown}) == []


tickets = st.builds(dict, key=words_, url=st.sampled_from(["", "https://t.example/1|x>"]), title=long_words, why=long_words)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(tickets, min_size=1, max_size=3))
def test_similar_tickets_are_valid(found: list[dict[str, str]]) -> None:
    body = {"kind": "similar", "tickets": found, "preview_id": "a" * 16, "draft_hash": "b" * 64}
    text, shown = notes.similar(SESSION, body)
    assert problems({"text": cut(text, FALLBACK), "blocks": shown}) == []


def test_a_form_carries_along_no_more_than_slack_takes() -> None:
    mine = Operation(field="title", value=["mine"])
    draft = TicketDraft(title="T", custom={f"field {n} " + "é" * 80: "x" for n in range(90)})
    for form in (
        forms.edit_form(SESSION, draft),
        forms.edit_form(SESSION, draft, typed=[mine], contested=["title"]),
    ):
        assert problems(form) == []
        assert len(form["private_metadata"]) <= 3000
        assert "more custom fields" in texts(form["blocks"])


@given(st.lists(words_, max_size=3), st.sampled_from(["members", "workspace", "listed"]), st.booleans())
def test_the_settings_form_is_valid(labels: list[str], who: Any, home: bool) -> None:
    setting = ChannelSetting(labels=labels, approvers=Approvers(who=who, people=["U1ANN"], groups=["S1"]))
    assert problems(setup_form("T1", "C1OPS", setting, ("local",), home=home)) == []


@given(drafts)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_form_that_comes_back_unchanged_changes_nothing(draft: TicketDraft) -> None:
    view = forms.edit_form(SESSION, draft)
    values = {}
    for block in view["blocks"]:
        if block["type"] == "input" and block["element"]["type"] == "plain_text_input":
            values[block["block_id"]] = {"value": {"type": "plain_text_input", "value": block["element"].get("initial_value")}}
    edited = forms.Edited({**view, "id": "V1", "state": {"values": values}})
    assert edited.operations(draft) == ([], [])


def test_a_card_without_a_change_says_nothing_of_changes() -> None:
    draft = TicketDraft(title="T", problem="P")
    shown = texts(blocks.build_draft_preview_blocks_with_hash(card_of(draft)))
    assert "Changed" not in shown
    assert "Priority" not in shown  # what is empty is not shown
