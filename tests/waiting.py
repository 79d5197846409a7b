"""Waiting in a test for something to be so."""

import asyncio
import time
from collections.abc import Callable


class Waits:
    """What a simulator gives its tests, so that they need not poll by themselves."""

    async def until(self, condition: Callable[[], object], seconds: float = 10, what: str = "it did not come") -> None:
        """Wait until that is so."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(what)
            await asyncio.sleep(0.01)
