"""What a surface that is not a terminal works with: effects to deliver, cards as they stand, and settings of places."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field

from agent.draft import Conflict, Evidence, Unsaid
from agent.ports import CardStatus, Pending
from agent.sealing import FieldChange
from agent.trackers import Ticket


class Effect(BaseModel):
    """One thing that people are to see, until it is delivered."""

    id: int
    key: str
    session_id: str
    origin: str
    body: dict[str, Any]
    attempts: int
    """How often its delivery was begun before, and for what only cards tell how often it failed: it may be there already."""
    at: datetime
    """When it was put on record: nothing of it is older outside."""


class Posted(BaseModel):
    """Where a card stands: the messages that show it, in order; the last one has the buttons."""

    channel: str
    ts: list[str]
    parts: int = 0
    """How many messages it takes; where fewer are known, posts were begun whose answers never came."""
    key: str = ""
    """Its messages carry this key, and their number."""


class CardView(BaseModel):
    """A card with everything it shows, as the rows have it now."""

    session_id: str
    preview_id: str
    draft_hash: str
    version: int
    sealed: dict[str, Any]
    status: CardStatus
    age: float
    """Seconds since something was first changed that no card has shown yet."""
    since: list[FieldChange] = Field(default_factory=list)
    """What changed since the card that people saw before this one."""
    unanswered: list[str] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    not_said: list[str] = Field(default_factory=list)
    """Fields of its type's template that nobody spoke of."""
    unsaid: list[Unsaid] = Field(default_factory=list)
    """What a model gave and nobody said."""
    conflicts: list[Conflict] = Field(default_factory=list)
    """What people said differently, and nobody decided."""
    unread: int = 0
    """Newer messages that were not considered."""
    requester: str = ""
    people: list[str] = Field(default_factory=list)
    """Who asked for the ticket, and who contributed to what the card shows."""
    decided_by: str = ""
    decided_at: datetime | None = None
    linked: Ticket | None = None
    """The ticket that it is instead, as who rejected it said."""
    filing: Literal["", "intended", "sent", "filed", "failed", "unknown", "left"] = ""
    """What became of its approval; empty if it has none (any more)."""
    attempt: int = 1
    asked: bool = False
    """People were asked what became of it."""
    key: str = ""
    url: str = ""
    reason: str = ""
    posted: Posted | None = None
    posted_at: datetime | None = None
    """When its posts were begun, or those whose place it took."""
    below: int = 0
    """How many messages came after it in its thread."""
    digest: str = ""
    """Of what its messages show now."""


class Standing(BaseModel):
    """Where a session stands."""

    session_id: str
    state: dict[str, Any] = Field(default_factory=dict)
    pending: Pending | None = None
    posted: Posted | None = None
    """Where its newest card is."""


class Outbox(Protocol):
    """Effects on their way outside, and the cards they are about."""

    async def due(self, session_id: str) -> list[Effect]:
        """What is to be delivered now, in order."""
        ...

    async def wait(self, session_id: str) -> float | None:
        """The seconds until the next effect of the session is due; None if none is open."""
        ...

    async def begin(self, effect: Effect) -> None:
        """Puts on record, before anything is sent, that a delivery is tried."""
        ...

    async def done(self, effects: Sequence[Effect], problem: str = "") -> None:
        """They are delivered; or with a problem: they never will be."""
        ...

    async def later(self, effects: Sequence[Effect], seconds: float, *, failed: bool = False) -> None:
        """They are due again after so many seconds. `failed`: that counts as a try, and what comes after them waits."""
        ...

    async def send(self, key: str, session_id: str, origin: str, body: dict[str, Any]) -> bool:
        """A new effect, durable when this returns; False if its key is known already."""
        ...

    async def cards(self, session_id: str) -> list[CardView]:
        """The newest card and every other that still stands somewhere, the newest first."""
        ...

    async def shown(self, card: CardView, posted: Posted | None, digest: str, *, moved: bool) -> None:
        """What now stands where; the place is this card's from now on. `moved`: its messages are new ones."""
        ...


class Sessions(Protocol):
    """Looking at sessions from outside a turn."""

    async def exists(self, session_id: str) -> bool:
        """Whether anything was ever accepted for it."""
        ...

    async def standing(self, session_id: str) -> Standing | None:
        """Where it stands; None if it never began."""
        ...

    async def of_event(self, event_id: str) -> str | None:
        """The id of the session that an event belongs to; None if it was never accepted."""
        ...

    async def answer(self, session_id: str, event_id: str) -> dict[str, Any] | None:
        """What an event of a session said as it was accepted, such as a form that came a moment too late."""
        ...

    async def waiting_in(self, team: str, channel: str) -> str | None:
        """The id of the newest session of a channel that waits for somebody, or has yet to begin."""
        ...

    async def unsettled(self, team: str) -> list[Standing]:
        """The newest sessions of a workspace that wait for somebody, the newest first."""
        ...

    async def with_open_card(self, team: str, channels: str) -> list[str]:
        """The ids of the sessions that wait for a decision, in the channels whose id begins like this."""
        ...


class Places(Protocol):
    """What is settled for a place, such as a channel."""

    async def read(self, place: str) -> dict[str, Any]:
        """Its settings; empty if it has none."""
        ...

    async def write(self, place: str, setting: dict[str, Any], changed_by: str) -> None:
        """Puts its settings in the place of what it had."""
        ...
