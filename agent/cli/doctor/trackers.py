"""The checks of the trackers: each that is connected, and the project that tickets go to where nothing else is settled."""

import asyncio
import os

from agent.cli import Usage, wiring
from agent.cli.doctor.check import TIMEOUT, Check, parts
from agent.sealing import Destination
from agent.trackers import Later, Refused, Tracker
from skills.trackers import connected

TODO = "see docs/trackers.md"


async def tracker_checks() -> list[Check]:
    """One for each connected tracker but the local one, which the database's checks are about."""
    try:
        trackers = connected(os.environ)
    except ValueError as error:
        return [Check("trackers", "wrong", *parts(str(error)))]
    try:
        destination = wiring.destination([*trackers, "local"])
    except Usage as error:
        return [Check("trackers", "wrong", *parts(str(error)))]
    if not trackers:
        return [Check("trackers", "skipped", "none is connected beside the local one")]
    return [await _check(tracker, destination) for tracker in trackers.values()]


async def _check(tracker: Tracker, destination: Destination) -> Check:
    if destination.tracker != tracker.name:
        return Check(tracker.name, "skipped", "connected; SIGNOFF_DESTINATION names no project of it, so none was looked at")
    try:
        async with asyncio.timeout(TIMEOUT):
            project = await tracker.describe(destination.project)
    except Refused as error:
        return Check(tracker.name, "wrong", str(error).rstrip("."), TODO)
    except (Later, TimeoutError) as error:
        return Check(tracker.name, "wrong", str(error).rstrip(".") or f"it does not answer within {TIMEOUT} s", TODO)
    kinds = ", ".join(kind.name for kind in project.types) or "any ticket"
    return Check(tracker.name, "ok", f"{project.key}: {kinds}")
