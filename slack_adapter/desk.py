"""What the listeners work with, in one place: the store, the sessions, the settings, the workspaces and the memories."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.catalogue import Catalogue
from agent.ports import Event
from agent.surfaces import Outbox, Sessions
from slack_adapter.dedup import BUTTONS_TTL, EVENTS_TTL, Memory
from slack_adapter.inbound import thread_of
from slack_adapter.settings import Settings
from slack_adapter.workspaces import Workspaces


@dataclass(frozen=True)
class Desk:
    """Everything behind the listeners."""

    workspaces: Workspaces
    accept: Callable[[Event], Awaitable[bool]]
    outbox: Outbox
    sessions: Sessions
    settings: Settings
    catalogue: Catalogue
    events: Memory = field(default_factory=lambda: Memory(EVENTS_TTL))
    buttons: Memory = field(default_factory=lambda: Memory(BUTTONS_TTL))

    async def places(self, session_id: str) -> set[str]:
        """The channels where a session is to be seen: its own, and those of its cards."""
        cards = await self.outbox.cards(session_id)
        return {thread_of(session_id)[0], *(card.posted.channel for card in cards if card.posted)}
