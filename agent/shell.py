"""The shell: wakes sessions and takes their turns, and takes approvals to the tracker. What it calls is behind ports."""

import asyncio
import hashlib
import logging

from agent.ports import Event, Filing, LostRace, Policy, Snapshot, Store, Tracker, TrackerError, Turn, Verdict
from agent.protocol import Decision, FilingOutcome
from agent.turn import Turns

TRIES = 3
"""How often an event is taken before its turn is committed as failed; the next event then goes on."""

COMMIT_TRIES = 30
"""The same for a turn that cannot be committed: that is the database's trouble, most of the time, and it passes."""

BUDGET = 60.0
"""Seconds that a turn may take, a model's thinking included."""

log = logging.getLogger(__name__)


class AnyoneMayDecide:
    """The terminal's policy: whoever can type here may decide."""

    async def may_decide(self, event: Event) -> Verdict:
        """Yes."""
        return Verdict()


class Shell:
    """The handlers of the queue's jobs (`persistence.queue.Handlers`). Any number of shells may serve one store."""

    def __init__(self, store: Store, turns: Turns, tracker: Tracker, policy: Policy) -> None:
        self._store, self._turns, self._tracker, self._policy = store, turns, tracker, policy

    async def wake(self, session_id: str, tries: int) -> None:
        """Takes the session's events in order until none is left; `tries` is how often this job failed before."""
        while snapshot := await self._store.next(session_id):
            budget = TRIES
            try:
                turn = await self._take(snapshot)
                budget = COMMIT_TRIES
                more = await self._store.commit(snapshot, turn)
            except LostRace:
                continue  # somebody else's turn stands: look again
            except Exception:
                if tries + 1 < budget:
                    raise
                log.exception("event %s could not be processed", snapshot.event.event_id)
                more = await self._store.commit(snapshot, _kept(snapshot))
            if not more:
                return
            tries = 0

    async def _take(self, snapshot: Snapshot) -> Turn:
        verdict = Verdict()
        if isinstance(snapshot.event.answer, Decision):
            verdict = await self._policy.may_decide(snapshot.event)
        async with asyncio.timeout(BUDGET):
            return await self._turns.take(snapshot, verdict)

    async def file(self, session_id: str, draft_hash: str) -> None:
        """Sends the sealed bytes of an approval, once; what cannot be known is left to a person."""
        if filing := await self._store.begin_filing(session_id, draft_hash):
            await self._store.end_filing(filing, await self._send(filing))

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
    text = "I could not process that message. It is kept, and the conversation goes on; say it again in other words."
    return Turn(outcome="failed", shows=[{"kind": "say", "text": text}])
