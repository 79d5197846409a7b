"""What the tests of trackers share: a receipt, and what the ladder takes of what is found."""

from datetime import UTC, datetime

from agent.receipt import Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Tracker

APPROVED_AT = datetime.now(UTC)


async def accepted(tracker: Tracker, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
    """The ticket that is found, if it is ours and reads as sealed."""
    copy = await tracker.find(sealed, receipt)
    return copy if copy and copy.ours and not copy.changed else None


def receipt(ticket: SealedTicket, marker: str = "signoff-1234") -> Receipt:
    """The receipt of an approval that was given as the tests began: each call gives the same."""
    return Receipt(
        marker=marker,
        draft_hash=ticket.draft_hash,
        approved_by="Ann @ann",
        approved_at=APPROVED_AT,
        thread="https://acme.slack.com/archives/C1/p1",
    )
