"""Rows of the audit log as sentences, where a conversation of the tests seldom leads."""

from typing import Any

import pytest

from agent.audit import NOTHING, Entry, Row
from agent.cli.audit import _told

RULE = {"who": "listed", "people": ["U2"], "groups": ["S1"]}


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        ("configured", {"by": "U1", "setting": {"tracker": "jira", "project": "OPS", "approvers": RULE}},
         "U1 settled that tickets go to jira OPS, and who may approve: U2, S1."),
        ("configured", {"by": "U1", "setting": {"approvers": {"who": "workspace"}}},
         "U1 settled that tickets go to where they went, and who may approve: members of the workspace."),
        ("configured", {"by": "U1", "setting": {"home": ""}}, "U1 settled where direct messages belong: nowhere."),
        ("expired", {"draft_hash": "f" * 64}, "Card ffffffff has expired."),
        ("refused", {"by": "U1", "why": "Guests may not."}, "U1 was refused: Guests may not."),
        ("model", {"model": "m", "unread": "unusable"}, "m answered, and its answer could not be used."),
        ("model", {"model": "m", "unread": "spent"}, "m was not asked: this conversation has used up what it may take."),
        ("model", {"model": "m", "error": "no answer came"}, "m did not answer: no answer came"),
        ("configured", {"by": "U1", "setting": "edited"}, "configured {\"by\":\"U1\",\"setting\":\"edited\"}"),
    ],
)  # fmt: skip
def test_a_row_is_a_sentence(kind: str, body: dict[str, Any], sentence: str) -> None:
    entry = Entry("T1:C1", "e", kind, body)
    assert _told(Row(1, "", entry.session_id, entry.event_id, kind, entry.text, NOTHING, "")) == sentence
