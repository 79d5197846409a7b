"""The trackers there are: which one a ticket goes to, and what it says of a project."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from agent.projects import Project
from agent.protocol import Setting
from agent.sealing import SealedTicket
from agent.trackers import Later, Refused, Tracker

KNOWN = 300.0
"""Seconds for which a project is what its tracker said last."""

FAILED = 5.0
"""Seconds for which a tracker that did not answer is not asked again."""

PATIENCE = 15.0
"""Seconds that it has to answer."""


class Catalogue:
    """The connected trackers, by name."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self.trackers = dict(trackers)
        self._projects: dict[tuple[str, str], tuple[float, Project]] = {}
        self._failed: dict[tuple[str, str], tuple[float, Later]] = {}
        self._asking: dict[tuple[str, str], asyncio.Lock] = {}

    def of(self, sealed: SealedTicket) -> Tracker:
        """The tracker that a sealed ticket goes to. Raises Refused if it is not connected any more."""
        return self.named(sealed.payload["tracker"])

    def named(self, name: str) -> Tracker:
        """The tracker of this name. Raises Refused if it is not connected."""
        if tracker := self.trackers.get(name):
            return tracker
        raise Refused(f"The tracker {name} is not connected: an operator has to set it up, see docs/trackers.md.")

    async def setting(self, setting: Setting, state: Mapping[str, Any]) -> Setting:
        """The setting with what its tracker says of the project, as far as a session in this state does not know it."""
        destination, update = setting.destination, dict[str, Any]()
        try:
            project = await self.describe(destination.tracker, destination.project)
        except (Refused, Later) as error:
            return setting.model_copy(update={"problem": str(error).rstrip(".")})
        known = state.get("project") if state.get("destination", {}) == destination.model_dump(exclude_defaults=True) else None
        plain = project == Project(key=destination.project)
        if not plain and project.model_dump(mode="json", exclude_defaults=True) != known:
            update["project"] = project
        return setting.model_copy(update=update)

    async def describe(self, tracker: str, project: str) -> Project:
        """What a tracker says of a project, or said last if it does not answer. Raises Refused or Later."""
        this = tracker, project
        async with self._asking.setdefault(this, asyncio.Lock()):
            at, known = self._projects.get(this, (0.0, None))
            if known and time.monotonic() - at < KNOWN:
                return known
            failed_at, failure = self._failed.get(this, (0.0, None))
            try:
                if failure and time.monotonic() - failed_at < FAILED:
                    raise failure
                described = await self._ask(tracker, project)
            except Later as error:
                if error is not failure:
                    self._failed[this] = time.monotonic(), error
                if known:
                    return known
                raise
            self._projects[this] = time.monotonic(), described
            self._failed.pop(this, None)
            return described

    async def _ask(self, tracker: str, project: str) -> Project:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.named(tracker).describe(project)
        except TimeoutError:
            raise Later(f"{tracker} does not answer within {PATIENCE:.0f} s.") from None
