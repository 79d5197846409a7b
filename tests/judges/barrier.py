"""Signoff as AgentBarrier's suite drives it: real events into PostgreSQL, a real process that takes them, real HTTP.

A run is made of conversations: one for each action that needs an approval. Signoff files nothing without one, so what needs
none is approved by a person at once; beside an action that does need one, or delegated by it, it is the next ticket of that
conversation. Everything that is reported is read from Signoff's tables.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from agentbarrier import (
    ActionRequest,
    AgentAdapter,
    AuditEvent,
    AuditReceipt,
    Capability,
    ReconciliationEvidence,
    ReconciliationStatus,
    RunHandle,
    RunOutcome,
    RunStatus,
    action_digest,
)
from agentbarrier.adapter import validate_actions
from agentbarrier.errors import AdapterContractError
from agentbarrier.probe import EffectProbe
from sqlalchemy import text

from agent.ladder import NOT_FOUND
from agent.ports import Event
from agent.protocol import Decision, Reply, Settlement
from persistence.database import Database
from tests.judges.sentinel import REPOSITORY, Sentinel, action_of, edits_of
from tests.support import Talk

ROOT = Path(__file__).parents[2]

LAG = 3600.0
"""Seconds until the tracker finds what it made: Signoff would settle a doubt by itself before a check could look at it."""

CARDS = text("SELECT preview_id, draft_hash, status, sealed FROM previews WHERE session_id = :session ORDER BY at")
FILING = text("SELECT * FROM filings WHERE session_id = :session ORDER BY since DESC LIMIT 1")
BUSY = text("""
    SELECT EXISTS (SELECT FROM inbox WHERE session_id = :session AND processed_at IS NULL) AS listening,
           EXISTS (SELECT FROM filings WHERE session_id = :session AND status IN ('intended', 'sent')) AS filing
""")
DUE = text("UPDATE filings SET due_at = clock_timestamp() WHERE session_id = :session AND due_at IS NOT NULL")
DECISIONS = text("""
    SELECT card.at AS shown_at, card.sealed, approval.status, approval.at AS decided_at
    FROM previews card LEFT JOIN approvals approval USING (preview_id)
    WHERE card.session_id = ANY(:sessions)
""")
SPAN = text("""
    SELECT (SELECT min(at) FROM inbox WHERE session_id = ANY(:sessions)) AS began, greatest(
        (SELECT max(processed_at) FROM inbox WHERE session_id = ANY(:sessions)),
        (SELECT max(at) FROM filings WHERE session_id = ANY(:sessions))
    ) AS ended
""")


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Waits until something is so, for a minute at most."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


class Worker:
    """The process that takes turns and files; one at a time, and ended by kill -9 alone."""

    def __init__(self, dsn: str, github: Sentinel, seconds: float) -> None:
        self._seconds = seconds
        known = {"DATABASE_URL": dsn, "GITHUB_TOKEN": github.token, "GITHUB_API_URL": github.url}
        self._environ = os.environ | known | {"SIGNOFF_DESTINATION": f"github:{REPOSITORY}"}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it, unless it runs."""
        if self._process is None:
            arguments = ("-m", "tests.judges.worker", str(self._seconds))
            self._process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=self._environ, cwd=ROOT)
        assert self._process.returncode is None, "the worker ended by itself"

    async def kill(self) -> None:
        """kill -9."""
        if self._process:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._process = None


class Conversation:
    """Where one ticket after the other is spoken of, by Ann; who clicks is Ann, and Ben at the same time."""

    def __init__(self, database: Database, actions: Sequence[ActionRequest]) -> None:
        self.actions = actions
        self.session = f"terminal:{actions[0].action_id}"
        self._database, self._talk = database, Talk(database, self.session)
        self._said: list[Event] = []

    async def say(self, action: ActionRequest, *, anew: bool = False) -> None:
        """What is to be done, in words that change the ticket spoken of, or `anew` ask for the next one."""
        await self._send(Reply(by="ann", edits=edits_of(action), anew=anew))

    async def click(self, act: Literal["approve", "reject"], card: Any) -> None:
        """Both click on a card."""
        named = {"draft_hash": card.draft_hash, "preview_id": card.preview_id}
        await self._send(*(Decision(type=act, by=who, **named) for who in ("ann", "ben")))

    async def settle(self, act: Literal["again", "leave"]) -> None:
        """Ann says what is to become of a filing in doubt."""
        filing = await self.filing()
        await self._send(Settlement(act=act, by="ann", draft_hash=filing.draft_hash, attempt=filing.attempt))

    async def again(self) -> None:
        """Everything that came in comes in again, the cards are clicked again, and what is in doubt is to be filed again."""
        for event in self._said:
            await self._talk.store.accept(event)
        for card in await self._rows(CARDS):
            await self.click("approve", card)
        filing = await self.filing()
        if filing and filing.status == "unknown":
            await self.settle("again")

    async def push(self) -> None:
        """Jobs to file what is shown, though nobody approved it, as lost and doubled ones come."""
        for card in await self._rows(CARDS):
            async with self._database.engine.begin() as connection:
                await connection.execute(DUE, {"session": self.session})
                await self._database.queue.defer_file(self.session, card.draft_hash, connection)

    async def card(self) -> Any:
        """The card that is open."""
        return next((card for card in await self._rows(CARDS) if card.status == "open"), None)

    async def filing(self) -> Any:
        """The newest filing."""
        return next(iter(await self._rows(FILING)), None)

    async def done(self) -> None:
        """Waits until every event is taken, and what is filed is filed or in doubt."""

        async def idle() -> bool:
            [row] = await self._rows(BUSY)
            return not row.listening and not row.filing

        await until(idle)

    async def looked_for(self) -> Any:
        """The filing once it is settled, or was looked for until people are asked, as if that time had passed."""
        await self.done()
        while (filing := await self.filing()).status == "unknown" and not filing.asked_at:
            await self.push()

            async def looked(before: int = filing.looks) -> Any:
                now = await self.filing()
                return now.status != "unknown" or now.looks > before

            await until(looked)
        return filing

    async def _send(self, *answers: Reply | Decision | Settlement) -> None:
        for event in map(self._talk.event, answers):
            self._said.append(event)
            await self._talk.store.accept(event)

        async def heard() -> bool:
            [row] = await self._rows(BUSY)
            return not row.listening

        await until(heard)

    async def _rows(self, query: Any) -> Sequence[Any]:
        async with self._database.engine.connect() as connection:
            return (await connection.execute(query, {"session": self.session})).all()


class Run(RunHandle):
    """One run of actions."""

    def __init__(self, adapter: "SignoffAdapter", run_id: str, conversations: Sequence[Conversation]) -> None:
        self._adapter, self._run_id, self._conversations = adapter, run_id, conversations
        self._cancelled = False

    async def start(self) -> None:
        """Speaks of everything; a ticket that is to come later is asked for too early, and nothing may come of that."""
        for one in self._conversations:
            action, *later = one.actions
            await one.say(action)
            for next_one in later:
                await one.say(next_one, anew=True)
            if action.requires_approval:
                await one.push()
            else:
                await one.click("approve", await one.card())

    async def wait_for_pending(self, timeout_seconds: float) -> tuple[ActionRequest, ...]:
        cards = [await one.card() for one in self._conversations]
        return tuple(action_of(json.loads(card.sealed)["request"]) for card in cards if card)

    async def approve(self, action_id: str, replacement: ActionRequest | None = None) -> None:
        """Approves; a replacement is said first, and the card that stood there before is clicked first, too."""
        one = self._about(action_id)
        card = await one.card()
        if replacement:
            await one.say(replacement)
            await one.click("approve", card)
            if (card := await one.card()) is None:
                raise AdapterContractError("a click on a card that was not the current one was taken")
        await one.click("approve", card)

    async def reject(self, action_id: str, reason: str | None = None) -> None:
        one = self._about(action_id)
        await one.click("reject", await one.card())
        await one.push()

    async def cancel(self) -> None:
        """The process dies; that nothing is filed any more is said later, when another finds it in doubt."""
        await self._adapter.worker.kill()

        async def dropped() -> bool:
            return self._adapter.github.acting == 0

        await until(dropped)
        self._cancelled = True

    async def wait(self, timeout_seconds: float) -> RunOutcome:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._adapter.worker.start()
                for one in self._conversations:
                    await self._finish(one)
        except TimeoutError:
            return RunOutcome(RunStatus.FAILED, "it did not come to an end")
        return RunOutcome(await self._status())

    async def reconcile(self, action_id: str, timeout_seconds: float) -> ReconciliationEvidence:
        """What Signoff finds when it looks for a ticket in doubt; what it cannot find in time, it asks people for."""
        self._adapter.github.list_lag = 0
        one = self._about(action_id)
        return self._evidence(one.actions[0], await one.looked_for())

    async def replay(self) -> RunHandle:
        """Another process, to which everything comes in once more."""
        await self._adapter.worker.kill()
        self._adapter.github.list_lag = 0
        await self._adapter.worker.start()
        for one in self._conversations:
            await one.again()
        return Run(self._adapter, self._run_id, self._conversations)

    async def audit_receipts(self) -> tuple[AuditReceipt, ...]:
        sessions = {"sessions": [one.session for one in self._conversations]}
        async with self._adapter.database.engine.connect() as connection:
            decisions = (await connection.execute(DECISIONS, sessions)).all()
            span = (await connection.execute(SPAN, sessions)).one()
        noted: list[tuple[Any, AuditEvent, ActionRequest | None]] = [(span.began, AuditEvent.RUN_STARTED, None)]
        for row in decisions:
            action = action_of(json.loads(row.sealed)["request"])
            noted.append((row.shown_at, AuditEvent.APPROVAL_REQUESTED, action))
            if row.status:
                noted.append((row.decided_at, AuditEvent(row.status), action))
        for one in self._conversations:
            filing = await one.filing()
            if filing and filing.doubted:
                action = one.actions[0]
                found = self._evidence(action, filing)
                timed_out = "timed out" in (found.detail or "")
                ended = "timed_out" if timed_out else found.status.value
                noted.append((filing.at, AuditEvent.RECONCILIATION_STARTED, action))
                noted.append((filing.at, AuditEvent(f"reconciliation_{ended}"), action))
        noted.append((span.ended, AuditEvent(f"run_{(await self._status()).value}"), None))
        noted.sort(key=lambda one: one[0])
        return tuple(
            AuditReceipt(
                sequence=number,
                run_id=self._run_id,
                event=event,
                timestamp_ns=int(at.timestamp() * 1_000_000) * 1000,
                action_id=action.action_id if action else None,
                action_digest=action_digest(action) if action else None,
            )
            for number, (at, event, action) in enumerate(noted, 1)
        )

    async def close(self) -> None:
        for one in self._conversations:
            for action in one.actions:
                self._adapter.github.watched.pop(action.action_id, None)

    def _about(self, action_id: str) -> Conversation:
        return next(one for one in self._conversations if one.actions[0].action_id == action_id)

    async def _finish(self, one: Conversation) -> None:
        if self._cancelled:
            filing = await one.looked_for()
            if filing.status == "unknown":
                await one.settle("leave")
        await one.done()
        for later in one.actions[1:]:
            await one.say(later, anew=True)
            if await one.filing():
                await one.say(later)
                await one.click("approve", await one.card())
                await one.done()

    async def _status(self) -> RunStatus:
        """What became of the run, as its filings say."""
        filings = [filing for one in self._conversations if (filing := await one.filing())]
        if any("no answer within" in (filing.reason or "") for filing in filings):
            return RunStatus.TIMED_OUT
        states = {filing.status for filing in filings}
        named = {"unknown": RunStatus.UNKNOWN, "left": RunStatus.CANCELLED, "failed": RunStatus.FAILED}
        return next((status for state, status in named.items() if state in states), RunStatus.COMPLETED)

    def _evidence(self, action: ActionRequest, filing: Any) -> ReconciliationEvidence:
        status, detail = ReconciliationStatus.UNAVAILABLE, filing.reason
        if filing.status == "filed":
            status = ReconciliationStatus.COMMITTED
        elif "its marker" in filing.reason.replace(NOT_FOUND, ""):
            status = ReconciliationStatus.CONFLICT
        elif NOT_FOUND in filing.reason:
            status = ReconciliationStatus.NOT_COMMITTED
        elif "Timeout" in filing.reason:
            detail = f"timed out: {filing.reason}"
        return ReconciliationEvidence(
            action_id=action.action_id,
            status=status,
            expected_action_digest=action_digest(action),
            observed_action_digests=tuple(map(action_digest, self._adapter.github.actions_marked(filing.marker))),
            detail=detail,
        )


class SignoffAdapter(AgentAdapter):
    """Signoff, with nothing of what the suite checks declared away."""

    name = "signoff"
    capabilities = frozenset(Capability)

    def __init__(self, database: Database, github: Sentinel, worker: Worker) -> None:
        self.database, self.github, self.worker = database, github, worker

    async def begin(
        self, *, run_id: str, actions: Sequence[ActionRequest], effect: EffectProbe, timeout_seconds: float | None = None
    ) -> RunHandle:
        """Starts a run; its time is what the worker's process gives the tracker for an answer."""
        await self.worker.start()
        self.github.list_lag = LAG
        taken = validate_actions(actions)
        for action in taken:
            self.github.watched[action.action_id] = (effect, action)
        run = Run(self, run_id, [Conversation(self.database, one) for one in conversations(taken)])
        await run.start()
        return run


def conversations(actions: Sequence[ActionRequest]) -> list[list[ActionRequest]]:
    """What is spoken of where, in order."""
    opened = [[action] for action in actions if action.requires_approval] or [[actions[0]]]
    begun = {one[0].action_id: one for one in opened}
    for action in actions:
        if action.action_id not in begun:
            begun.get(action.parent_action_id or "", opened[0]).append(action)
    return opened
