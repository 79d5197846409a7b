"""The marks of a card, on values that nobody said: a digest names one, or all together, so a button is about no other."""

import hashlib
import json
from collections.abc import Sequence

from agent.draft import Unsaid


def distinct(marks: Sequence[Unsaid]) -> list[Unsaid]:
    """Each mark once."""
    return [one for n, one in enumerate(marks) if one not in marks[:n]]


def digest_of(*marks: Unsaid) -> str:
    """What names these marks."""
    return hashlib.sha256(json.dumps([[one.field, one.value] for one in marks]).encode()).hexdigest()


def named(digest: str, marks: Sequence[Unsaid]) -> list[Unsaid]:
    """The mark that a button names, or all if it names these together; none if they are no longer there."""
    every = distinct(marks)
    return next((group for group in [*([one] for one in every), every] if digest_of(*group) == digest), [])
