"""The port to trackers: what each of them can do, and how it says that it could not.

The pure half (`Renderer`) needs no network, so the graph, Studio and replay use it alone. The other half is called by the
shell. One file each in `skills/trackers/`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, Field

from agent.draft import TicketDraft
from agent.hiding import hide
from agent.projects import Project
from agent.protocol import Question
from agent.receipt import Receipt
from agent.sealing import FieldChange, SealedTicket

LONGEST = 2_000
"""Characters of what a tracker says that are kept."""


def _told(text: str) -> str:
    """What may be shown: trackers, and what stands in front of them, quote whole requests in their errors."""
    text = hide(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


class Refused(Exception):
    """It was surely not done, and trying again changes nothing; the text says what a person can do about it.

    `fields` maps the draft's fields that are to blame to what the tracker says of them.
    """

    def __init__(self, text: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(_told(text))
        self.fields = {name: _told(said) for name, said in (fields or {}).items()}


class Missing(Refused):
    """There is no such thing, or it is not to be seen with this token."""


class Later(Exception):
    """It was surely not done, and may be later: a rate limit, or no connection. `seconds`: the pause that was asked for."""

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(_told(text))
        self.seconds = seconds


class Unsure(Exception):
    """Nobody can tell whether it was done; the text says what happened."""

    def __init__(self, text: str) -> None:
        super().__init__(_told(text))


class Ticket(BaseModel):
    """A ticket that exists in a tracker."""

    key: str = Field(max_length=300)
    url: str
    title: str = ""


TWINS = "tickets"
"""The field of a change that says that several tickets carry one marker: their keys are what came."""


class Copy(BaseModel):
    """A ticket as its tracker holds it now, beside what was sealed."""

    ticket: Ticket
    ours: bool
    """It carries the approval's marker in the way that only we put it there, and stands in the project that was sealed."""
    payload: dict[str, Any]
    """The sealed payload with what the tracker holds now in the place of what was sent, its envelope stripped."""
    changed: list[FieldChange] = Field(default_factory=list)
    """What differs from what was sealed, as far as the tracker can change it."""
    receipt: bool = True
    """The receipt stands as it was written."""

    @property
    def draft_hash(self) -> str:
        """The hash of what the tracker holds: that of the approval, if nothing was changed."""
        return SealedTicket(payload=self.payload).draft_hash


class Renderer(Protocol):
    """The pure half of a tracker: what a draft would be filed as."""

    name: str

    def questions(self, draft: TicketDraft, project: Project) -> list[Question]:
        """What must be answered before the tracker would take the draft: required fields, values it does not know, limits."""
        ...

    def render(self, draft: TicketDraft, project: Project) -> Mapping[str, Any]:
        """The payload's `type`, `title`, `body` and `fields`, and the `request` that would be sent, as JSON values.

        Called only for drafts that leave no question.
        """
        ...


class Tracker(Renderer, Protocol):
    """A place that tickets are filed to. Every call raises Refused or Later; `create` alone also Unsure."""

    repeatable: bool
    """Creating twice under one marker gives the same ticket, so that an unknown outcome is settled by trying again."""

    async def describe(self, project: str) -> Project:
        """The project's types and their fields."""
        ...

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        """Sends the sealed request in its envelope: one POST, which nothing repeats."""
        ...

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        """The ticket of ours that carries the receipt's marker; `changed` if it does not read as sealed, or there are several.

        None proves nothing: what was just made may not be found yet.
        """
        ...

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        """The ticket of this key, beside what was sealed."""
        ...

    async def search(self, project: str, text: str) -> list[Ticket]:
        """Tickets of the project that are about the text, the likeliest first; at most ten."""
        ...

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        """Ties the ticket to the receipt's conversation, where the tracker has a place for that; twice is once."""
        ...

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """Adds a comment to a ticket; the same id twice is one comment."""
        ...
