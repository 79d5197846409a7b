"""Comparing a ticket with what was sealed, where a tracker keeps text in a form of its own."""

from collections.abc import Callable, Mapping
from difflib import ndiff
from typing import Any

from agent.sealing import FieldChange, SealedTicket

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


def _change(name: str, before: str, now: str) -> FieldChange:
    lines = [line for line in ndiff(before.split("\n"), now.split("\n")) if line[:2] in ("- ", "+ ")]
    gone = [line[2:] for line in lines if line[0] == "-" and line[2:].strip()]
    come = [line[2:] for line in lines if line[0] == "+" and line[2:].strip()]
    return FieldChange(field=name, removed=gone, added=come)
