"""What GitHub and GitLab share: issues that a project numbers, with a marker in a comment of HTML at the end of their text."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.receipt import Piece, Receipt
from agent.trackers import Refused
from skills.trackers.body import Paragraph, receipt_blocks, text_blocks
from skills.trackers.markdown import Dialect, last_mark, mark, markdown

COMMENT_PAGES = 50
"""Pages, of a hundred comments each, that are looked through for one of ours."""


def envelope(receipt: Receipt, dialect: Dialect) -> str:
    """What follows the text once it is approved: the receipt and the marker."""
    return f"{markdown(receipt_blocks(receipt), dialect)}\n\n{mark(receipt.marker)}"


def comment_name(comment_id: str) -> str:
    """What a comment of this id is marked with."""
    return hashlib.sha256(comment_id.encode()).hexdigest()[:32]


def comment_text(name: str, author: str, text: str, dialect: Dialect) -> str:
    """A comment that ends with who wrote it, and with its name, which nobody sees."""
    blocks = [*text_blocks(text), Paragraph([[Piece("text", f"{author} via Signoff")]])]
    return f"{markdown(blocks, dialect)}\n\n{mark(name)}"


async def has_comment(name: str, page: Callable[[int], Awaitable[Sequence[Mapping[str, Any]]]]) -> bool:
    """Whether one of the comments, which come in pages of a hundred, has this name."""
    for number in range(1, COMMENT_PAGES + 1):
        comments = await page(number)
        if any(last_mark(each.get("body") or "") == name for each in comments):
            return True
        if len(comments) < 100:
            break
    return False


def number_of(given: str, project: str, tracker: str, addresses: str, example: str) -> int:
    """The number of an issue of the project: given alone, with the project, or as an address.

    `addresses` is the pattern of those, with the project and the number as its groups. Raises Refused.
    """
    text = given.strip()
    if "://" in text:
        if not (found := re.fullmatch(rf"{addresses}/?(?:[?#].*)?", text)):
            raise Refused(f"{text} is no address of an issue there; one is like {example}.")
    elif not (found := re.fullmatch(r"(?:([^\s#]+)?#)?(\d{1,18})", text)):
        raise Refused(f"{text[:80]!r} is no issue of {tracker}: one is like #12, or {project}#12.")
    if found[1] and found[1].casefold() != project.casefold():
        raise Refused(f"{found[1]}#{found[2]} is not in {project}, where this ticket goes.")
    return int(found[2])
