"""The marks of a card, on values that nobody said: a digest names one, or all together, so a button is about no other."""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from agent.draft import Unsaid
from agent.operations import Operation, on_mark


def distinct(marks: Sequence[Unsaid]) -> list[Unsaid]:
    """Each mark once."""
    return [one for n, one in enumerate(marks) if one not in marks[:n]]


def digest_of(*marks: Unsaid) -> str:
    """What names these marks."""
    return hashlib.sha256(json.dumps([[one.field, one.value] for one in marks]).encode()).hexdigest()


def edits(act: Literal["confirm", "remove"], digest: str, marks: Sequence[Unsaid]) -> list[Operation]:
    """What a button asks for that names one of the marks, or all; nothing if they are no longer there."""
    every = distinct(marks)
    named = next((group for group in [*([one] for one in every), every] if digest_of(*group) == digest), [])
    return [on_mark(act, one) for one in named]
