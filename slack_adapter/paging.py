"""Lists of Slack's that come in pages, read to their end."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.ports import NotYet
from slack_adapter.workspaces import pause_of

BEGUN = 1_000
"""Lists that are remembered as begun, the newest."""


class Paging:
    """Where Slack wants a pause between two pages, the next try goes on with the page after it."""

    def __init__(self) -> None:
        self._begun: dict[Hashable, tuple[list[Any], str | None]] = {}

    async def read(self, key: Hashable, ask: Callable[[str | None], Awaitable[Any]], items: str) -> list[Any]:
        """All items of the list that `key` names; `ask` gets the page at a cursor. Raises NotYet, and what `ask` raises."""
        found, cursor = self._begun.pop(key, ([], None))
        while True:
            try:
                page = await ask(cursor)
            except (NotYet, SlackApiError) as error:
                pause = error.seconds if isinstance(error, NotYet) else pause_of(error)
                if pause is None:
                    raise
                self._begun[key] = found, cursor
                while len(self._begun) > BEGUN:
                    del self._begun[next(iter(self._begun))]
                raise NotYet(pause) from None
            found = [*found, *page[items]]
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return found
