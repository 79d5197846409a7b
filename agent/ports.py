"""The ports: what the agent needs of the world, as protocols that other rooms fill, and the records that cross them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field

from agent.protocol import Decision, FilingOutcome, Found, Reply, Settlement
from agent.receipt import Receipt
from agent.rules import FilingStatus
from agent.trackers import Ticket

CardStatus = Literal["open", "superseded", "approved", "rejected", "expired"]

PAST = ("superseded", "expired")
"""The states of a card that nobody decided, and nobody can any more."""


class Event(BaseModel):
    """One thing that came in for a session: what somebody said or decided, or what became of a filing."""

    event_id: str
    session_id: str
    origin: str = ""
    """The terminal or the channel that it came from, so that its answer finds the way back."""
    surface: dict[str, Any] = Field(default_factory=dict)
    """What the surface itself needs to know of it later."""
    answer: Annotated[Reply | Decision | FilingOutcome | Settlement, Field(discriminator="type")]


class Verdict(BaseModel):
    """What was found out about a click: whether the policy lets the person decide, and if not, why."""

    allowed: bool = True
    why: str = ""
    name: str = ""
    """The person's name, for people to read; empty if what identifies them is one."""
    thread: str = ""
    """The address of the conversation."""
    ticket: Ticket | None = None
    """The ticket that somebody says was filed, if it is the one; if it is not, `why` says so."""
    filing: "FilingFacts | None" = None
    """The filing that the click is about, as it was found."""
    late: bool = False
    """The card that was clicked was last shown too long before that."""


class FilingFacts(BaseModel):
    """What a turn goes by of a filing; kept with its event, because the filing itself goes on."""

    draft_hash: str
    status: FilingStatus
    attempt: int
    ticket: Ticket | None = None


class ApprovalRecord(BaseModel):
    """The decision on record for a sealed ticket of a session: the first one, which stands."""

    session_id: str
    draft_hash: str
    status: Literal["approved", "rejected"]
    approved_by: str
    preview_id: str = ""
    event_id: str = ""
    name: str = ""
    """What they are called, for people to read; empty if `approved_by` is that."""
    thread: str = ""
    """The address of the conversation."""
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
    model: str = ""
    digest: str = ""
    characters: int = 0
    answer: dict[str, Any] = Field(default_factory=dict)
    """Empty if there was none."""
    error: str = ""
    """Why there was none."""
    unread: Literal["", "unusable", "spent"] = ""
    """Why nothing was read of it, for the audit log: what came could not be used, or it was not asked, for want of tokens."""
    input_tokens: int = 0
    output_tokens: int = 0
    milliseconds: int = 0
    dropped: int = 0
    """Changes that were thrown away: their quote is in no message."""


class Pending(BaseModel):
    """What the graph waits for: the interrupt's id and its request, in the form it was shown."""

    interrupt_id: str
    request: dict[str, Any]


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
    late: bool = False
    """That card was last shown more than `CARD_DAYS` before the click was accepted, by the database's clock."""
    standing: ApprovalRecord | None = None
    """The decision on record for the clicked card's hash."""
    filing: "Filing | None" = None
    """The filing under that decision, or that a settlement or an outcome is about."""
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
    settled: "Settled | None" = None
    """What it decides of a filing that failed or is unknown."""
    unprocessed: bool = False
    """It came to nothing: the event could not be processed."""


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
    intends: bool = False
    """The decision has its ticket filed."""
    calls: list[ModelCall] = field(default_factory=list)
    found: Found | None = None
    """What was found of tickets that may be the same, if the turn had it looked."""


@dataclass(frozen=True)
class Settled:
    """What becomes of a filing that failed or is unknown, by a person's decision; `withdrawn`: its approval is, with it."""

    filing: "Filing"
    to: Literal["intended", "filed", "left", "withdrawn"]
    ticket: Ticket | None = None


@dataclass(frozen=True)
class Filing:
    """An approved sealed ticket on its way to the tracker."""

    session_id: str
    draft_hash: str
    sealed: bytes
    approval: ApprovalRecord
    marker: str
    origin: str
    status: FilingStatus
    """As it was found."""
    attempt: int = 1
    """How often a person let it be sent, the approval included."""
    age: float = 0.0
    """Seconds since that, by the database's clock."""
    looks: int = 0
    """How often it was looked for since its outcome is unknown."""
    asked: bool = False
    """People were asked what became of it."""
    doubted: bool = False
    """No answer came to an attempt, this one or one before: it may be there whatever an answer says now."""
    reason: str = ""
    ticket: Ticket | None = None

    @property
    def facts(self) -> FilingFacts:
        """What a turn goes by of it."""
        return FilingFacts(draft_hash=self.draft_hash, status=self.status, attempt=self.attempt, ticket=self.ticket)

    @property
    def receipt(self) -> Receipt:
        """What the ticket carries beside what was approved."""
        assert self.approval.decided_at
        return Receipt(
            marker=self.marker,
            draft_hash=self.draft_hash,
            approved_by=self.approval.name or self.approval.approved_by,
            approved_at=self.approval.decided_at,
            thread=self.approval.thread,
        )


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


class Ledger(Protocol):
    """Where filings are on record. Each method is one transaction."""

    async def begin(self, session_id: str, draft_hash: str) -> Filing | None:
        """What is to be done for a filing now, as it was found; None if that is nothing.

        One that was intended is on record as sent when this returns. One that was sent before has an outcome nobody knows.
        """
        ...

    async def put_off(self, filing: Filing, seconds: float, told: str = "") -> None:
        """What was to be done could not be, and is due again after so many seconds; a sending is only intended again.

        `told` is what people are to hear of it.
        """
        ...

    async def lost(self, filing: Filing, reason: str, seconds: float) -> None:
        """It was sent, and nobody can tell what became of it: it is looked for, first after so many seconds."""
        ...

    async def end(self, filing: Filing, outcome: FilingOutcome) -> bool:
        """Puts the outcome on record and accepts it as an event of the session; False if another was before."""
        ...

    async def rest(self, filing: Filing) -> None:
        """Nothing more is to be done for it, unless somebody says so."""
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

    async def may_decide(self, snapshot: Snapshot, decision: Decision | Settlement) -> Verdict:
        """The verdict on the person behind a click. What cannot be found out means no. Raises Unreachable or NotYet."""
        ...
