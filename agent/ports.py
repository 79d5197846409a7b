"""The ports: what the agent needs of the world, as protocols that other rooms fill, and the records that cross them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field

from agent.draft import TicketDraft
from agent.protocol import Decision, FilingOutcome, Reply

CardStatus = Literal["open", "superseded", "approved", "rejected", "expired"]


class Event(BaseModel):
    """One thing that came in for a session: what somebody said or decided, or what became of a filing."""

    event_id: str
    session_id: str
    origin: str = ""
    """The terminal or the channel that it came from, so that its answer finds the way back."""
    surface: dict[str, Any] = Field(default_factory=dict)
    """What the surface itself needs to know of it later."""
    answer: Annotated[Reply | Decision | FilingOutcome, Field(discriminator="type")]


class Verdict(BaseModel):
    """Whether the policy lets a person decide, and if not, why."""

    allowed: bool = True
    why: str = ""


class ApprovalRecord(BaseModel):
    """The decision on record for a sealed ticket of a session: the first one, which stands."""

    session_id: str
    draft_hash: str
    status: Literal["approved", "rejected"]
    approved_by: str
    preview_id: str = ""
    event_id: str = ""
    decided_at: datetime | None = None


class Card(BaseModel):
    """A preview that was shown."""

    preview_id: str
    draft_hash: str
    sealed: dict[str, Any]
    version: int
    status: CardStatus = "open"


class ModelCall(BaseModel):
    """One call of the model: the event it was for, the digest of what it was sent, and its whole answer."""

    event_id: str = ""
    ordinal: int = 0
    digest: str = ""
    characters: int = 0
    answer: dict[str, Any] = Field(default_factory=dict)


class Pending(BaseModel):
    """What the graph waits for: the interrupt's id and its request, in the form it was shown."""

    interrupt_id: str
    request: dict[str, Any]


class Ticket(BaseModel):
    """A ticket that exists in a tracker."""

    key: str
    url: str


@dataclass(frozen=True)
class Snapshot:
    """A session as a turn finds it, with the event to take: all that the turn may go by."""

    event: Event
    turn: int
    """How many turns were committed before; the commit is refused if that is no longer so."""
    state: dict[str, Any] = field(default_factory=dict)
    """The graph's state but for its messages: what the session is rebuilt from, should the checkpoint be unreadable."""
    pending: Pending | None = None
    checkpoint: bytes | None = None
    open_card: Card | None = None
    clicked: Card | None = None
    """The newest card whose hash begins as the click says, whatever became of it; None also if several hashes do."""
    standing: ApprovalRecord | None = None
    """The decision on record for the clicked card's hash."""
    ticket: Ticket | None = None
    """What was filed under that decision."""
    unreadable: bool = False
    """What the event says cannot be read, now or later; its answer is an empty one."""


@dataclass(frozen=True)
class Turn:
    """What a turn came to: everything that is committed together."""

    outcome: str
    """In a word, what became of the event."""
    shows: list[dict[str, Any]] = field(default_factory=list)
    """What people are to see, in order: the objects that `chat --json` prints."""
    verdict: Verdict | None = None
    heard: Reply | None = None
    """The reply in readable words with all that belongs to it, where it came in as something else."""
    graph: "GraphTurn | None" = None
    """What the graph made of it; None if it was not run."""


@dataclass(frozen=True)
class GraphTurn:
    """The session after the graph ran."""

    checkpoint: bytes
    state: dict[str, Any]
    pending: Pending | None
    new_card: Card | None = None
    closed: tuple[str, CardStatus] | None = None
    """The card that was open before, and what became of it."""
    decision: ApprovalRecord | None = None
    calls: list[ModelCall] = field(default_factory=list)


@dataclass(frozen=True)
class Filing:
    """An approved sealed ticket on its way to the tracker."""

    session_id: str
    draft_hash: str
    sealed: bytes
    marker: str
    origin: str
    sent_before: bool
    """Somebody sent it before and its outcome is not on record."""


class LostRace(Exception):
    """Another worker committed a turn of this session first; nothing was written."""


class Store(Protocol):
    """Where sessions live. Each method is one transaction."""

    async def accept(self, event: Event) -> bool:
        """Makes an event durable and wakes its session; False if it is known already."""
        ...

    async def next(self, session_id: str) -> Snapshot | None:
        """The session's oldest event that is not processed, with what its turn needs."""
        ...

    async def commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        """Commits all of a turn; True if the session has more events waiting. Raises LostRace."""
        ...

    async def begin_filing(self, session_id: str, draft_hash: str) -> Filing | None:
        """Puts on record that the ticket is sent from now on; None if its outcome is known."""
        ...

    async def end_filing(self, filing: Filing, outcome: FilingOutcome) -> None:
        """Puts the outcome on record and accepts it as an event of the session."""
        ...


class Unheard(Exception):
    """A reply cannot be heard, now or later; the text tells its author what to do."""


class Unreachable(Exception):
    """The outside does not answer now, and may later."""


class NotYet(Exception):
    """The outside wants a pause of so many seconds before it is asked again, which is no failure of anybody's."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds:.0f} s")
        self.seconds = seconds


class Facts(Protocol):
    """What a turn has to know of the world, asked before it is taken and kept with its event."""

    async def hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        """The reply in readable words, with the thread and files that belong to it. Raises Unheard, Unreachable or NotYet."""
        ...

    async def may_decide(self, snapshot: Snapshot, decision: Decision) -> Verdict:
        """The verdict on the person behind a click. What cannot be found out means no. Raises Unreachable or NotYet."""
        ...


class TrackerError(Exception):
    """The tracker surely did not create the ticket; the text says what a person can do about it."""


class Renderer(Protocol):
    """The pure half of a tracker: what a draft would be filed as."""

    name: str

    def render(self, draft: TicketDraft) -> Mapping[str, Any]:
        """The payload's `type`, `title`, `body` and `fields`, as JSON values."""
        ...


class Tracker(Renderer, Protocol):
    """A place that tickets are filed to."""

    repeatable: bool
    """Creating twice under one marker gives the same ticket, so that an unknown outcome is settled by trying again."""

    async def create(self, sealed: bytes, marker: str) -> Ticket:
        """Files exactly these bytes under the marker. Raises TrackerError if it surely did not happen."""
        ...

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """Adds a comment to a ticket; the same id twice is one comment."""
        ...
