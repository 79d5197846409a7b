"""The shell: wakes sessions and takes their turns, and takes approvals to the tracker. What it calls is behind ports."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agent import shows
from agent.ports import (
    Facts,
    Filing,
    LostRace,
    NotYet,
    Snapshot,
    Store,
    Tracker,
    TrackerError,
    Turn,
    Unheard,
    Unreachable,
    Verdict,
)
from agent.protocol import Decision, FilingOutcome, Reply
from agent.turn import Turns

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

Deliver = Callable[[str], Awaitable[float | None]]
"""Takes a session's effects outside; gives the seconds after which to look again, if need be."""

log = logging.getLogger(__name__)


class TerminalFacts:
    """The facts of the terminal: people type readable words, and whoever can type here may decide."""

    async def hear(self, snapshot: Snapshot, reply: Reply) -> Reply:
        """The reply as it is."""
        return reply

    async def may_decide(self, snapshot: Snapshot, decision: Decision) -> Verdict:
        """Yes."""
        return Verdict()


class Shell:
    """The handlers of the queue's jobs (`persistence.queue.Handlers`). Any number of shells may serve one store."""

    def __init__(self, store: Store, turns: Turns, tracker: Tracker, facts: Facts, deliver: Deliver | None = None) -> None:
        self._store, self._turns, self._tracker, self._facts, self._deliver = store, turns, tracker, facts, deliver

    async def wake(self, session_id: str, tries: int) -> None:
        """Takes the session's events in order until none is left; `tries` is how often this job was put off before."""
        while snapshot := await self._store.next(session_id):
            turn = await self._turn(snapshot, tries)
            try:
                more = await self._commit(snapshot, turn)
            except LostRace:
                continue  # somebody else's turn stands: look again
            if not more:
                return
            tries = 0

    async def _commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        """Commits the turn, or that it failed, if that is what the database has against it."""
        for _ in range(COMMIT_TRIES):
            try:
                return await self._store.commit(snapshot, turn)
            except LostRace:
                raise
            except Exception:
                log.warning("the turn of %s cannot be committed", snapshot.event.event_id, exc_info=True)
                await asyncio.sleep(PAUSE)
        return await self._store.commit(snapshot, _kept(snapshot))

    async def _turn(self, snapshot: Snapshot, tries: int) -> Turn:
        """What the event comes to, a failure included. Raises NotYet while the facts cannot be found out."""
        if snapshot.unreadable:
            return _kept(snapshot)
        for _ in range(TRIES):
            try:
                known, verdict, heard = await self._gather(snapshot)
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
            return snapshot, await self._facts.may_decide(snapshot, answer), None
        if not isinstance(answer, Reply):
            return snapshot, Verdict(), None
        if not self._turns.reads(snapshot, answer):
            return snapshot, Verdict(), None
        heard = await self._facts.hear(snapshot, answer.model_copy())
        if heard == answer:
            return snapshot, Verdict(), None
        return replace(snapshot, event=snapshot.event.model_copy(update={"answer": heard})), Verdict(), heard

    async def file(self, session_id: str, draft_hash: str) -> None:
        """Sends the sealed bytes of an approval, once; what cannot be known is left to a person."""
        if filing := await self._store.begin_filing(session_id, draft_hash):
            await self._store.end_filing(filing, await self._send(filing))

    async def deliver(self, session_id: str) -> float | None:
        """Takes what people are to see to the surface, where it does not fetch that itself, as a terminal does."""
        return await self._deliver(session_id) if self._deliver else None

    async def _send(self, filing: Filing) -> FilingOutcome:
        if hashlib.sha256(filing.sealed).hexdigest() != filing.draft_hash:
            return FilingOutcome(status="failed", reason="The stored bytes are not the ones that were approved.")
        if filing.sent_before and not self._tracker.repeatable:
            return FilingOutcome(status="unknown", reason="It was sent before, and no reply is on record.")
        try:
            ticket = await self._tracker.create(filing.sealed, filing.marker)
        except TrackerError as error:
            return FilingOutcome(status="failed", reason=str(error))
        return FilingOutcome(status="filed", key=ticket.key, url=ticket.url)


def _kept(snapshot: Snapshot) -> Turn:
    log.error("event %s could not be processed", snapshot.event.event_id)
    text = "I could not process that message. It is kept, and the conversation goes on; say it again in other words."
    return Turn(outcome="failed", shows=[{"kind": "say", "text": text}])
