"""What the ladder takes of what a tracker finds."""

from agent.receipt import Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Tracker


async def accepted(tracker: Tracker, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
    """The ticket that is found, if it is ours and reads as sealed."""
    copy = await tracker.find(sealed, receipt)
    return copy if copy and copy.ours and not copy.changed else None
