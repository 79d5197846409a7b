"""The receipt: what a ticket carries beside what was approved. It is a function of the approval record and of nothing else."""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel


class Piece(NamedTuple):
    """A piece of a sentence: plain words, a code, or a link (its address is the text)."""

    kind: Literal["text", "code", "link"]
    text: str


class Receipt(BaseModel):
    """Who approved what, when and where. The marker finds the ticket again; there is one for each approval."""

    marker: str
    draft_hash: str
    approved_by: str
    approved_at: datetime
    thread: str = ""
    """The address of the conversation; empty if it has none."""


def sentence(receipt: Receipt) -> list[Piece]:
    """The line that ends a ticket, in pieces, for each tracker to write in its own markup."""
    at = receipt.approved_at.astimezone(UTC)
    said = [Piece("text", f"Approved by {receipt.approved_by} on {at:%Y-%m-%d} at {at:%H:%M:%S} UTC")]
    if receipt.thread:
        said += [Piece("text", " in "), Piece("link", receipt.thread)]
    said += [Piece("text", ". Filed by Signoff. SHA-256 of what was approved: "), Piece("code", receipt.draft_hash)]
    return [*said, Piece("text", ".")]


FORM = "its marker, and a last line that says who approved it, when, where, and this hash"
"""What a card says of the envelope before it is known who approves."""
