"""The ladder: an approval becomes one ticket, although no tracker promises that, replies are lost, and processes die.

What is sent is on record as sent before it is, and is sent by nothing that tries again. What surely did not happen may be
done later; what nobody can tell is looked for by the approval's marker, and after a while a person is asked. That nothing is
found proves nothing, so nothing is ever sent again without a person's word. `docs/exactly-once.md` tells the whole of it.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

from agent.catalogue import Catalogue
from agent.faults import point
from agent.ports import Filing, Ledger
from agent.protocol import FilingOutcome
from agent.rules import RESULTS, STEPS, Came, Result, Step, first
from agent.sealing import SealedTicket
from agent.trackers import TWINS, Copy, Later, Refused, Ticket, Tracker, Unsure

LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, *(3600.0,) * 24)
"""Seconds before each look for a ticket that may be there; a search may lag by minutes. After that nobody looks any more."""

ASKED_AFTER = 5
"""Looks in vain after which people are asked: half a minute."""

NO_CONNECTION = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between tries to connect."""

CONNECT_PATIENCE = 60.0
"""Seconds after which a tracker that cannot be reached is a failure that people are told of."""

PAUSE_PATIENCE = 900.0
"""The same for a tracker that wants pauses."""

LONG = 10.0
"""Seconds of a pause that people are told of."""

STOPPED = 10.0
"""Seconds between the record that a ticket is sent and its sending, after which it is not sent by this process any more."""

READING = 15.0
"""Seconds that a tracker has to show a ticket that somebody named."""

NO_REPLY = "It was sent, and the process that sent it ended before an answer came."
NOT_FOUND = "No ticket with its marker is to be found so far."

log = logging.getLogger(__name__)


class Ladder:
    """Takes approvals to their trackers, one step a call; any number of processes may."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self._ledger, self._catalogue = ledger, catalogue

    async def go_on(self, session_id: str, draft_hash: str) -> None:
        """Does what is next, if anything is."""
        begun = time.monotonic()
        point("filing-beginning")
        filing = await self._ledger.begin(session_id, draft_hash)
        if filing is None:
            return
        try:
            sealed = SealedTicket.of(filing.sealed, filing.draft_hash)
            tracker = self._catalogue.of(sealed)
        except (ValueError, Refused) as error:
            await self._hopeless(filing, str(error))
            return
        match first(STEPS, Step(filing.status, repeatable=tracker.repeatable)).then:
            case "link":
                await self._link(filing, tracker)
            case "look":
                await self._look(filing, sealed, tracker)
            case "doubt":
                await self._came_to(filing, "unsure", NO_REPLY)
            case "send":
                await self._send(filing, sealed, tracker, begun)

    async def prove(self, filing: Filing, key: str) -> Ticket:
        """The ticket of this key, if it is the one that was approved. Raises Refused or Later."""
        try:
            sealed = SealedTicket.of(filing.sealed, filing.draft_hash)
        except ValueError as error:
            raise Refused(str(error)) from None
        try:
            point("proof-reading")
            async with asyncio.timeout(READING):
                copy = await self._catalogue.of(sealed).read(key, sealed, filing.receipt)
            point("proof-read")
        except TimeoutError:
            raise Later(f"{key} could not be read within {READING:.0f} s: try it again.") from None
        if not copy.ours or not (copy.receipt or copy.draft_hash == filing.draft_hash):
            raise Refused(
                f"{copy.ticket.key} does not carry this approval's marker and receipt: give the key of the one that does."
            )
        return copy.ticket

    async def _hopeless(self, filing: Filing, reason: str) -> None:
        """Nothing can be done; what was sent is as unknown as before."""
        if filing.status == "filed":
            await self._rest(filing)
        elif filing.status == "intended":
            await self._came_to(filing, "refused", reason)
        else:
            await self._came_to(filing, "nothing", reason, patient=False)

    async def _send(self, filing: Filing, sealed: SealedTicket, tracker: Tracker, begun: float) -> None:
        point("filing-sent")
        try:
            there = await tracker.find(sealed, filing.receipt) if filing.doubted else None  # nobody may have found it, so far
            found = _the_one(filing, there)
            if there and there.ours and not found:
                await self._came_to(filing, "other", _odd(there))
                return
            if time.monotonic() - begun > STOPPED:  # others may have taken this process for dead
                await self._came_to(filing, "later", seconds=LOOKS[0])
                return
            point("filing-posting")
            ticket = found or await tracker.create(sealed, filing.receipt)
            point("filing-posted")
        except Later as error:
            await self._wait(filing, error)
        except Refused as error:
            await self._came_to(filing, "refused", str(error), errors=error.fields)
        except Unsure as error:
            await self._came_to(filing, "unsure", str(error))
        else:
            await self._came_to(filing, "found" if found else "made", ticket=ticket)

    async def _came_to(
        self,
        filing: Filing,
        result: Came,
        reason: str = "",
        *,
        patient: bool = True,
        seconds: float = 0.0,
        told: str = "",
        ticket: Ticket | None = None,
        errors: Mapping[str, str] | None = None,
    ) -> None:
        """Puts on record what a step came to, by the rows of `agent.rules.RESULTS`."""
        row = first(RESULTS, Result(result, doubted=filing.doubted, patient=patient))
        match row.then:
            case "file":
                assert ticket
                await self._ledger.end(filing, FilingOutcome(status="filed", key=ticket.key, url=ticket.url))
                point("filing-recorded")
            case "fail":
                await self._ledger.end(filing, FilingOutcome(status="failed", reason=reason, errors=dict(errors or {})))
                point("filing-failed")
            case "lose":
                await self._ledger.lost(filing, reason, LOOKS[0])
                point("filing-lost")
            case "put off" if result == "nothing":
                await self._look_later(filing, seconds)
            case "put off":
                await self._put_off(filing, seconds, told)
            case "ask":
                if row.name == "doubted":
                    reason = f"This time it was refused ({reason}), and an earlier attempt got no answer."
                await self._ask(filing, reason, seconds)

    async def _ask(self, filing: Filing, reason: str, wanted: float = 0.0) -> None:
        if not filing.asked:
            await self._ledger.end(filing, FilingOutcome(status="unknown", reason=reason))
            point("filing-asked")
        await self._look_later(filing, wanted)

    async def _look_later(self, filing: Filing, wanted: float) -> None:
        """The next look, after the pause that the tracker wants if that is longer."""
        if filing.looks + 1 < len(LOOKS):
            await self._put_off(filing, max(LOOKS[filing.looks + 1], wanted))
        else:
            await self._rest(filing)

    async def _put_off(self, filing: Filing, seconds: float, told: str = "") -> None:
        await self._ledger.put_off(filing, seconds, told)
        point("filing-delayed")

    async def _rest(self, filing: Filing) -> None:
        await self._ledger.rest(filing)
        point("filing-rested")

    async def _wait(self, filing: Filing, error: Later) -> None:
        """It surely was not sent: once more later, within reason."""
        if error.seconds is None:
            tried = sum(sum(NO_CONNECTION[: n + 1]) <= filing.age for n in range(len(NO_CONNECTION) - 1))
            seconds, patience = NO_CONNECTION[tried], CONNECT_PATIENCE
        else:
            seconds, patience = error.seconds, PAUSE_PATIENCE
        if filing.age + seconds <= patience:
            told = f"{str(error).rstrip('.')}; the ticket is filed in {seconds:.0f} s." if seconds >= LONG else ""
            await self._came_to(filing, "later", seconds=seconds, told=told)
        else:
            await self._came_to(filing, "later", f"{error} Try it again later.", patient=False)

    async def _look(self, filing: Filing, sealed: SealedTicket, tracker: Tracker) -> None:
        """Looks for a ticket that may be there, and asks people once that was in vain for a while."""
        ticket, problem, wanted = None, NOT_FOUND, 0.0
        point("filing-looking")
        try:
            there = await tracker.find(sealed, filing.receipt)
            ticket, problem = _the_one(filing, there), _odd(there) if there and there.ours else NOT_FOUND
        except (Refused, Later) as error:
            problem, wanted = str(error), getattr(error, "seconds", None) or 0.0
        except Exception:
            log.exception("what %s answered cannot be read", tracker.name)
            problem = "What the tracker answers cannot be read."
        point("filing-looked")
        if ticket:
            await self._came_to(filing, "found", ticket=ticket)
        else:
            patient = filing.looks + 1 < ASKED_AFTER
            await self._came_to(filing, "nothing", f"{filing.reason} {problem}", patient=patient, seconds=wanted)

    async def _link(self, filing: Filing, tracker: Tracker) -> None:
        """Ties the ticket to its conversation: nicer with than without, and tried as long as what hinders it may pass."""
        assert filing.ticket
        point("filing-linking")
        try:
            await tracker.link(filing.ticket, filing.receipt)
        except Later as error:
            if filing.looks + 1 < len(LOOKS):
                await self._put_off(filing, error.seconds or LOOKS[filing.looks])
                return
            log.warning("%s is not tied to its conversation: %s", filing.ticket.key, error)
        except Exception as error:
            log.warning("%s is not tied to its conversation: %s", filing.ticket.key, error)
        point("filing-linked")
        await self._rest(filing)


def _odd(copy: Copy) -> str:
    """Why a ticket that carries the marker is not taken for the one that was approved."""
    if keys := next((change.added for change in copy.changed if change.field == TWINS), []):
        return f"{' and '.join(keys)} carry its marker, and only one of them can be it."
    return f"{copy.ticket.key} carries its marker, and does not read as it was approved."


def _the_one(filing: Filing, copy: Copy | None) -> Ticket | None:
    """The ticket that carries the marker, if it is what was approved, word for word."""
    exact = copy is not None and copy.ours and not copy.changed and copy.draft_hash == filing.draft_hash
    return copy.ticket if copy and exact else None
