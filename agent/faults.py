"""Fault points: places where a test makes a process end, wait or fail, by its environment; elsewhere they do nothing.

`SIGNOFF_FAULT` is NAME=crash, NAME=sleep:SECONDS or NAME=raise, several with commas between them; each works once.
"""

import os
import signal
import time

POINTS = (
    "approval-committed", "filing-sent", "filing-posted", "filing-recorded", "filing-lost", "filing-looked",
    "settlement-committed",
)  # fmt: skip
"""After an approval is on record; then before a ticket is sent, after it was, after that is on record, after it is on record
that no answer came, after a look for it, and after a person's word on it is on record."""


class Fault(Exception):
    """What a fault point raises."""


_ARMED: dict[str, str] = {}


def arm() -> None:
    """Reads the environment. Raises ValueError with a sentence."""
    given = [one.partition("=") for one in os.environ.get("SIGNOFF_FAULT", "").split(",") if one]
    if unknown := [name for name, _, _ in given if name not in POINTS]:
        raise ValueError(f"SIGNOFF_FAULT names {unknown[0]}, and the points are {', '.join(POINTS)}.")
    _ARMED.update({name: act for name, _, act in given})


arm()


def point(name: str) -> None:
    """Does here what the environment asks for, once."""
    if not _ARMED or (act := _ARMED.pop(name, None)) is None:
        return
    kind, _, seconds = act.partition(":")
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "sleep":
        time.sleep(float(seconds))
    else:
        raise Fault(name)
