"""The local tracker: tickets in a table of Signoff's own database, for a team that has no tracker yet and for trying out."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.draft import Constraint, TicketDraft
from agent.ports import Ticket


class TicketTable(Protocol):
    """The table behind the tracker: one row a marker, numbered without gaps within a project."""

    async def insert(self, marker: str, sealed: bytes) -> str:
        """The key of the marker's ticket, which is made if there is none."""
        ...

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """Adds a comment to a ticket, unless there is one with this id."""
        ...


SECTIONS = (
    ("problem", "Problem"),
    ("proposed_solution", "Proposed solution"),
    ("acceptance_criteria", "Acceptance criteria"),
    ("constraints", "Constraints"),
    ("dependencies", "Dependencies"),
    ("risks", "Risks"),
    ("open_questions", "Open questions"),
)
"""The draft's fields that make the body, in order, and their headings."""


def render_markdown(draft: TicketDraft) -> str:
    """The body as Markdown, empty sections left out."""
    parts = []
    for field, heading in SECTIONS:
        value = getattr(draft, field)
        if value:
            parts.append(f"## {heading}\n\n{value if isinstance(value, str) else _bullets(value)}")
    return "\n\n".join(parts)


def _bullets(items: Sequence[str | Constraint]) -> str:
    texts = [item if isinstance(item, str) else ": ".join(filter(None, (item.key, item.value))) for item in items]
    return "\n".join("- " + text.replace("\n", "\n  ") for text in texts)


class LocalRenderer:
    """What the local tracker would be sent; needs no table, so Studio and replay use it alone."""

    name = "local"

    def render(self, draft: TicketDraft) -> Mapping[str, Any]:
        """Title, type, Markdown body, and every field that holds something."""
        fields = {name: value for name, value in draft.content().items() if value and name not in ("title", "issue_type")}
        return {"type": draft.issue_type, "title": draft.title, "body": render_markdown(draft), "fields": fields}


class LocalTracker(LocalRenderer):
    """Files into a `TicketTable`. Its marker is a unique key there, so that filing twice gives the same ticket."""

    repeatable = True

    def __init__(self, tickets: TicketTable) -> None:
        self._tickets = tickets

    async def create(self, sealed: bytes, marker: str) -> Ticket:
        """The ticket of these sealed bytes, new or made before under the same marker."""
        key = await self._tickets.insert(marker, sealed)
        return Ticket(key=key, url=f"signoff://tickets/{key}")

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """A comment on a ticket; the same id twice is one comment."""
        await self._tickets.comment(comment_id, key, author, text)
