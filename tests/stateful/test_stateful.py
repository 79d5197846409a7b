"""Random stories on the real handlers and real tables, judged by the invariants after each step; a bad one shrinks.

What runs is the shell, the store, the ladder and the queue's own rows; only who picks the next job is chance, and the tracker
is one in memory that loses answers. `Dies` is a process that ends at a fault point: whatever it held is gone.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from psycopg.rows import dict_row

from agent import faults, ladder, shell
from agent.catalogue import Catalogue
from agent.checkpoint import TurnSaver
from agent.graph import build
from agent.operations import Operation
from agent.ports import Event, LostRace, NotYet, Snapshot, Turn, Verdict
from agent.projects import Project
from agent.protocol import Decision, FilingOutcome, Reply, Settlement
from agent.reading import interview
from agent.receipt import Receipt
from agent.sealing import Destination, SealedTicket
from agent.similar import Similar
from agent.trackers import Copy, Later, Missing, Refused, Ticket, Unsure
from agent.turn import Turns
from persistence.database import Database, open_database
from persistence.filings import PostgresFilings
from persistence.queue import DUE_FILINGS
from persistence.similar import OurFilings
from persistence.store import PostgresStore
from skills.trackers.local import LocalRenderer
from tests.invariants import broken_on
from tests.measures import measured

SESSIONS = ("terminal:one", "terminal:two")
PEOPLE = ("ann", "bob", "gus")
"""Gus may not decide."""

COMPLETE = "Title: Export fails\nProblem: It answers 500.\nAcceptance criteria: it finishes"
SAYINGS = (
    "Title: Import fails",
    "Problem: It answers 404.\nAcceptance criteria: it imports",
    "Priority: high",
    "Type: bug",
    "show",
    "new",
    "thanks",
    "start over",
    "yes",
    "",
)
ANSWERS = ("made", "made, and the answer lost", "not made, and the answer lost", "refused", "field refused", "later", "pause")
DEATHS = ("filing-sent", "filing-posted", "filing-ending", "filing-lost", "filing-recorded")
CRASHES = tuple(
    name for name in faults.POINTS if name.startswith(("event", "turn", "approval", "settlement", "filing", "same"))
)
TABLES = (
    "inbox", "sessions", "filings", "approvals", "approval_history", "previews", "effects", "model_calls", "tickets",
    "comments", "procrastinate_events", "procrastinate_jobs",
)  # fmt: skip


class Dies(BaseException):
    """The process ends at a fault point."""


class Tracker(LocalRenderer):
    """Makes tickets, or does as it was told for the next one; what it makes may not be found for a while."""

    name, repeatable = "local", False

    def __init__(self, look: Callable[[str], Awaitable[Any]]) -> None:
        self._look = look
        self.next: list[str] = []
        self.there: list[tuple[str, Copy]] = []
        self.visible = True
        self.readable = True
        self.posts: Counter[Any] = Counter()
        """POSTs of an attempt that may have acted: more than one is what must never be."""
        self.comments: Counter[str] = Counter()

    async def describe(self, project: str) -> Project:
        return Project(key=project)

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        does = self.next.pop(0) if self.next else "made"
        row = await self._look(receipt.marker)
        assert (row or {}).get("status") == "sent", f"it is sent, and on record as {row}"
        if does == "later":
            raise Later("It cannot be reached.")
        if does == "pause":
            raise Later("It wants a pause.", 20.0)
        self.posts[receipt.marker, receipt.approved_at, row["attempt"]] += 1
        if "refused" in does:
            raise Refused("It does not take that.", {"title": "Too plain."} if "field" in does else {})
        if does.startswith("not made"):
            raise Unsure("No answer came.")
        ticket = Ticket(key=f"OPS-{len(self.there) + 1}", url="https://tracker.test/1", title=sealed.payload["title"])
        self.there.append((receipt.marker, Copy(ticket=ticket, ours=True, payload=sealed.payload)))
        if does.endswith("lost"):
            raise Unsure("No answer came.")
        return ticket

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        if not self.readable:
            raise Later("It cannot be reached.")
        found = [copy for marker, copy in self.there if marker == receipt.marker and self.visible]
        return found[0] if len(found) == 1 else None

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        for marker, copy in self.there:
            if copy.ticket.key == key:
                return copy.model_copy(update={"ours": marker == receipt.marker})
        raise Missing(f"There is no {key}.")

    async def search(self, project: str, text: str) -> list[Ticket]:
        return [copy.ticket for _, copy in self.there][:3]

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        if not self.readable:
            raise Later("It cannot be reached.")

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        if not self.readable:
            raise Later("It cannot be reached.")
        self.comments[comment_id] = 1


class Facts:
    """Gus may not decide."""

    async def hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        return reply

    async def may_decide(self, snapshot: Snapshot, decision: Decision | Settlement) -> Verdict:
        return Verdict(allowed=decision.by != "gus", why="gus is a guest")


class Stories(RuleBasedStateMachine):
    """Whatever may happen, in any order."""

    database: ClassVar[Database]
    connection: ClassVar[psycopg.Connection[Any]]
    loop: ClassVar[asyncio.AbstractEventLoop]
    steps: ClassVar[int] = 0
    stories: ClassVar[int] = 0
    came_to: ClassVar[Counter[str]] = Counter()
    """What events and filings came to, and how often, in all stories: what never happened was not tried."""

    events = Bundle("events")
    held = Bundle("held")

    @initialize()
    def begin(self) -> None:
        """An empty database, and a process."""
        with self.connection.transaction():
            for table in TABLES:
                self.connection.execute(f"DELETE FROM {table}")
        faults._ARMED.clear()
        type(self).stories += 1
        self.number = 0
        self.acknowledged: set[str] = set()
        self.tracker = Tracker(self._filing)
        self.store, self.ledger = PostgresStore(self.database), PostgresFilings(self.database)
        catalogue = Catalogue({"local": self.tracker})  # type: ignore[dict-item]
        similar = Similar(catalogue, OurFilings(self.database))
        graph = build(interview(), {"local": self.tracker}, Destination(), TurnSaver(), looks=True)
        self.turns = Turns(graph, find=similar.find)
        self.ladder = ladder.Ladder(self.ledger, catalogue)
        self.shell = shell.Shell(self.store, self.turns, self.ladder, similar, Facts())

    # What mostly happens, in one step, so that stories get far

    @rule(target=events, session=st.sampled_from(SESSIONS), by=st.sampled_from(PEOPLE), anew=st.booleans())
    def asks_for_a_ticket(self, session: str, by: str, anew: bool) -> Event:
        """Everything a ticket needs, and the turn of it."""
        event = self._accept(session, Reply(text=COMPLETE, by=by, anew=anew))
        self._run(self.shell.wake(session, 0))
        return event

    @precondition(lambda self: self._open())
    @rule(target=events, by=st.sampled_from(PEOPLE[:2]), then=st.sampled_from(("waits", "files", *DEATHS)))
    def approves(self, by: str, then: str) -> Event:
        """A click on an open card, its turn, and perhaps the first step of the filing, of which a process may die."""
        card = self._open()[0]
        event = self._accept(card["session_id"], Decision(type="approve", draft_hash=card["draft_hash"], by=by))
        self._run(self.shell.wake(card["session_id"], 0))
        if then != "waits":
            if then in DEATHS:
                faults._ARMED[then] = "dies"
            self._run(self.shell.file(card["session_id"], card["draft_hash"]))
            faults._ARMED.pop(then, None)
        return event

    @precondition(lambda self: self._jobs())
    @rule()
    def all_works(self) -> None:
        """Every job that there is, once."""
        for job in self._jobs():
            self._work(job)

    # People

    @rule(target=events, session=st.sampled_from(SESSIONS), by=st.sampled_from(PEOPLE), text=st.sampled_from(SAYINGS))
    def says(self, session: str, by: str, text: str) -> Event:
        """A message."""
        return self._accept(session, Reply(text=text, by=by, show=text == "show"))

    @rule(target=events, by=st.sampled_from(PEOPLE), title=st.sampled_from(("Exports fail", "Export fails", "")))
    def edits(self, by: str, title: str) -> Event:
        """A form."""
        return self._accept(SESSIONS[0], Reply(by=by, edits=[Operation(field="title", value=[title])]))

    @precondition(lambda self: self._cards())
    @rule(
        target=events,
        by=st.sampled_from(PEOPLE),
        act=st.sampled_from(("approve", "approve", "reject")),
        which=st.integers(0, 7),
        named=st.sampled_from(("whole", "whole", "short", "wrong", "none")),
        bound=st.booleans(),
    )
    def clicks(self, by: str, act: Any, which: int, named: str, bound: bool) -> Event:
        """A click on a card that was ever shown, newest first; by its hash, and by its id if it is `bound`."""
        cards = self._cards()
        card = cards[which % len(cards)]
        digest = card["draft_hash"]
        given = {"whole": digest, "short": digest[:8], "wrong": digest[::-1], "none": None}[named]
        return self._accept(
            card["session_id"],
            Decision(type=act, draft_hash=given, preview_id=card["preview_id"] if bound else None, by=by),
        )

    @precondition(lambda self: self._cards() and self.tracker.there)
    @rule(target=events, by=st.sampled_from(PEOPLE), which=st.integers(0, 3))
    def says_it_is_the_same(self, by: str, which: int) -> Event:
        """A click on a ticket there is, which may have been offered or not."""
        card = self._cards()[0]
        key = self.tracker.there[which % len(self.tracker.there)][1].ticket.key
        click = Decision(type="reject", draft_hash=card["draft_hash"], preview_id=card["preview_id"], same_as=key, by=by)
        return self._accept(card["session_id"], click)

    @precondition(lambda self: self._filings())
    @rule(
        target=events,
        by=st.sampled_from(PEOPLE),
        act=st.sampled_from(("again", "leave", "there")),
        attempt=st.sampled_from((None, 0, -1)),
        key=st.integers(0, 3),
    )
    def settles(self, by: str, act: Any, attempt: int | None, key: int) -> Event:
        """A word on a filing: about this attempt, the one before, or whichever."""
        filing = self._filings()[0]
        about = None if attempt is None else filing["attempt"] + attempt
        said = Settlement(act=act, draft_hash=filing["draft_hash"], attempt=about, key=f"OPS-{key}", by=by)
        return self._accept(filing["session_id"], said)

    @rule(event=events)
    def comes_again(self, event: Event) -> None:
        """The network, or somebody's thumb, delivers the same once more."""
        known = self.connection.execute("SELECT FROM inbox WHERE event_id = %s", [event.event_id]).fetchone()
        if (new := self._run(self.store.accept(event))) is not None:
            assert new == (known is None)
            self.acknowledged.add(event.event_id)

    # The machine

    @precondition(lambda self: self._jobs())
    @rule(which=st.integers(0, 9))
    def works(self, which: int) -> None:
        """A job is run, of those that are first behind their lock."""
        jobs = self._jobs()
        self._work(jobs[which % len(jobs)])

    @rule(session=st.sampled_from(SESSIONS))
    def two_take_the_same_turn(self, session: str) -> None:
        """A worker that was taken for dead goes on beside the one that took its job over: one commits."""
        both = [self._turn(session), self._turn(session)]
        won = [self._commit(*one) for one in both if one]
        assert won.count(True) <= 1

    @rule(target=held, session=st.sampled_from(SESSIONS))
    def takes_a_turn_and_stops(self, session: str) -> Any:
        """A worker that hangs with a turn it has not committed."""
        return self._turn(session)

    @rule(turn=held)
    def goes_on(self, turn: Any) -> None:
        """It commits what it held, if it still may."""
        if turn:
            self._commit(*turn)

    @precondition(lambda self: self._filings())
    @rule(made=st.booleans(), between=st.sampled_from(("nothing", "look", "look, again")))
    def an_answer_comes_late(self, made: bool, between: str) -> None:
        """A worker sends, hangs, and hears the answer when others have gone on without it."""
        filing = self._run(self.ledger.begin(*(self._filings()[0][name] for name in ("session_id", "draft_hash"))))
        if filing is None or filing.status != "intended":
            return
        self.tracker.next.insert(0, "made" if made else "refused")
        try:
            ticket = self._run(self.tracker.create(SealedTicket.of(filing.sealed, filing.draft_hash), filing.receipt))
            outcome = FilingOutcome(status="filed", key=ticket.key, url=ticket.url)
        except Refused as error:
            outcome = FilingOutcome(status="failed", reason=str(error))
        if between != "nothing":
            self._run(self.ladder.go_on(filing.session_id, filing.draft_hash))
        if "again" in between:
            self._accept(filing.session_id, Settlement(act="again", draft_hash=filing.draft_hash, by="ann"))
            self._run(self.shell.wake(filing.session_id, 0))
        self._run(self.ledger.end(filing, outcome))

    @rule()
    def time_passes(self) -> None:
        """What waits for its time is due, the sweeper finds it, and it is worked on."""
        with self.connection.transaction():
            self.connection.execute("UPDATE filings SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
            self.connection.execute("UPDATE filings SET at = at - interval '10 seconds' WHERE status = 'sent'")
        for row in self.connection.execute(DUE_FILINGS.encode()).fetchall():
            deferred = self.database.queue._filing_job(row["session_id"], row["draft_hash"])
            self.loop.run_until_complete(deferred.defer_async(**row))
        self.all_works()

    @rule()
    def a_month_passes(self) -> None:
        """Cards that are open are too old for what comes in from now on, and not for what came in before."""
        with self.connection.transaction():
            for table in ("previews", "inbox", "effects"):
                self.connection.execute(f"UPDATE {table} SET at = at - interval '31 days'")

    @rule(answer=st.sampled_from(ANSWERS), visible=st.booleans(), readable=st.booleans())
    def the_tracker_will(self, answer: str, visible: bool, readable: bool) -> None:
        """What it does with the next ticket, and whether it finds and shows what it has."""
        self.tracker.next.append(answer)
        self.tracker.visible, self.tracker.readable = visible, readable

    @rule(point=st.sampled_from(CRASHES))
    def the_next_will_die(self, point: str) -> None:
        """Whoever comes by there first."""
        faults._ARMED.clear()
        faults._ARMED[point] = "dies"

    # The verdict

    def check_invariants(self, *given: Any, **more: Any) -> None:
        """After each step."""
        super().check_invariants(*given, **more)
        if not hasattr(self, "tracker"):
            return
        type(self).steps += 1
        assert broken_on(self.connection) == {}
        assert [one for one, times in self.tracker.posts.items() if times > 1] == [], "one POST an attempt"
        lost = [one for one in self.acknowledged if not self._known(one)]
        assert lost == [], "what was acknowledged is there"

    def teardown(self) -> None:
        """All that was begun comes to its end, and nothing is left that nothing would wake."""
        if not hasattr(self, "tracker"):
            return
        faults._ARMED.clear()
        self.tracker.next, self.tracker.visible, self.tracker.readable = [], True, True
        for _ in range(60):  # each session has one job at a time
            self.time_passes()
            if not broken_on(self.connection, at_rest=True):
                break
        self.came_to.update(f"{row['kind']} {row['outcome']}" for row in self._rows("SELECT kind, outcome FROM inbox"))
        self.came_to.update(f"filing {row['status']}" for row in self._rows("SELECT status FROM filings"))
        found = broken_on(self.connection, at_rest=True)
        assert found == {}
        assert [one for one, times in self.tracker.posts.items() if times > 1] == [], "one POST an attempt"

    # How it is done

    def _run(self, act: Any) -> Any:
        """Does it, unless the process dies of it."""
        try:
            return self.loop.run_until_complete(act)
        except Dies:
            return None

    def _accept(self, session: str, answer: Reply | Decision | Settlement) -> Event:
        self.number += 1
        event = Event(event_id=f"e{self.number}", session_id=session, origin="t", answer=answer)
        if self._run(self.store.accept(event)):
            self.acknowledged.add(event.event_id)
        return event

    def _work(self, job: dict[str, Any]) -> None:
        handler = {"wake": self.shell.wake, "file": self.shell.file}[job["task_name"]]
        more = {"tries": 0} if job["task_name"] == "wake" else {}

        async def done() -> bool:
            try:
                await handler(**job["args"], **more)
            except NotYet:
                return False
            return True

        if self._run(done()):
            self.connection.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job["id"]])

    def _turn(self, session: str) -> tuple[Snapshot, Turn] | None:
        async def take() -> tuple[Snapshot, Turn] | None:
            snapshot = await self.store.next(session)
            return (snapshot, await self.shell._turn(snapshot, 0)) if snapshot else None

        taken: tuple[Snapshot, Turn] | None = self._run(take())
        return taken

    def _commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        async def commit() -> bool:
            try:
                await self.store.commit(snapshot, turn)
            except LostRace:
                return False
            return True

        return bool(self._run(commit()))

    async def _filing(self, marker: str) -> Any:
        return self.connection.execute("SELECT status, attempt FROM filings WHERE marker = %s", [marker]).fetchone()

    def _rows(self, query: str) -> list[dict[str, Any]]:
        return self.connection.execute(query.encode()).fetchall() if hasattr(self, "tracker") else []

    def _cards(self) -> list[dict[str, Any]]:
        return self._rows("SELECT session_id, preview_id, draft_hash FROM previews ORDER BY at DESC")

    def _open(self) -> list[dict[str, Any]]:
        return self._rows("SELECT session_id, draft_hash FROM previews WHERE status = 'open' ORDER BY at DESC")

    def _filings(self) -> list[dict[str, Any]]:
        return self._rows("SELECT session_id, draft_hash, attempt FROM filings ORDER BY since DESC")

    def _jobs(self) -> list[dict[str, Any]]:
        return self._rows("""
            SELECT DISTINCT ON (lock) id, task_name, args FROM procrastinate_jobs WHERE status = 'todo' ORDER BY lock, id
        """)

    def _known(self, event_id: str) -> bool:
        return self.connection.execute("SELECT FROM inbox WHERE event_id = %s", [event_id]).fetchone() is not None


@pytest.fixture
def stories(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Stories]]:
    """The machine over a database of its own."""

    def dies(name: str) -> None:
        faults._ARMED.pop(name)
        raise Dies(name)

    monkeypatch.setattr(faults, "_act", dies)
    monkeypatch.setattr(shell, "PAUSE", 0.0)
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    Stories.loop = loop
    Stories.database = loop.run_until_complete(stack.enter_async_context(open_database(dsn)))
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        Stories.connection = connection
        connection.execute("SET synchronous_commit = off")
        yield Stories
    faults._ARMED.clear()
    loop.run_until_complete(stack.aclose())
    loop.close()


def test_the_invariants_hold_in_every_story(stories: type[Stories]) -> None:
    number = int(os.environ.get("SIGNOFF_STORIES", "30"))
    bounded = settings(
        max_examples=number,
        stateful_step_count=30,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(stories, settings=bounded)
    measured("stories", stories=stories.stories, steps=stories.steps, came_to=dict(stories.came_to))
