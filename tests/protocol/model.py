"""The protocol as a machine small enough to be explored whole: one conversation, two workers, three people, a tracker.

What happens next is not written here: it is asked of the tables in `agent.rules`, by their own `first`. What is written here is
what the code around them does: what a turn reads and commits, what a worker does between two commits, and what may go wrong.
`docs/protocol.md` says what is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from agent import rules
from agent.rules import Row, first

ALLOWED = ("ann", "bob")
"""Who may decide: an approver, and whoever asked for the ticket. Eve may not."""
VAGUE = 4
"""A draft that has no title yet, which is asked for."""
GIVEN_UP = -1
"""Nothing was said, and whoever was asked left it open."""
OVER = ("filed", "left")
GATES = {"ask_user": "ask", "preview_ticket": "preview", "file_ticket": "file", "end": "none"}
SETTLES = {"intended": "again", "filed": "file", "left": "leave", "withdrawn": "withdraw"}
"""The move of the filing that a settlement asks for."""
Event = tuple[Any, ...]


@dataclass(frozen=True)
class Tables:
    """The tables that are checked: the program's own, or a wrong variant of them."""

    decisions: tuple[Row, ...] = rules.DECISIONS
    judgements: tuple[Row, ...] = rules.JUDGEMENTS
    settlements: tuple[Row, ...] = rules.SETTLEMENTS
    steps: tuple[Row, ...] = rules.STEPS
    results: tuple[Row, ...] = rules.RESULTS
    moves: tuple[Row, ...] = rules.MOVES


@dataclass(frozen=True)
class Ways:
    """How the code around the tables goes about it. The defaults are what it does; anything else is a wrong variant."""

    fenced: bool = True
    """A turn commits only if no other was committed since it was read."""
    unique: bool = True
    """The database takes one decision for a ticket."""
    bound: bool = True
    """A click is about the card that it names, and not about whatever is pending."""
    whole_hash: bool = True
    """The hash tells apart whatever would be filed differently."""
    by_key: bool = True
    """An event is accepted once."""


@dataclass(frozen=True)
class Bounds:
    """How much people do, and how much may go on at once."""

    acts: int = 4
    says: int = 3
    orders: int = 1
    clicks: int = 3
    settles: int = 2
    versions: int = 3
    inbox: int = 2
    flying: bool = True
    """A request may be under way for long, and arrive after its sender was given up."""
    meddling: bool = False
    """Somebody may edit a ticket in the tracker."""
    gone: bool = False
    """The tracker may not be there any more, for all that is still to be done."""
    ageing: bool = False
    """A click may come in after the time for which its card can be decided."""
    begun: bool = False
    """The conversation starts with a card that ann has approved."""
    repeatable: bool = False
    """The tracker makes one ticket of an approval, however often it is sent."""


class Card(NamedTuple):
    """A card that was shown."""

    content: int
    status: str


class Filing(NamedTuple):
    """A row of the ledger."""

    status: str
    attempt: int = 1
    looks: int = 0
    asked: bool = False
    doubted: bool = False


class Ticket(NamedTuple):
    """What the tracker has under one marker."""

    made: int = 0
    seen: str = "hidden"
    flying: bool = False
    """A request to make it is under way."""


class Session(NamedTuple):
    """The graph's state."""

    draft: int = 0
    gate: str = "none"
    open: int = -1
    """The card at the gate."""
    approved: int = -1
    """The card that was approved."""
    outcome: str = "none"
    rejected: int = 0
    wish: str = ""
    closed: str = ""
    looked: bool = False

    @property
    def over(self) -> bool:
        """Whether the ticket has come to its end."""
        return bool(self.closed) or self.outcome in OVER


class Taking(NamedTuple):
    """A worker that has read a session and will commit a turn."""

    event: Event
    filing: Filing | None
    proven: bool
    snapshot: Any = None
    """What it read, kept only where nothing fences it off."""


class Doing(NamedTuple):
    """A worker that does a filing's next step."""

    hash: int
    filing: Filing
    """As it was found."""
    phase: str
    result: str = ""


Work = Taking | Doing | None


class Left(NamedTuple):
    """What people may still do."""

    acts: int
    says: int
    orders: int
    clicks: int
    settles: int


class World(NamedTuple):
    """Everything at one instant."""

    session: Session
    cards: tuple[Card, ...]
    decided: tuple[str, ...]
    """By hash."""
    filings: tuple[Filing | None, ...]
    tickets: tuple[Ticket, ...]
    risked: tuple[int, ...]
    """How often a person let a ticket be sent again that may be there."""
    inbox: tuple[Event, ...]
    workers: tuple[Work, Work]
    left: Left
    versions: int = 0
    """How many contents there were."""
    last: Event | None = None
    """The event that came in last, kept only where it may be accepted twice."""


class Turned(NamedTuple):
    """A turn that was committed."""

    event: Event
    then: str
    row: str
    filing: Filing | None = None
    proven: bool = False
    gate: str = ""
    answered: bool = True
    opened: int = 0
    decided: tuple[int, str, int] | None = None
    """Hash, decision, and the card that it is recorded for."""
    move: str = ""
    said: str = ""
    """The row of the decision that closes what is told."""
    show: bool = False
    """Somebody asked for a card, or for a new ticket."""
    rejected: int = 0
    """What had been rejected when it was read."""
    twice: bool = False
    tied: bool = False
    """The ticket that it is said to be got a comment about this conversation."""


class Recorded(NamedTuple):
    """What the ladder committed of a step."""

    hash: int
    found: Filing
    """As the step began with it."""
    result: str
    patient: bool
    repeatable: bool


class Hurried(NamedTuple):
    """A step that begins before a pause is over."""

    hash: int


class Untied(NamedTuple):
    """A ticket that could not be tied to its conversation for now, and whether that is on record."""

    kept: bool


class Stopped(NamedTuple):
    """A commit that failed."""

    why: str


class AcceptedTwice(NamedTuple):
    """An event that was known."""


class Broken(Exception):
    """What the code around the tables would stop at: an assertion, or a constraint of the database."""


Happened = Turned | Recorded | Hurried | Untied | Stopped | AcceptedTwice | None
Transition = tuple[tuple[Any, ...], World, Happened]


@dataclass
class Machine:
    """All that can happen next in a world, by the tables."""

    tables: Tables = field(default_factory=Tables)
    ways: Ways = field(default_factory=Ways)
    bounds: Bounds = field(default_factory=Bounds)
    asked: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=dict)
    """What the tables were asked, and which row fitted."""

    def __post_init__(self) -> None:
        for name, table, facts in (
            ("decides", "decisions", rules.Situation),
            ("judges", "judgements", rules.Click),
            ("settles", "settlements", rules.Settling),
            ("steps", "steps", rules.Step),
            ("comes_to", "results", rules.Result),
            ("moves", "moves", rules.Moving),
        ):
            setattr(self, name, self._asks(table, facts))

    decides: Any = None
    judges: Any = None
    settles: Any = None
    steps: Any = None
    comes_to: Any = None
    moves: Any = None

    def _asks(self, table: str, facts: Any) -> Any:
        rows, known = getattr(self.tables, table), self.asked.setdefault(table, {})

        def asked(*values: Any) -> Row:
            if (row := known.get(values)) is None:
                try:
                    row = known[values] = first(rows, facts(*values))
                except StopIteration:
                    raise Broken(f"no row of {table} fits") from None
            return row

        return asked

    def start(self) -> World:
        """Nothing was said so far."""
        bounds, sizes = self.bounds, self.bounds.versions + 1
        left = Left(bounds.acts, bounds.says, bounds.orders, bounds.clicks, bounds.settles)
        none: tuple[Any, ...] = (None,) * sizes
        world = World(Session(), (), ("none",) * sizes, none, (Ticket(),) * sizes, (0,) * sizes, (), (None, None), left)
        if bounds.begun:
            for event in (("say", 1), ("click", "ann", "approve", 0, "", False)):
                if event[0] == "click" and not world.cards:
                    raise Broken("no card is shown")
                world = world._replace(inbox=(event,), versions=1)
                world = self._committed(world, 0, Taking(event, None, proven=False))[1]
        return world

    def hash(self, content: int) -> int:
        """The hash of a sealed ticket; one of 8 digits of three fields is the same for the first two contents."""
        return content if self.ways.whole_hash or content != 2 else 1

    def next(self, world: World) -> Iterator[Transition]:
        """Everything that may happen now."""
        yield from self._people(world)
        yield from self.inner(world)
        for number, work in enumerate(world.workers):
            if work is not None:
                yield ("crash", number), _works(world, number, None), None

    def inner(self, world: World) -> Iterator[Transition]:
        """What happens by itself: workers, and the tracker."""
        for number, work in enumerate(world.workers):
            try:
                yield from self._works(world, number, work)
            except Broken as error:
                yield ("stops", number, str(error)), world, Stopped(str(error))
        yield from self._tracker(world)

    def _works(self, world: World, number: int, work: Work) -> Iterator[Transition]:
        if work is None:
            if not number or world.workers[0] is not None:  # of two that do nothing, the first does what either may
                yield from self._begins(world, number)
        elif isinstance(work, Taking):
            yield self._committed(world, number, work)
        else:
            yield from self._does(world, number, work)

    def _tracker(self, world: World) -> Iterator[Transition]:
        for hash_, ticket in enumerate(world.tickets):
            if ticket.made and ticket.seen == "hidden":
                yield ("index", hash_), _ticket(world, hash_, ticket._replace(seen="visible")), None
            if ticket.seen == "visible" and self.bounds.meddling:
                yield ("meddle", hash_), _ticket(world, hash_, ticket._replace(seen="edited")), None
            if ticket.flying:
                yield ("arrives", hash_), _ticket(world, hash_, self._made(ticket)), None
                yield ("vanishes", hash_), _ticket(world, hash_, ticket._replace(flying=False)), None

    # --- People --------------------------------------------------------------------------------------------------------

    def _people(self, world: World) -> Iterator[Transition]:
        left, bounds = world.left, self.bounds
        if not self.ways.by_key and world.last and len(world.inbox) < bounds.inbox:
            yield ("redelivered", world.last), world._replace(inbox=(*world.inbox, world.last), last=None), AcceptedTwice()
        if not left.acts or len(world.inbox) >= bounds.inbox:
            return
        if left.says:
            for content in range(1, min(bounds.versions, world.versions + 1) + 1):
                yield self._acts(world, "says", ("say", content))
                if world.cards:
                    yield self._acts(world, "says", ("new", content))
            yield self._acts(world, "says", ("say", VAGUE))
        if left.orders:
            for order in ("show", "skip", "forget", "start over"):
                yield self._acts(world, "orders", (order,))
        if world.session.gate == "sure":
            yield self._acts(world, "", ("yes",))
        if left.clicks:
            for event in self._clicks(world):
                yield self._acts(world, "clicks", event)
        if left.settles:
            for hash_, filing in enumerate(world.filings):
                if filing is None and world.decided[hash_] != "withdrawn":
                    continue
                newest = filing.attempt if filing else 1
                for act in ("there", "again", "leave"):
                    yield self._acts(world, "settles", ("settle", "eve", act, hash_, newest))
                for attempt in range(1, newest + 1):
                    for act in ("there", "again", "leave"):
                        yield self._acts(world, "settles", ("settle", "ann", act, hash_, attempt))

    def _clicks(self, world: World) -> Iterator[Event]:
        """Clicks on every card that there ever was. What is refused whatever the card is clicked on the newest one only."""
        newest = len(world.cards) - 1
        yield "click", "ann", "approve", -1, "", False
        yield "click", "eve", "approve", -1, "", False
        for card in range(newest + 1):
            yield "click", "ann", "approve", card, "", False
            yield "click", "ann", "reject", card, "", False
            if world.left.clicks < self.bounds.clicks:  # before that, bob is like ann
                yield "click", "bob", "approve", card, "", False
        if newest >= 0:
            for person in ("eve", "ann"):
                yield "click", person, "reject", newest, "offered", False
            yield "click", "eve", "approve", newest, "", False
            yield "click", "eve", "reject", newest, "", False
            yield "click", "ann", "reject", newest, "another", False
            yield "click", "ann", "reject", newest, "gone", False
            for person in ("eve", "ann") if self.bounds.ageing else ():
                yield "click", person, "approve", newest, "", True
                yield "click", person, "reject", newest, "offered", True

    def _acts(self, world: World, budget: str, event: Event) -> Transition:
        left = world.left._replace(acts=world.left.acts - 1)
        if budget:
            left = left._replace(**{budget: getattr(left, budget) - 1})
        versions = max(world.versions, event[1]) if event[0] in ("say", "new") and event[1] != VAGUE else world.versions
        last = None if self.ways.by_key else event
        after = world._replace(inbox=(*world.inbox, event), left=left, versions=versions, last=last)
        return ("accepted", event), after, None

    # --- Turns ---------------------------------------------------------------------------------------------------------

    def _begins(self, world: World, number: int) -> Iterator[Transition]:
        heads = world.inbox[:1] if self.ways.unique else world.inbox
        for event in heads:
            hash_ = self._about(world, event)
            filing = world.filings[hash_] if hash_ else None
            taking = Taking(event, filing, bool(hash_ and world.tickets[hash_].made))
            yield ("reads", number, event), _works(world, number, taking), None
        for hash_, filing in enumerate(world.filings):
            if filing is None:
                continue
            for due in (False,) if filing.status == "sent" else (True, False):  # while it is sent there is no pause
                step = self.steps(filing.status, due, False)
                if step.then == "rest":
                    continue
                after, what = world, None if due else Hurried(hash_)
                if "mark" in step.effects:
                    after = self._moved(world, hash_, "send", filing.attempt) or world
                next_ = self.steps(filing.status, True, self.bounds.repeatable).then
                if next_ == "rest":
                    continue
                if next_ == "link":
                    yield from self._links(after, number, hash_, what)
                    continue
                doing = Doing(hash_, filing, next_) if next_ != "doubt" else Doing(hash_, filing, "record", "unsure")
                yield ("begins", number, hash_, filing.status, next_), _works(after, number, doing), what
                if self.bounds.gone:
                    given_up = "refused" if filing.status == "intended" else "hopeless"
                    doing = Doing(hash_, filing, "record", given_up)
                    yield ("begins", number, hash_, filing.status, "no such tracker"), _works(after, number, doing), what

    def _about(self, world: World, event: Event) -> int:
        """The hash of the filing that an event is about."""
        if event[0] == "click" and event[3] >= 0:
            return self.hash(world.cards[event[3]].content)
        if event[0] == "outcome":
            return event[1]  # type: ignore[no-any-return]
        if event[0] == "settle":
            return event[3]  # type: ignore[no-any-return]
        return 0

    def _committed(self, world: World, number: int, work: Taking) -> Transition:
        """One transaction: what the event comes to, by what the worker has read."""
        event, known = work.event, work.snapshot or world
        session: Session | None = None
        turned = Turned(event, "replied", "", work.filing, work.proven)
        move, decided, intends, fate = "", None, False, "superseded"
        if event[0] == "click":
            session, turned, decided, intends, fate = self._click(known, turned, work.filing)
        elif event[0] == "settle":
            session, turned, move = self._settle(known, turned, work.filing, proven=work.proven)
        elif event[0] == "outcome":
            session, turned, move = self._outcome(known, turned, work.filing)
        else:
            session, turned = self._reply(known, turned)
        twice = event not in world.inbox
        inbox = list(world.inbox)
        if not twice:
            inbox.remove(event)
        after = world._replace(inbox=tuple(inbox))
        opened = 0
        if session is not None:
            before = next((n for n, card in enumerate(known.cards) if card.status == "open"), -1)
            same = session.gate == "preview" and session.open == before >= 0
            if before >= 0 and not same:
                cards = list(after.cards)
                cards[before] = cards[before]._replace(status=fate)
                after = after._replace(cards=tuple(cards))
            if session.gate == "preview" and not same:
                if session.open >= 0:
                    raise Broken("a card would be shown twice")
                if any(card.status == "open" for card in after.cards):
                    raise Broken("a second card would be open")
                opened = session.draft
                session = session._replace(open=len(after.cards))
                hash_ = self.hash(opened)
                if after.decided[hash_] == "rejected":
                    after = after._replace(decided=_at(after.decided, hash_, "none"))
                after = after._replace(cards=(*after.cards, Card(opened, "open")))
            after = after._replace(session=session)
        if decided:
            hash_, status, _card = decided
            if after.decided[hash_] != "none" and after.decided[hash_] != "withdrawn" and self.ways.unique:
                raise Broken("a decision is on record for that ticket")
            after = after._replace(decided=_at(after.decided, hash_, status))
            if intends:
                if after.filings[hash_] is not None and self.ways.unique:
                    raise Broken("a filing is on record for that ticket")
                after = after._replace(filings=_at(after.filings, hash_, Filing("intended")))
        elif intends:
            raise Broken("a filing without a decision")
        if move:
            hash_ = self._about(known, event)
            attempt = work.filing.attempt if work.filing else 0
            moved = self._moved(after, hash_, move, attempt)
            if moved is None:
                return ("was overtaken", number), _works(world, number, None), None
            after = moved
        workers = list(after.workers)
        workers[number] = None
        other = workers[1 - number]
        if isinstance(other, Taking):
            read = None if self.ways.fenced else other.snapshot or world._replace(workers=(None, None))
            workers[1 - number] = other._replace(snapshot=read) if read else None  # it would lose the race, and look again
        after = after._replace(workers=(workers[0], workers[1]))
        turned = turned._replace(
            gate=after.session.gate,
            opened=opened,
            decided=decided,
            move=move,
            show=event[0] == "show" or (event[0] == "new" and known.session.over),
            twice=twice,
            rejected=known.session.rejected,
        )
        return ("commits", number, event, turned.then, turned.row, turned.said, opened), after, turned

    def _decide(self, world: World, session: Session, *, show: bool = False) -> tuple[Session, str]:
        looked = session.looked
        for _ in range(2):
            row = self.decides(
                session.outcome,
                session.closed,
                session.wish,
                session.approved >= 0,
                session.draft in (0, VAGUE),
                0 < session.draft < VAGUE,
                0 < session.draft < VAGUE and self.hash(session.draft) == session.rejected,
                show,
                looked,
            )
            if row.then != "find_similar":
                break
            looked = True
        else:
            raise Broken("it looks for similar tickets without end")
        gate = "sure" if (row.name, row.then) == ("sure", "ask_user") else GATES.get(row.then)
        if gate is None:
            raise Broken(f"there is no gate {row.then}")
        if gate == "file" and session.approved < 0:
            raise Broken("nothing is approved that could be filed")
        if gate == "ask" and row.name != "rejected" and session.draft not in (0, VAGUE):
            raise Broken("nothing is asked")
        if gate == "sure" and not session.wish:
            raise Broken("nothing is asked")
        ends = {"nothing": True, "forgotten": True, "linked": session.closed == "linked"}
        if gate == "none" and not ends.get(row.name, session.outcome != "none"):
            raise Broken("nothing came out")
        kept = session.open if "open" in row.effects else -1
        after = session._replace(gate=gate, looked=looked, open=kept)
        if gate == "preview":
            if not 0 < session.draft < VAGUE:
                raise Broken("nothing is sealed that could be shown")
            stands = kept >= 0 and self.hash(world.cards[kept].content) == self.hash(session.draft)
            after = after._replace(open=kept if stands else -1, rejected=0)
        return after, row.name

    def _reply(self, world: World, turned: Turned) -> tuple[Session, Turned]:
        session, event = world.session, turned.event
        kind = event[0]
        if session.over:
            if kind == "new":
                session = Session(draft=event[1])
        elif session.gate != "file":  # while a ticket is being filed, what is said is kept for the next one
            asked, wish = session.gate, session.wish
            session = session._replace(wish="")
            if kind in ("say", "new"):
                session = session._replace(draft=event[1])
            elif kind in ("forget", "start over") and session.draft > 0:
                session = session._replace(wish=kind)
            elif kind == "skip" and not session.draft:
                session = session._replace(draft=GIVEN_UP)
            elif kind == "yes" and asked == "sure":
                session = Session(closed="forgotten" if wish == "forget" else "")
        after, name = self._decide(world, session, show=kind == "show")
        return after, turned._replace(said=name)

    def _click(
        self, world: World, turned: Turned, filing: Filing | None
    ) -> tuple[Session | None, Turned, tuple[int, str, int] | None, bool, str]:
        _, person, act, clicked, link, late = turned.event
        session, allowed = world.session, person in ALLOWED
        card = clicked
        if not self.ways.bound and session.gate == "preview":
            card = session.open
        if not self.ways.whole_hash and clicked >= 0:  # such a button names no card, but the newest with its hash
            hash_ = self.hash(world.cards[clicked].content)
            card = max(n for n, one in enumerate(world.cards) if self.hash(one.content) == hash_)
        status = world.cards[card].status if card >= 0 else "none"
        standing = world.decided[self.hash(world.cards[card].content)] if card >= 0 else "none"
        standing = "none" if standing == "withdrawn" else standing
        left = filing is not None and filing.status == "left"
        ties = link == "offered" and self.judges(act, allowed, status, standing, left, True, late).then == "rejected"
        row = self.judges(act, allowed, status, standing, left, not link or ties, late)
        turned = turned._replace(then=row.then, row=row.name, answered="answer" in row.effects, tied=ties)
        if card < 0 or "run" not in row.effects:
            return None, turned, None, False, ""
        if session.gate != "preview":
            raise Broken("a click is taken where no card is open")
        matches = "open" if card == session.open else "superseded"
        at_gate = self.judges(act, True, matches, "none", False, link != "another", late)
        open_ = session.open
        hash_ = self.hash(world.cards[open_].content)
        took = ""
        if at_gate.then == "approved":
            session, took = session._replace(approved=open_), "approved" if act == "approve" else ""
        elif at_gate.then == "rejected":
            closed = "linked" if link else session.closed
            session, took = session._replace(rejected=hash_, closed=closed), "rejected" if act == "reject" else ""
        elif "open" in at_gate.effects:
            session = session._replace(open=-1)
        after, name = self._decide(world, session)
        recorded = (hash_, took, open_) if took and "record" in row.effects else None
        if recorded is None and "record" in row.effects:
            stale = self.judges("approve", True, "superseded", "none", False, True, False)
            turned = turned._replace(then=stale.then, row=stale.name)
        fate = (took or ("expired" if late else "superseded")) if "close" in row.effects else "superseded"
        intends = recorded is not None and "intend" in row.effects
        return after, turned._replace(said=name), recorded, intends, fate

    def _waits_for(self, world: World, hash_: int) -> bool:
        session = world.session
        return session.gate == "file" and self.hash(world.cards[session.approved].content) == hash_

    def _outcome(self, world: World, turned: Turned, filing: Filing | None) -> tuple[Session | None, Turned, str]:
        _, hash_, status, attempt, fields = turned.event
        turned = turned._replace(then=status)
        if filing and status != "filed" and (attempt != filing.attempt or status != filing.status):
            return None, turned._replace(then="ignored"), ""
        session, move = world.session, ""
        if not self._waits_for(world, hash_):
            named = session.approved >= 0 and self.hash(world.cards[session.approved].content) == hash_
            is_news = filing is not None and filing.status == status and not (named and session.outcome == status)
            return None, turned if is_news else turned._replace(then="ignored"), ""
        if fields:
            session = session._replace(approved=-1, outcome="none", draft=VAGUE)
            move = "withdraw" if filing else ""
        else:
            session = session._replace(outcome=status)
        after, name = self._decide(world, session)
        return after, turned._replace(said=name), move

    def _settle(
        self, world: World, turned: Turned, filing: Filing | None, *, proven: bool
    ) -> tuple[Session | None, Turned, str]:
        _, person, act, hash_, attempt = turned.event
        current = filing is not None and filing.attempt == attempt
        proven = proven and act == "there" and person in ALLOWED
        row = self.settles(act, person in ALLOWED, filing.status if filing else "none", current, proven)
        turned = turned._replace(then=row.then, row=row.name, answered="answer" in row.effects)
        if filing is None or "settle" not in row.effects:
            return None, turned, ""
        if row.then not in SETTLES or (row.then == "filed" and not proven):
            raise Broken(f"a filing cannot be settled as {row.then}")
        if "run" not in row.effects or not self._waits_for(world, hash_):
            return None, turned, SETTLES[row.then]
        session = world.session
        match row.then:
            case "intended":
                session = session._replace(outcome="none")
            case "withdrawn":
                session = session._replace(outcome="none", approved=-1, rejected=hash_)
            case _:
                session = session._replace(outcome=row.then)
        after, name = self._decide(world, session)
        return after, turned._replace(said=name), SETTLES[row.then]

    # --- Filings -------------------------------------------------------------------------------------------------------

    def _links(self, world: World, number: int, hash_: int, what: Happened) -> Iterator[Transition]:
        """Ties the ticket to its conversation, in one step: nothing else goes by whether that was done."""
        filing = world.filings[hash_]
        if filing is None or filing.status != "filed":
            raise Broken("there is no ticket that could be tied")
        yield ("ties", number, hash_), world, what
        after = self._moved(world, hash_, "put off", filing.attempt)
        yield ("cannot tie", number, hash_), after or world, what or Untied(kept=after is not None)

    def _moved(self, world: World, hash_: int, move: str, attempt: int) -> World | None:
        """The world after a write to the ledger; None if its condition did not hold."""
        filing = world.filings[hash_]
        if filing is None:
            return None
        row = self.moves(move, filing.status, filing.attempt == attempt)
        if not row.then:
            return None
        looks = 0 if move in ("lose", "file", "again") else filing.looks
        if move == "put off" and filing.status == "unknown":
            looks = min(looks + 1, 1)
        after = filing._replace(
            status=row.then,
            looks=looks,
            doubted=filing.doubted or "doubt" in row.effects,
            asked=move == "ask" or (filing.asked and move != "again"),
            attempt=filing.attempt + (move == "again"),
        )
        if move == "again" and filing.doubted:
            world = world._replace(risked=_at(world.risked, hash_, world.risked[hash_] + 1))
        if row.then == "withdrawn":
            decided = _at(world.decided, hash_, "withdrawn")
            return world._replace(filings=_at(world.filings, hash_, None), decided=decided)
        return world._replace(filings=_at(world.filings, hash_, after))

    def _does(self, world: World, number: int, work: Doing) -> Iterator[Transition]:
        ticket = world.tickets[work.hash]
        found = "found" if ticket.made == 1 and ticket.seen == "visible" else ""

        def comes(word: str, result: str, after: World = world) -> Transition:
            return ("step", number, word, work.hash), _works(after, number, work._replace(phase="record", result=result)), None

        match work.phase:
            case "look":
                yield comes("finds", found) if found else comes("looks in vain", "nothing")
                if found:
                    yield comes("looks in vain", "nothing")
            case "send":
                if work.filing.doubted and ticket.seen != "hidden" and ticket.made:
                    yield comes("finds", found) if found else comes("finds another", "other")
                    return
                yield comes("not connected", "later")
                if not self.bounds.repeatable:  # the local one has no connection, and refuses nothing
                    yield comes("not connected for long", "later for long")
                    yield comes("refused", "refused")
                made = _ticket(world, work.hash, self._made(ticket)._replace(flying=ticket.flying))
                yield comes("made", "made", made)
                yield comes("made, reply lost", "unsure", made)
                yield comes("lost on its way", "unsure")
                if self.bounds.flying and not ticket.flying:
                    flying = _ticket(world, work.hash, ticket._replace(flying=True))
                    yield ("step", number, "under way", work.hash), _works(flying, number, work._replace(phase="wait")), None
            case "wait":
                yield comes("no reply", "unsure")
                if ticket.flying:
                    made = _ticket(world, work.hash, self._made(ticket))
                    yield comes("made", "made", made)
            case "record":
                yield from self._records(world, number, work)

    def _made(self, ticket: Ticket) -> Ticket:
        """The tracker after a request arrived."""
        return ticket._replace(flying=False, made=1 if self.bounds.repeatable else ticket.made + 1)

    def _records(self, world: World, number: int, work: Doing) -> Iterator[Transition]:
        """The ladder's commit of what a step came to."""
        result, patient = work.result, True
        if result == "later for long":
            result, patient = "later", False
        if result == "nothing":
            patient = work.filing.looks == 0
        if result == "hopeless":
            result, patient = "nothing", False
        row = self.comes_to(result, work.filing.doubted, patient)
        told = {"file": "filed", "fail": "failed", "ask": "unknown"}
        if row.then not in (*told, "lose", "put off"):
            raise Broken(f"a filing cannot {row.then}")
        if row.then == "file" and result not in ("made", "found"):
            raise Broken("there is no ticket that it could be filed as")
        if row.then == "ask" and work.filing.asked:
            row = replace(row, then="put off")
        current = world.filings[work.hash]
        if row.then == "ask" and current and current.asked and current.attempt == work.filing.attempt:
            yield ("told before", number), _works(world, number, None), None  # the event is known: all is rolled back
            return
        said = "hopeless" if work.result == "hopeless" else result
        what = Recorded(work.hash, work.filing, said, patient, self.bounds.repeatable)
        for fields in (False, True) if row.then == "fail" else (False,):
            after, now = self._moved(world, work.hash, row.then, work.filing.attempt), "nothing, it moved on"
            if after is None:
                after = world
            else:
                assert current
                filing = after.filings[work.hash]
                now = filing.status if filing else "nothing"
                tells = self.moves(row.then, current.status, current.attempt == work.filing.attempt).effects
                if row.then in told and "tell" in tells:
                    event = ("outcome", work.hash, told[row.then], work.filing.attempt, fields)
                    after = after._replace(inbox=(*after.inbox, event))
            yield ("records", number, work.hash, now), _works(after, number, None), what


def _at(values: tuple[Any, ...], n: int, value: Any) -> tuple[Any, ...]:
    return (*values[:n], value, *values[n + 1 :])


def _ticket(world: World, hash_: int, ticket: Ticket) -> World:
    return world._replace(tickets=_at(world.tickets, hash_, ticket))


def _works(world: World, number: int, work: Work) -> World:
    one, other = world.workers
    return world._replace(workers=(work, other) if number == 0 else (one, work))


def alike(world: World) -> World:
    """The same for all worlds that differ only in which worker does what."""
    one, other = world.workers
    if one is None or (other is not None and hash(one) < hash(other)):
        return world._replace(workers=(other, one))
    return world
