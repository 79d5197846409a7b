"""Real inputs, changed: in one place or in a few, by what parsers stumble over."""

import copy
import json
import math
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NEST = "(nested here)"
"""Becomes a list in a list, hundreds of times: deeper than is copied here, and less deep than JSON may be."""

DEEP = 100_000
"""Levels of what is nested deeply."""

CHARACTERS = ("\x00", "\ud800", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\u0301", "\n", "\r", "\u2028", "\\", '"',
              "'", "`", "<", "&", "|", ":", "/", "%00", "٣", "İ", "ß", "👩‍👩‍👧", "\x1b[31m", "\x7f")  # fmt: skip
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, -0.0, 1e308, math.inf, -math.inf, math.nan,
    "", " ", "0", "null", "true", "1.2", "1e999", "9" * 5_000, "a" * 70_000, "a,b" * 3_000, "((((" * 500, "\n" * 2_000,
    *CHARACTERS, "T1:C1OPS:1.2", "T1:C1OPS:1.2:" + "f" * 64, "T1:C1OPS:1.2:" + "f" * 64 + ":KEY-1", "U1ANN", "C1OPS",
    "<!channel>", "<@U1ANN|x>", "<https://a|b>", "../../etc/passwd", "'; DROP TABLE inbox; --", "{{7*7}}", "%s%s%n",
    "javascript:alert(1)", "2026-02-30T25:61:61Z", "-----BEGIN PRIVATE KEY-----",
    [], {}, [[]], [{}], {"": {}}, [None], [[[[[]]]]],
    {"type": "doc"}, {"id": 1}, {"id": None}, {"value": []}, ["a"] * 2_000, {str(n): n for n in range(500)},
)  # fmt: skip


def nested(levels: int) -> Any:
    """A list in a list, so many times."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything in a value."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from places(inner, (*path, at))


def mutated(value: Any, rng: random.Random, others: Any = None, most: int = 3) -> Any:
    """The value with up to so many changes; `others` is what parts may be taken from."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, most)):
        value = _changed(value, rng, others)
    return value


def _changed(value: Any, rng: random.Random, others: Any) -> Any:
    path = rng.choice(list(places(value)))
    if not path:
        return _instead(value, rng, others) if rng.random() < 0.2 else value
    holder, key = value, path[-1]
    for step in path[:-1]:
        holder = holder[step]
    match rng.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        case 1:
            holder[rng.choice([key.upper(), "", "x" * 5_000, f"{key}\x00", "__class__"])] = holder.pop(key)
        case _:
            holder[key] = _instead(holder[key], rng, others)
    return value


def _instead(old: Any, rng: random.Random, others: Any) -> Any:
    match rng.randrange(7):
        case 0 if isinstance(old, str):
            return edited(old, rng)
        case 1 if others is not None:
            part = others = rng.choice(others) if isinstance(others, list) and others else others
            for step in rng.choice(list(places(others))):
                part = part[step]
            return copy.deepcopy(part)
        case 2:
            return [copy.deepcopy(old)]
        case 3:
            return {rng.choice(["type", "id", "value", "text", ""]): copy.deepcopy(old)}
        case 4 if rng.random() < 0.1:
            return nested(rng.choice([5, 40, 120]))
        case 5 if rng.random() < 0.1:
            return NEST
    return copy.deepcopy(rng.choice(NASTY))


def edited(text: str, rng: random.Random) -> str:
    """The text with something cut out, put in, doubled or turned round."""
    at, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    match rng.randrange(5):
        case 0:
            return text[:at] + text[end:]
        case 1:
            return text[:at] + rng.choice(CHARACTERS) + text[at:]
        case 2:
            return text[:at] + text[at:end] * rng.choice([2, 50]) + text[end:]
        case 3:
            return text[:at] + str(rng.choice([n for n in NASTY if isinstance(n, str)]))[:5_000] + text[end:]
    return text[:at] + text[at:end][::-1].swapcase() + text[end:]


def as_bytes(value: Any, rng: random.Random) -> bytes:
    """The value as JSON, now and then with what only bytes can be: cut, garbled, keys twice, depths, other encodings."""
    try:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.7)
    except (ValueError, RecursionError):  # a number longer than Python writes
        text = '{"type": ' + "9" * 10_000 + "}"
    levels = rng.choice([200, 400, 700, 900, 960])
    data = text.replace(json.dumps(NEST), "[" * levels + "]" * levels).encode("utf-8", "surrogatepass")
    if rng.random() < 0.75:
        return data
    at = rng.randint(0, len(data))
    match rng.randrange(8):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 8))) + data[at + 1 :]
        case 2:
            return data.replace(b"{", b'{"type": 7, "type": "x", "id": {}, ', 1)
        case 3:
            return data[:at] + b"[" * DEEP + data[at:]
        case 4:
            return data.replace(b":", b": " + b"9" * 5_000, 1)
        case 5:
            return text.encode("utf-16", "surrogatepass")
        case 6:
            return b"\xef\xbb\xbf" + data
    return data + data


class Hang(Exception):
    """It took longer than it may."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises Hang in the main thread where what it is about takes longer, be it in a regular expression."""

    def late(_: int, __: FrameType | None) -> None:
        raise Hang(f"over {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
