"""That the machine which is explored does what the program does: random walks of it, taken by the real graph, in memory.

The walk is the machine's: people, workers, the tracker. Each turn that it commits is taken by `agent.turn.Turns` as well,
and what came of it, and where the conversation stands then, has to be the same.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from agent.conversation import Head, Step
from agent.operations import Operation
from agent.ports import Event, FilingFacts, Turn, Verdict
from agent.protocol import (
    AskRequest,
    Decision,
    FileRequest,
    FilingOutcome,
    Found,
    Likeness,
    PreviewRequest,
    Reply,
    Settlement,
    from_hitl,
)
from agent.rerun import Run
from agent.state import State
from agent.trackers import Ticket
from skills.trackers import renderers
from tests.protocol.checker import in_words
from tests.protocol.model import ALLOWED, SETTLES, VAGUE, Bounds, Happened, Machine, Turned, World
from tests.protocol.variants import rows

WALKS = 100
STEPS = 200
BOUNDS = Bounds(acts=30, says=10, orders=10, clicks=12, settles=10, ageing=True, meddling=True)
OFFERED, ANOTHER = Ticket(key="OPS-1", url=""), Ticket(key="OPS-2", url="")
CONVERSATION = ("decisions", "judgements", "settlements")
APPROVED = (("say", 1), ("click", "ann", "approve", 0, "", False))
NO_CARD = "0" * 64


class Program:
    """The conversation as the program holds it: told what the machine's people do, and what the machine's ladder found."""

    def __init__(self) -> None:
        self._run = Run(Head(), renderers())
        self._session = self._run._session
        self._hashes: dict[int, str] = {}
        self._events = 0

    async def take(self, turned: Turned, before: World) -> Turn:
        """Takes the turn's event."""
        self._events += 1
        event, found = turned.event, Found(tickets=[Likeness(key=OFFERED.key)])
        given = Event(event_id=f"e{self._events}", session_id="terminal:walk", answer=self._answer(event, before))
        return await self._run.take(Step(event=given, verdict=self._verdict(turned, before), found=found))

    def _verdict(self, turned: Turned, before: World) -> Verdict:
        event, verdict = turned.event, Verdict()
        if filing := turned.filing:
            content = before.cards[event[3]].content if event[0] == "click" else event[1 if event[0] == "outcome" else 3]
            hash_ = self._hashes[content]
            verdict.filing = FilingFacts(draft_hash=hash_, status=filing.status, attempt=filing.attempt)  # type: ignore[arg-type]
        if event[0] == "settle":
            verdict.allowed = event[1] in ALLOWED
            verdict.ticket = OFFERED if event[2] == "there" and verdict.allowed and turned.proven else None
        if event[0] == "click":
            verdict.allowed, verdict.late = event[1] in ALLOWED, event[5]
            verdict.ticket = OFFERED if turned.tied else None
        return verdict

    def _answer(self, event: tuple[Any, ...], before: World) -> Reply | Decision | FilingOutcome | Settlement:
        match event:
            case ("say" | "new" as kind, content):
                return Reply(text="new ticket" if kind == "new" else "", by="ann", edits=self._contents(content))
            case ("show",):
                return Reply(show=True, by="ann")
            case ("skip",):
                return Reply(by="ann", edits=self._left_open(before))
            case ("yes",):
                return Reply(text="Yes", by="ann", question=self._asked() or "gone")
            case ("forget",):
                return Reply(text="forget it", by="ann")
            case ("start over",):
                return Reply(text="start over", by="ann")
            case ("click", person, act, card, link, _):
                same_as = {"": "", "another": ANOTHER.key}.get(link, OFFERED.key)
                known = self._session.cards[card] if card >= 0 else None
                hash_, preview = (known.draft_hash, known.preview_id) if known else (NO_CARD, None)
                return Decision(type=act, draft_hash=hash_, preview_id=preview, by=person, same_as=same_as)
            case ("settle", person, act, content, attempt):
                return Settlement(act=act, draft_hash=self._hashes[content], attempt=attempt, by=person, key=OFFERED.key)
            case ("outcome", content, status, attempt, fields):
                known = {"key": OFFERED.key} if status == "filed" else {}
                errors = {"priority": "there is none"} if fields else {}
                return FilingOutcome(status=status, draft_hash=self._hashes[content], attempt=attempt, errors=errors, **known)
        raise AssertionError(event)

    def _contents(self, content: int) -> list[Operation]:
        """What a content is in words. One that is vague is another each time, so that it is not asked for in vain."""
        title = [] if content == VAGUE else ["-ABC"[content]]
        detail = f"e{self._events}" if content == VAGUE else "any"
        texts = {"issue_type": ["bug"], "title": title, "problem": ["It fails."], "environment": [detail]}
        edits = [Operation(field=field, value=value) for field, value in texts.items()]
        return edits if content == VAGUE else [*edits, Operation(op="skip", field="priority")]

    def _left_open(self, before: World) -> list[Operation]:
        if before.session.draft == VAGUE:
            return [Operation(field="environment", value=[f"e{self._events}"])]
        fields = ("risks",) if before.session.draft > 0 else ("title", "problem", "acceptance_criteria")
        return [Operation(op="skip", field=field) for field in fields]

    def _asked(self) -> str:
        request = from_hitl(self._session.pending.request) if self._session.pending else None
        return request.questions[0].id if isinstance(request, AskRequest) else ""

    def stands(self, after: World) -> dict[str, Any]:
        """Where it stands, in the machine's words."""
        for card, shown in zip(after.cards, self._session.cards, strict=False):
            self._hashes.setdefault(card.content, shown.draft_hash)
        contents = {hash_: content for content, hash_ in self._hashes.items()}
        state = State.model_validate(self._session.state)
        request = from_hitl(self._session.pending.request) if self._session.pending else None
        sure = isinstance(request, AskRequest) and request.questions[0].about in ("start over", "forget")
        gates = {AskRequest: "sure" if sure else "ask", PreviewRequest: "preview", FileRequest: "file"}
        return {
            "gate": gates[type(request)] if request else "none",  # type: ignore[index]
            "cards": [(contents.get(card.draft_hash, card.sealed["title"]), card.status) for card in self._session.cards],
            "decided": {contents.get(hash_, "?"): decision.status for hash_, decision in self._session.approvals.items()},
            "filings": sorted(contents.get(hash_, 0) for hash_ in self._session.filings),
            "outcome": state.outcome.status if state.outcome else "none",
            "rejected": contents.get(state.rejected_hash, 0),
            "wish": state.wish,
            "closed": state.closed,
            "approved": contents.get(state.approval.draft_hash, "?") if state.approval else 0,
        }


def stands(world: World) -> dict[str, Any]:
    """Where the machine's conversation stands."""
    session = world.session
    return {
        "gate": session.gate,
        "cards": [(card.content, card.status) for card in world.cards],
        "decided": {hash_: how for hash_, how in enumerate(world.decided) if how in ("approved", "rejected")},
        "filings": [hash_ for hash_, filing in enumerate(world.filings) if filing],
        "outcome": session.outcome,
        "rejected": session.rejected,
        "wish": session.wish,
        "closed": session.closed,
        "approved": world.cards[session.approved].content if session.approved >= 0 else 0,
    }


@dataclass
class Walk:
    """A random walk of the machine, and of the program beside it. Every other one begins with an approval."""

    seed: int
    machine: Machine = field(default_factory=lambda: Machine(bounds=BOUNDS))
    trace: list[tuple[Any, ...]] = field(default_factory=list)

    async def goes(self) -> None:
        """Takes all its steps."""
        self._chance, self._program = random.Random(self.seed), Program()
        world = self.machine.start()
        for event in APPROVED if self.seed % 2 else ():
            for kind in ("accepted", "reads", "commits"):
                way = next(way for way in self.machine.next(world) if way[0][0] == kind and event in way[0])
                world = await self._takes(world, *way)
        for _ in range(STEPS):
            ways: dict[str, list[Any]] = {}
            for way in self.machine.next(world):
                if way[1] != world and (way[0][0] != "crash" or self._chance.random() < 0.1):
                    ways.setdefault(way[0][0], []).append(way)
            if not ways:
                return
            kind = self._chance.choice([*ways])
            world = await self._takes(world, *self._chance.choice(ways[kind]))

    async def _takes(self, before: World, label: tuple[Any, ...], after: World, what: Happened) -> World:
        self.trace.append(label)
        if isinstance(what, Turned):
            turn = await self._program.take(what, before)
            decision = turn.graph.decision.status if turn.graph and turn.graph.decision else ""
            move = SETTLES[turn.settled.to] if turn.settled else ""
            came = turn.outcome, decision, move, bool(turn.graph and turn.graph.new_card)
            assert came == (what.then, what.decided[1] if what.decided else "", what.move, bool(what.opened)), self
            assert self._program.stands(after) == stands(after), self
            assert turn.shows or what.event[0] not in ("click", "settle"), self
        return after

    def __str__(self) -> str:
        return "\n".join([f"walk {self.seed}", *in_words(self.trace)])


async def test_the_program_does_what_the_machine_does() -> None:
    used = set[tuple[str, str]]()
    for seed in range(WALKS):
        walk = Walk(seed)
        await walk.goes()
        used |= {(table, row.name) for table, asked in walk.machine.asked.items() for row in asked.values()}
    assert {(table, row) for table, row in rows() - used if table in CONVERSATION} == set(), "no walk came to these rows"
