"""The trackers there are: which one a ticket goes to, and what it says of a project."""

import time
from collections.abc import Mapping
from typing import Any

from agent.projects import Project
from agent.protocol import Setting
from agent.sealing import SealedTicket
from agent.trackers import Later, Refused, Tracker

KNOWN = 300.0
"""Seconds for which a project is what its tracker said last."""


class Catalogue:
    """The connected trackers, by name."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self.trackers = dict(trackers)
        self._projects: dict[tuple[str, str], tuple[float, Project]] = {}

    def of(self, sealed: SealedTicket) -> Tracker:
        """The tracker that a sealed ticket goes to. Raises Refused if it is not connected any more."""
        return self._named(sealed.payload["tracker"])

    def _named(self, name: str) -> Tracker:
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
        at, known = self._projects.get((tracker, project), (0.0, None))
        if known and time.monotonic() - at < KNOWN:
            return known
        try:
            described = await self._named(tracker).describe(project)
        except Later:
            if known:
                return known
            raise
        self._projects[tracker, project] = time.monotonic(), described
        return described
