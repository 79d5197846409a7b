"""The shell: wakes sessions and takes their turns, and has approvals filed. What it calls is behind ports."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agent import asking, shows
from agent.catalogue import Catalogue
from agent.faults import point
from agent.ladder import Ladder
from agent.ports import Facts, LostRace, NotYet, Snapshot, Store, Turn, Unheard, Unreachable, Verdict
from agent.protocol import Decision, Likeness, Reply, Setting, Settlement
from agent.sealing import Destination
from agent.similar import Similar
from agent.trackers import Later, Refused
from agent.turn import Turns, judged

TRIES = 3
"""How often an event is taken before its turn is committed as failed; the next event then goes on."""

COMMIT_TRIES = 30
"""The same for a turn that cannot be committed: that is the database's trouble, most of the time, and it passes."""

PAUSE = 1.0
"""Seconds between two of these tries."""

FACTS_TRIES = 300
"""The same while the outside cannot be reached that knows the facts. With growing pauses these are three hours."""

FACTS_PAUSE = 60.0
"""Seconds of the longest of these pauses."""

BUDGET = 60.0
"""Seconds that a turn may take, a model's thinking included."""

SAME = "“{title}” was asked for in {thread}, and is said there to be this ticket."

Deliver = Callable[[str], Awaitable[float | None]]
"""Takes a session's effects outside; gives the seconds after which to look again, if need be."""

log = logging.getLogger(__name__)


class TerminalFacts:
    """The facts of the terminal: people type readable words, and whoever can type here may decide."""

    def __init__(self, catalogue: Catalogue, destination: Destination) -> None:
        self._catalogue, self._destination = catalogue, destination

    async def hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        """The reply, with what its tracker says of the project if there is anything to know."""
        setting = await self._catalogue.setting(Setting(destination=self._destination), snapshot.state)
        if setting == Setting() and not snapshot.state.get("destination"):
            return reply
        return reply.model_copy(update={"setting": setting})

    async def may_decide(self, snapshot: Snapshot, decision: Decision | Settlement) -> Verdict:
        """Yes."""
        return Verdict()


class Shell:
    """The handlers of the queue's jobs (`persistence.queue.Handlers`). Any number of shells may serve one store."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        ladder: Ladder,
        similar: Similar,
        facts: Facts,
        deliver: Deliver | None = None,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._turns, self._ladder, self._similar = store, turns, ladder, similar
        self._facts, self._deliver, self._crowded = facts, deliver, crowded

    async def wake(self, session_id: str, tries: int) -> None:
        """Takes the session's events in order until none is left; `tries` is how often this job was put off before."""
        losses = 0
        while snapshot := await self._store.next(session_id):
            point("turn-found")
            turn = await self._turn(snapshot, tries)
            try:
                more = await self._commit(snapshot, turn)
            except LostRace:  # somebody else's turn stands: look again
                losses += 1
                await asyncio.sleep(min(0.01 * 2**losses, PAUSE) if losses > 1 else 0)
                continue
            if not more:
                return
            tries = losses = 0

    async def _commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        """Commits the turn, or that it failed, if that is what the database has against it."""
        for _ in range(COMMIT_TRIES):
            try:
                return await self._store.commit(snapshot, turn)
            except LostRace:
                raise
            except Exception as error:
                reason = str(error).partition("\n")[0] or type(error).__name__
                log.warning("the turn of %s cannot be committed, and is tried again: %s", snapshot.event.event_id, reason)
                await asyncio.sleep(PAUSE)
        return await self._store.commit(snapshot, _kept(snapshot))

    async def _turn(self, snapshot: Snapshot, tries: int) -> Turn:
        """What the event comes to, a failure included. Raises NotYet while the facts cannot be found out."""
        if snapshot.unreadable:
            return _kept(snapshot)
        for _ in range(TRIES):
            try:
                known, verdict, heard = await self._gather(snapshot)
                point("facts-known")
                async with asyncio.timeout(BUDGET):
                    return replace(await self._turns.take(known, verdict), heard=heard)
            except Unheard as error:
                told = shows.private(getattr(snapshot.event.answer, "by", ""), str(error))
                return Turn(outcome="unheard", shows=[told])
            except NotYet:
                raise
            except Unreachable as error:
                if tries >= FACTS_TRIES:
                    break
                log.info("%s waits: %s", snapshot.event.event_id, error)
                raise NotYet(min(1.0 + tries // 4, FACTS_PAUSE)) from error
            except Exception:
                log.warning("the turn of %s failed", snapshot.event.event_id, exc_info=True)
                await asyncio.sleep(PAUSE)
        return _kept(snapshot)

    async def _gather(self, snapshot: Snapshot) -> tuple[Snapshot, Verdict, Reply | None]:
        """The snapshot with what was really said, the verdict on a click, and the reply if it was heard as another."""
        answer = snapshot.event.answer
        if isinstance(answer, Decision):
            return snapshot, await self._linked(snapshot, answer, await self._facts.may_decide(snapshot, answer)), None
        if isinstance(answer, Settlement):
            return snapshot, await self._proven(snapshot, answer, await self._facts.may_decide(snapshot, answer)), None
        if not isinstance(answer, Reply):
            return snapshot, Verdict(), None
        if not self._turns.reads(snapshot, answer):
            return snapshot, Verdict(), None
        if self._crowded():  # before the outside is asked for what belongs to it, again and again
            raise NotYet(asking.PAUSE)
        heard = await self._facts.hear(snapshot, answer.model_copy())
        if heard == answer:
            return snapshot, Verdict(), None
        return replace(snapshot, event=snapshot.event.model_copy(update={"answer": heard})), Verdict(), heard

    async def _linked(self, snapshot: Snapshot, click: Decision, verdict: Verdict) -> Verdict:
        """The verdict on somebody who says which ticket it is, with that ticket if the conversation is linked there by now."""
        snapshot, row = judged(snapshot, click, verdict, linked=True)
        if not (click.same_as and row.then == "rejected"):
            return verdict
        offered = [Likeness.model_validate(one) for one in snapshot.state.get("similar", [])]
        if (ticket := next((one for one in offered if one.key == click.same_as), None)) is None:
            return verdict.model_copy(update={"why": f"{click.same_as} is none of the tickets that were found"})
        card = snapshot.clicked
        assert card
        destination = Destination(tracker=card.sealed["tracker"], project=card.sealed["project"])
        text = SAME.format(title=card.sealed["title"], thread=verdict.thread or snapshot.event.session_id)
        try:
            linked = await self._similar.link(ticket, destination, snapshot.event.event_id, verdict.name or click.by, text)
        except (Refused, Later) as error:
            return verdict.model_copy(update={"why": str(error).rstrip(".")})
        return verdict.model_copy(update={"ticket": linked})

    async def _proven(self, snapshot: Snapshot, said: Settlement, verdict: Verdict) -> Verdict:
        """The verdict on somebody who says that a ticket is there, with that ticket if it is the one."""
        if said.act != "there" or not verdict.allowed or snapshot.filing is None:
            return verdict
        try:
            return verdict.model_copy(update={"ticket": await self._ladder.prove(snapshot.filing, said.key)})
        except (Refused, Later) as error:
            return verdict.model_copy(update={"why": str(error)})

    async def file(self, session_id: str, draft_hash: str) -> None:
        """Does what is next for an approval on its way to the tracker."""
        await self._ladder.go_on(session_id, draft_hash)

    async def deliver(self, session_id: str) -> float | None:
        """Takes what people are to see to the surface, where it does not fetch that itself, as a terminal does."""
        return await self._deliver(session_id) if self._deliver else None


def _kept(snapshot: Snapshot) -> Turn:
    log.error("event %s could not be processed", snapshot.event.event_id)
    text = "I could not process that message. It is kept, and the conversation goes on; say it again in other words."
    return Turn(outcome="failed", shows=[{"kind": "say", "text": text}], unprocessed=True)
