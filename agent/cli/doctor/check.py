"""What one check of `signoff doctor` finds."""

import os
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "wrong", "skipped"]

TIMEOUT = 10
"""Seconds that Slack and the database have to answer."""


@dataclass(frozen=True)
class Check:
    """What one check found, and when it is wrong what to do. `skipped`: not needed, or not possible before another is well."""

    check: str
    status: Status
    found: str
    todo: str = ""
    details: tuple[str, ...] = ()


def env(name: str) -> str:
    """A variable; empty if it is not set."""
    return os.environ.get(name, "")


def parts(sentence: str) -> tuple[str, str]:
    """What is wrong, and what to do: our sentences say that after the last colon or semicolon."""
    at = max(sentence.rfind(": "), sentence.rfind("; "))
    return (sentence, "") if at < 0 else (sentence[:at], sentence[at + 2 :].rstrip("."))
