"""What fields, trackers and people are called in Slack."""

import re
from collections.abc import Sequence

from slack_adapter.text import escape

TYPES = {"story": "Story", "bug": "Bug", "task": "Task"}
TRACKERS = {"github": "GitHub", "gitlab": "GitLab"}
"""Names of trackers that capital letters alone do not make."""

LABELS = {"epic_id": "Epic", "type": "Type", "title": "Title", "issue_type": "Type", "steps": "Steps to reproduce"}
ORDER = (
    "who", "what", "why", "problem", "steps", "expected", "actual", "environment", "proposed_solution", "acceptance_criteria",
    "constraints", "dependencies", "risks", "open_questions", "priority", "labels", "assignee", "epic_id", "custom",
    "attachments",
)  # fmt: skip


def name_of(tracker: str) -> str:
    """A tracker's name, for people."""
    return TRACKERS.get(tracker, tracker.capitalize())


def label(field: str) -> str:
    """What people call a field."""
    return LABELS.get(field, field.removeprefix("custom.").replace("_", " ").capitalize())


def is_id(person: str) -> bool:
    """Whether it names somebody in Slack."""
    return re.fullmatch(r"[UW][A-Z0-9]+", person) is not None


def person(who: str) -> str:
    """Somebody, as a mention if Slack knows them."""
    return f"<@{who}>" if is_id(who) else escape(who)


def listed(names: Sequence[str], word: str = "and") -> str:
    """Names in a sentence."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
