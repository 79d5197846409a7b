"""Looking for tickets by the words of a text, where a tracker finds only those that have all the words it is asked for."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from agent.trackers import Ticket
from agent.words import telling

WORDS = 3
"""Words that are asked for: the longest of those that tell something, for they are the rarest."""

PAGE = 30
"""Tickets that a tracker is asked for at a time."""

MOST = 10
"""Tickets that are given."""


async def looked_for(text: str, ask: Callable[[Sequence[str]], Awaitable[list[Ticket]]]) -> list[Ticket]:
    """At most ten tickets that have any of the text's three longest telling words, those with most of them first.

    `ask` gives the tickets that have all of some words, which consist of letters and digits alone; it is called at most four
    times, all at once. Raises what it raises.
    """
    words = sorted(telling(text), key=len, reverse=True)[:WORDS]
    asked = [words, *([word] for word in words)] if len(words) > 1 else [[word] for word in words]
    found, number = dict[str, Ticket](), Counter[str]()
    for some, tickets in zip(asked, await asyncio.gather(*map(ask, asked)), strict=True):
        for ticket in tickets:
            found[ticket.key] = ticket
            number[ticket.key] += len(some)
    return [found[key] for key, _ in number.most_common(MOST)]
