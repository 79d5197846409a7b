"""The local tracker: tickets in a table of Signoff's own database, for a team that has no tracker yet and for trying out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from agent.draft import Constraint, TicketDraft
from agent.projects import Project
from agent.protocol import Question
from agent.receipt import Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Missing, Ticket
from skills.trackers.body import SECTIONS


class Stored(NamedTuple):
    """A ticket as it is stored."""

    key: str
    marker: str
    sealed: bytes
    receipt: Mapping[str, Any] | None
    """None for those that were filed before there were receipts."""


class TicketTable(Protocol):
    """The table behind the tracker: one row a marker, numbered without gaps within a project."""

    async def insert(self, marker: str, sealed: bytes, receipt: Mapping[str, Any]) -> str:
        """The key of the marker's ticket, which is made if there is none."""
        ...

    async def find(self, *, marker: str | None = None, key: str | None = None) -> Stored | None:
        """The ticket with this marker or key."""
        ...

    async def search(self, project: str, text: str) -> list[tuple[str, str]]:
        """Keys and titles of tickets that share a word with the text, those with most of them first."""
        ...

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """Adds a comment to a ticket, unless there is one with this id."""
        ...


def render_markdown(draft: TicketDraft) -> str:
    """The body as Markdown, empty sections left out; what people wrote stands in it as they wrote it."""
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

    def questions(self, draft: TicketDraft, project: Project) -> list[Question]:
        """It takes any draft."""
        return []

    def render(self, draft: TicketDraft, project: Project) -> Mapping[str, Any]:
        """Title, type, Markdown body, and every field that holds something; all of it is what is stored."""
        return {"type": draft.issue_type, "title": draft.title, "body": render_markdown(draft), "fields": draft.filled()}


class LocalTracker(LocalRenderer):
    """Files into a `TicketTable`. Its marker is a unique key there, so that filing twice gives the same ticket."""

    repeatable = True

    def __init__(self, tickets: TicketTable) -> None:
        self._tickets = tickets

    async def describe(self, project: str) -> Project:
        """Any name is a project, and takes anything."""
        return Project(key=project)

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        """The ticket of these sealed bytes, new or made before under the same marker."""
        key = await self._tickets.insert(receipt.marker, sealed.bytes, receipt.model_dump(mode="json"))
        return _ticket(key, sealed.payload["title"])

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        """The marker's ticket."""
        found = await self._tickets.find(marker=receipt.marker)
        return _copy(found, receipt) if found else None

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        """The ticket of this key."""
        return _copy(await self._stored(key), receipt)

    async def search(self, project: str, text: str) -> list[Ticket]:
        """Tickets that share words with the text."""
        return [_ticket(key, title) for key, title in await self._tickets.search(project, text)]

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        """Its receipt names the conversation."""

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """A comment on a ticket; the same id twice is one comment."""
        await self._tickets.comment(comment_id, (await self._stored(key)).key, author, text)

    async def _stored(self, key: str) -> Stored:
        if (found := await self._tickets.find(key=key.strip())) is None:
            raise Missing(f"There is no ticket {key}: signoff tickets lists those that there are.")
        return found


def _ticket(key: str, title: str = "") -> Ticket:
    return Ticket(key=key, url=f"signoff://tickets/{key}", title=title)


def _copy(found: Stored, receipt: Receipt) -> Copy:
    payload = json.loads(found.sealed)
    stands = found.receipt is None or Receipt.model_validate(found.receipt) == receipt
    return Copy(
        ticket=_ticket(found.key, payload["title"]), ours=found.marker == receipt.marker, payload=payload, receipt=stands
    )


RENDERER = LocalRenderer()
