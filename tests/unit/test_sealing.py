import hashlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.draft import FIELDS, Conflict, Constraint, Evidence, TicketDraft, Unsaid
from agent.projects import Project
from agent.sealing import Destination, SealedTicket, canonical, diff, marker, seal
from skills.preview_ticket import compute_draft_hash
from skills.trackers.local import LocalRenderer

DRAFT = TicketDraft(
    title="Export fails",
    problem="It answers 500.",
    proposed_solution="Retry.",
    acceptance_criteria=["it finishes", "it is logged"],
    constraints=[Constraint(key="latency", value="200 ms")],
    dependencies=["storage"],
    risks=["slower"],
    open_questions=["who pays?"],
    issue_type="bug",
    priority="high",
    labels=["export"],
    assignee="bob",
    epic_id="OPS-1",
    custom={"team": "blue"},
    steps=["open it", "wait"],
    expected="a file",
    actual="nothing",
    environment="Safari",
    who="accountants",
    what="export",
    why="to report",
)


def hash_of(draft: TicketDraft, destination: Destination | None = None) -> str:
    return compute_draft_hash(draft, destination or Destination(), LocalRenderer(), Project(key="LOCAL"))


FILED_CHANGES: list[dict[str, Any]] = [
    {"title": "Export fails."},
    {"problem": "It answers 501."},
    {"proposed_solution": ""},
    {"acceptance_criteria": ["it is logged", "it finishes"]},
    {"acceptance_criteria": ["it finishes\nit is logged"]},
    {"acceptance_criteria": ["it finishes\n- it is logged"]},
    {"acceptance_criteria": ["it finishes", "it is logged", ""]},
    {"constraints": [Constraint(key="latency", value="100 ms")]},
    {"constraints": [Constraint(value="latency: 200 ms")]},
    {"constraints": [Constraint(key="latency", value="200 ms", status="conflict")]},
    {"dependencies": []},
    {"risks": ["slower", "slower"]},
    {"open_questions": ["who pays"]},
    {"issue_type": "task"},
    {"priority": "High"},
    {"labels": ["export", "eu"]},
    {"assignee": ""},
    {"epic_id": "OPS-11"},
    {"custom": {"team": "red"}},
    {"steps": ["wait", "open it"]},
    {"expected": ""},
    {"actual": "Nothing"},
    {"environment": "Safari 18"},
    {"who": ""},
    {"what": "export it"},
    {"why": "to  report"},
    {"custom": {"Team": "blue"}},
    {"problem": "It answers 500.\n\n## Acceptance criteria\n\n- it finishes\n- it is logged", "acceptance_criteria": []},
]


@pytest.mark.parametrize("changed", FILED_CHANGES, ids=str)
def test_whatever_is_filed_is_in_the_hash(changed: dict[str, Any]) -> None:
    assert hash_of(DRAFT.model_copy(update=changed)) != hash_of(DRAFT)


def test_every_field_is_tried() -> None:
    assert {field for changed in FILED_CHANGES for field in changed} == {*FIELDS, "custom"}


@pytest.mark.parametrize("destination", [Destination(project="OPS"), Destination(tracker="jira")], ids=str)
def test_where_it_goes_is_in_the_hash(destination: Destination) -> None:
    assert hash_of(DRAFT, destination) != hash_of(DRAFT)


def test_what_is_not_filed_is_not_in_the_hash() -> None:
    noted = DRAFT.model_copy(
        update={
            "evidence": [Evidence(field="title", quote="x", author="ann")],
            "version": 9,
            "skipped": ["risks"],
            "unsaid": [Unsaid(field="title", value="x")],
            "conflicts": [Conflict(field="title", sides=[])],
        }
    )
    assert hash_of(noted) == hash_of(DRAFT)
    decomposed = DRAFT.model_copy(update={"custom": {"team": unicodedata.normalize("NFD", "blüe")}})
    composed = DRAFT.model_copy(update={"custom": {"team": unicodedata.normalize("NFC", "blüe")}})
    assert hash_of(decomposed) == hash_of(composed)


def test_the_hash_is_the_sha256_of_the_canonical_payload() -> None:
    sealed = seal(Destination(), LocalRenderer().render(DRAFT, Project(key="LOCAL")))
    assert sealed.draft_hash == hashlib.sha256(sealed.bytes).hexdigest() == hash_of(DRAFT)
    assert json.loads(sealed.bytes) == sealed.payload
    assert len(sealed.draft_hash) == 64


def test_payload_and_hash_that_do_not_belong_together_are_refused() -> None:
    sealed = seal(Destination(), LocalRenderer().render(DRAFT, Project(key="LOCAL")))
    with pytest.raises(ValidationError, match="the payload hashes to"):
        SealedTicket(payload={**sealed.payload, "title": "Other"}, draft_hash=sealed.draft_hash)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values))
def test_canonical_is_one_spelling(payload: dict[str, Any]) -> None:
    spelled = canonical(payload)
    assert canonical(json.loads(spelled)) == spelled
    if len({unicodedata.normalize("NFC", key) for key in payload}) == len(payload):
        assert canonical(dict(reversed(payload.items()))) == spelled


@pytest.mark.parametrize("payload", [{"a": 1.5}, {"a": b"x"}, {"a": {1, 2}}, {"a": "\ud800"}])
def test_what_has_no_one_spelling_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(payload)


def payload_of(**changed: Any) -> dict[str, Any]:
    return seal(Destination(), LocalRenderer().render(DRAFT.model_copy(update=changed), Project(key="LOCAL"))).payload


def test_diff_names_fields_and_items() -> None:
    before = payload_of()
    assert diff(None, before) == []
    assert diff(before, before) == []
    changes = diff(before, payload_of(title="New", acceptance_criteria=["it finishes", "support is told"], risks=[]))
    assert {one.field: (one.removed, one.added) for one in changes} == {
        "title": (["Export fails"], ["New"]),
        "acceptance_criteria": (["it is logged"], ["support is told"]),
        "risks": (["slower"], []),
    }


def test_diff_shows_a_new_order_and_the_destination() -> None:
    [order] = diff(payload_of(), payload_of(acceptance_criteria=["it is logged", "it finishes"]))
    assert (order.removed, order.added) == (["it finishes", "it is logged"], ["it is logged", "it finishes"])
    [project] = diff(payload_of(), {**payload_of(), "project": "OPS"})
    assert (project.field, project.removed, project.added) == ("project", ["LOCAL"], ["OPS"])


def test_diff_never_says_nothing_when_the_bytes_differ() -> None:
    for changed in FILED_CHANGES:
        assert diff(payload_of(), payload_of(**changed)), changed


def test_one_marker_for_each_approval() -> None:
    markers = {marker(session, digest) for session in ("a", "b") for digest in ("c", "d")}
    assert len(markers) == 4
    assert marker("a", "c") == marker("a", "c")
