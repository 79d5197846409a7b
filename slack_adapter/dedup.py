"""Memory in front of the database: what Slack sends again is dropped without asking it.

The database decides; this only spares it the question. So it remembers what is committed and nothing else, and it is right
also when it is empty, full, or another replica's.
"""

import time
from collections.abc import Awaitable, Callable

EVENTS_TTL = 15 * 60.0
"""Seconds; Slack's last retry of an event comes about six minutes after the first try."""

BUTTONS_TTL = 5 * 60.0
"""Seconds for clicks, forms, shortcuts and commands, which Slack does not retry."""

CAPACITY = 50_000


class Memory:
    """The ids of what was committed lately, the oldest forgotten first."""

    def __init__(self, ttl: float, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl, self._capacity, self._clock = ttl, capacity, clock
        self._known: dict[str, float] = {}

    def knows(self, key: str) -> bool:
        """Whether it was committed within the time to live."""
        at = self._known.get(key)
        return at is not None and self._clock() - at < self._ttl

    def remember(self, key: str) -> None:
        """It is committed."""
        self._known.pop(key, None)
        self._known[key] = self._clock()
        while len(self._known) > self._capacity:
            del self._known[next(iter(self._known))]


async def try_process(memory: Memory, key: str, commit: Callable[[], Awaitable[bool]]) -> bool:
    """Commits it unless it is known; False for a repeat. What `commit` raises is not remembered."""
    if memory.knows(key):
        return False
    new = await commit()
    memory.remember(key)
    return new


async def try_process_button(memory: Memory, key: str, commit: Callable[[], Awaitable[bool]]) -> bool:
    """The same for a click, whose memory is apart from the events': a flood of one does not wash out the other."""
    return await try_process(memory, key, commit)
