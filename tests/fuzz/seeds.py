"""What mutations begin with: payloads as Slack's documentation and the simulators have them, and files of the repository."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from agent.draft import Constraint, TicketDraft
from agent.projects import Project
from agent.protocol import (
    AskRequest,
    Decision,
    FileRequest,
    FilingOutcome,
    Found,
    Likeness,
    PreviewRequest,
    Question,
    Reply,
    Request,
    Settlement,
    SimilarRequest,
)
from agent.sealing import Destination, SealedTicket
from skills.trackers.local import RENDERER
from slack_adapter import forms
from slack_adapter.settings import ChannelSetting
from slack_adapter.settling import there_form
from slack_adapter.setup_form import setup_form
from tests.slack.test_bad_input import SEEDS
from tests.slack_sim.blocks import state

SESSION = "T1:C1OPS:1795000000.000100"
FORGED = "f" * 64
"""A hash that no card has: what names it decides nothing."""

COMMAND = {
    "command": "/signoff", "text": "new Title: Export fails", "channel_id": "C1OPS", "user_id": "U1ANN", "team_id": "T1",
    "trigger_id": "1.2.abc", "team_domain": "acme", "channel_name": "ops", "user_name": "ann", "api_app_id": "A1",
    "response_url": "https://hooks.slack.com/commands/1", "is_enterprise_install": "false",
}  # fmt: skip
VALUES = [SESSION, f"{SESSION}:{FORGED}", f"{SESSION}:{FORGED}:acme/web#12", "E1:D1:1.2"]
DRAFT = TicketDraft(
    title="Export fails",
    problem="It answers 500.",
    acceptance_criteria=["it finishes", "it is logged"],
    labels=["export", "csv"],
    constraints=[Constraint(key="latency", value="under 200 ms"), Constraint(value="on staging")],
    custom={"Team": "Payments"},
)


def _submitted(view: dict[str, Any], **typed: str) -> dict[str, Any]:
    """A form as it comes back."""
    blocks = view["blocks"]
    values = state(blocks, {})["values"]
    for field, text in typed.items():
        if field in values:
            next(iter(values[field].values()))["value"] = text
    return {**view, "id": "V1", "hash": "1.a", "state": {"values": values}, "team_id": "T1"}


@cache
def views() -> list[dict[str, Any]]:
    """Every form, filled in."""
    setting = ChannelSetting()
    return [
        _submitted(forms.edit_form(SESSION, DRAFT), title="Exports fail", labels="a, b", problem="It hangs."),
        _submitted(forms.edit_form(SESSION, DRAFT, missing=True), problem="It hangs."),
        _submitted(forms.comment_form(SESSION, "LOCAL-1"), text="Seen again."),
        _submitted(there_form(SESSION, FORGED, 1), key="LOCAL-1"),
        _submitted(setup_form("T1", "C1OPS", setting, ("local", "github"), home=False)),
    ]


@cache
def payloads() -> list[dict[str, Any]]:
    """Bodies of events and interactions."""
    who = {"type": "view_submission", "team": {"id": "T1"}, "user": {"id": "U1ANN", "team_id": "T1"}, "trigger_id": "1.2.x"}
    acts = ["reject_draft", "new_ticket", "request_changes", "reopen", "show_evidence", "comment", "file_again", "leave_filing",
            "filing_there", "confirm_mark", "answer:1", "same_as:0", "fill_in"]  # fmt: skip
    click = SEEDS[3]
    clicks = [
        {**click, "actions": [{**click["actions"][0], "action_id": act, "value": VALUES[n % 3], "block_id": f"attempt-{n}"}]}
        for n, act in enumerate(acts)
    ]
    return [*SEEDS, *clicks, *({**who, "view": view} for view in views())]


@cache
def requests() -> list[Request]:
    """One of each kind of gate."""
    sealed = SealedTicket(payload={"tracker": "local", "project": "LOCAL", **RENDERER.render(DRAFT, Project(key="LOCAL"))})
    return [
        AskRequest(questions=[Question(field="title", text="What is it called?", options=["a", "b"], id="q1")]),
        SimilarRequest(destination=Destination(), title="Export fails", problem="It answers 500."),
        PreviewRequest(preview_id="p1", draft_hash=sealed.draft_hash, version=1, sealed=sealed.payload),
        FileRequest(preview_id="p1", draft_hash=sealed.draft_hash, approved_by="ann"),
    ]


@cache
def answers() -> list[Any]:
    """What gates are resumed with: our own, and every spelling of Studio's, Agent Chat UI's and Agent Inbox's."""
    sealed = requests()[2].model_dump(mode="json")["sealed"]  # type: ignore[union-attr]
    ours = [
        Reply(text="Priority: high", by="ann", edits=[{"field": "title", "value": ["x"]}]),  # type: ignore[list-item]
        Decision(type="approve", draft_hash=FORGED, preview_id="p1", by="ann"),
        Found(tickets=[Likeness(key="OPS-1", title="Export fails")]),
        FilingOutcome(status="filed", key="OPS-1", url="https://x/OPS-1"),
        Settlement(act="there", key="OPS-1", attempt=1),
    ]
    edit = {"type": "edit", "edited_action": {"name": "preview_ticket", "args": {"sealed": {**sealed, "title": "Other"}}}}
    return [
        *(one.model_dump(mode="json") for one in ours), "approve", "none", '{"status": "filed", "key": "OPS-1"}',
        {"decisions": [{"type": "approve"}]}, {"decisions": [edit]}, {"decisions": [{"type": "reject", "message": "no"}]},
        [{"type": "accept", "args": None}], [{"type": "response", "args": "Priority: high"}], [{"type": "ignore"}],
        {"type": "respond", "message": {"text": "hi"}},
        {"type": "edit", "args": {"title": "Other", "labels": ["a"], "custom": {"Team": "X"}}},
        {"status": "unknown", "reason": "?"}, {"type": "found", "tickets": [{"key": "A-1"}]},
    ]  # fmt: skip


@cache
def conversations() -> list[list[str]]:
    """The lines of recorded conversations, the shorter ones."""
    files = sorted((Path(__file__).parents[1] / "conversations").glob("*.jsonl"), key=lambda path: path.stat().st_size)
    return [path.read_text(encoding="utf-8").splitlines() for path in files[:40]]


@cache
def model_answers() -> list[dict[str, Any]]:
    """Answers of a model as an OpenAI server gives them, around calls that were recorded."""
    calls = []
    for lines in conversations():
        for line in lines[1:]:
            for call in json.loads(line).get("calls", []):
                calls += [one["args"] for one in (call.get("answer") or {}).get("tool_calls", [])]
    calls = calls[:30] or [{"intent": "small_talk", "operations": []}]
    return [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1795000000,
            "model": "any",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [
                            {
                                "id": "c1",
                                "type": "function",
                                "function": {"name": "update_draft", "arguments": json.dumps(args)},
                            }
                        ],
                    },
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
        for args in calls
    ]
