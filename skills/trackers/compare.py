"""Comparing a ticket with what was sealed, where a tracker keeps text in a form of its own."""

from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from agent.sealing import FieldChange, SealedTicket
from agent.trackers import TWINS, Copy

Words = Callable[[str, Any], str]
"""Part of a request (its name and value) -> its text in a form that does not depend on how the tracker keeps it."""


def compared(sealed: SealedTicket, there: Mapping[str, Any], words: Words) -> tuple[dict[str, Any], list[FieldChange]]:
    """The sealed payload as the tracker holds it now, and what changed. `there` has the same parts as the sealed request.

    A part that reads the same counts as the sealed one, whatever form the tracker gave it; so the payload hashes as the
    approval does exactly if every part reads the same.
    """
    request: dict[str, Any] = {}
    changes = []
    for name, value in sealed.payload["request"].items():
        now = there.get(name)
        before_text, now_text = words(name, value), words(name, now)
        if before_text == now_text:
            request[name] = value
            continue
        request[name] = now
        changes.append(_change(name, before_text, now_text))
    return {**sealed.payload, "request": request}, changes


def the_one(copies: Sequence[Copy]) -> Copy | None:
    """Of the tickets that carry a marker the one of ours, an exact one first; if there are several, it says so as a change.

    One that reads in another way counts, too: which of two is the approved one is not for a program to say.
    """
    ours = sorted((copy for copy in copies if copy.ours), key=lambda copy: bool(copy.changed))
    if len(ours) > 1:
        twins = FieldChange(field=TWINS, added=[copy.ticket.key for copy in ours])
        return ours[0].model_copy(update={"changed": [twins]})
    return next(iter(ours), None)


def _change(name: str, before: str, now: str) -> FieldChange:
    old, new = before.split("\n"), now.split("\n")
    gone, come = [], []
    for kind, start, end, new_start, new_end in SequenceMatcher(None, old, new).get_opcodes():
        if kind != "equal":
            gone += [line for line in old[start:end] if line.strip()]
            come += [line for line in new[new_start:new_end] if line.strip()]
    return FieldChange(field=name, removed=gone, added=come)
