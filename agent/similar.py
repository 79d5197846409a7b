"""Tickets that may be the same: looked for in the tracker and among what was filed from here, before a ticket is shown."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from agent.catalogue import Catalogue
from agent.faults import point
from agent.protocol import Found, Likeness, SimilarRequest
from agent.sealing import Destination
from agent.trackers import Later, Refused, Ticket
from agent.words import ALIKE, CLOSE, Alike, likeness, telling, words

PATIENCE = 4.0
"""Seconds for all places together."""

BEST = 3
"""Tickets that are shown."""

CANDIDATES = 10
"""Tickets of each place that are compared."""

ENOUGH = 3
"""Telling words of a title that a tracker is asked for alone; a shorter one is helped out by the problem's longest words."""

NAMED = 3
"""Words that are named as those which two tickets share."""

REASON = 160
"""Characters of the reason why a place could not be looked in."""

log = logging.getLogger(__name__)


class Ours(Protocol):
    """The tickets that were filed from here."""

    async def like(self, request: SimilarRequest, limit: int) -> list[tuple[Likeness, float]]:
        """Those in the same project that are like it, each with how alike it is, from 0 to 1; `why` says when it was filed."""
        ...


class Similar:
    """Looks for similar tickets, and links one where it is the one."""

    def __init__(self, catalogue: Catalogue, ours: Ours) -> None:
        self._catalogue, self._ours = catalogue, ours

    async def find(self, request: SimilarRequest) -> Found:
        """The best three within four seconds. It does not fail: `problem` says where it could not be looked."""
        if not telling(f"{request.title}\n{request.problem}"):
            return Found()
        asking: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._ours.like(request, CANDIDATES)),
            asyncio.create_task(self._search(request)),
        ]
        try:
            await asyncio.wait(asking, timeout=PATIENCE)
        finally:
            for task in asking:
                task.add_done_callback(_heard)
                task.cancel()
        (ours, of_ours), (theirs, of_theirs) = (_result(task) for task in asking)
        places = [f"what was filed from here ({of_ours})"] if of_ours else []
        places += [f"{request.destination.tracker} ({of_theirs})"] if of_theirs else []
        problem = f"Similar tickets could not be looked for in {' and '.join(places)}." if places else ""
        return Found(tickets=best(request, ours, theirs), problem=problem)

    async def link(self, ticket: Likeness, destination: Destination, comment_id: str, author: str, text: str) -> Ticket:
        """Adds a comment to a ticket there is, which ties it to a conversation; the same id twice is one comment.

        Raises Refused or Later, as the tracker does.
        """
        point("same-linking")
        await self._catalogue.named(destination.tracker).comment(comment_id, ticket.key, author, text)
        point("same-linked")
        return Ticket(key=ticket.key, url=ticket.url, title=ticket.title)

    async def _search(self, request: SimilarRequest) -> list[Ticket]:
        asked = telling(request.title)
        if len(asked) < ENOUGH:
            asked += sorted(set(telling(request.problem)) - set(asked), key=len, reverse=True)[: ENOUGH - len(asked)]
        text = " ".join(asked)
        point("similar-asking")
        found = await self._catalogue.named(request.destination.tracker).search(request.destination.project, text)
        point("similar-answered")
        return found


def best(request: SimilarRequest, ours: Sequence[tuple[Likeness, float]], theirs: Sequence[Ticket]) -> list[Likeness]:
    """Of our own filings and of the tracker's tickets those that are most like the request, each once, with why."""
    filed = {ticket.key.casefold(): (ticket, score) for ticket, score in ours}
    there = {ticket.key.casefold(): ticket for ticket in theirs}
    candidates: list[tuple[float, bool, Likeness]] = []
    for key in [*filed, *(key for key in there if key not in filed)]:
        known, score = filed.get(key, (Likeness(key=""), 0.0))
        now = there.get(key) or Ticket(key=known.key, url=known.url)
        title = now.title or known.title  # the tracker's is newer
        alike = likeness(request.title, request.problem, title)
        same = words(title) == words(request.title)
        why = ", ".join(filter(None, (known.why, "the same title" if same else _why(alike))))
        ticket = Likeness(key=now.key, url=now.url or known.url, title=title, why=why)
        candidates.append((max(score, alike.score), same, ticket))
    candidates.sort(key=lambda one: one[:2], reverse=True)
    return [ticket for score, _, ticket in candidates if score >= ALIKE][:BEST]


def _why(alike: Alike) -> str:
    if alike.title >= CLOSE:
        return "nearly the same title"
    named = alike.shared[:NAMED]
    if alike.score < ALIKE or not named:
        return "it says much the same"
    return f"the same word{'s' if len(named) > 1 else ''}: {', '.join(named)}"


def _result(task: asyncio.Task[list[Any]]) -> tuple[list[Any], str]:
    """What was found, and why nothing could be."""
    if not task.done() or task.cancelled():
        return [], f"no answer within {PATIENCE:.0f} s"
    match task.exception():
        case None:
            return task.result(), ""
        case Refused() | Later() as error:
            return [], str(error)[:REASON].rstrip(". ")
        case error:
            log.error("similar tickets could not be looked for", exc_info=error)
            return [], "it does not answer as it should"


def _heard(task: asyncio.Task[Any]) -> None:
    """Takes note of how it ended, so that nobody is told that nobody did."""
    if not task.cancelled():
        task.exception()
