"""AgentBarrier's sentinel as a tracker: a GitHub whose issues come to be as its probe lets them.

An action is a ticket: what it does is the title, and each of its arguments is a label. So what the probe is told to commit is
read from the request that arrived, and what is on record is read from the sealed bytes.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from agentbarrier.errors import AmbiguousEffectError
from agentbarrier.models import ActionRequest, JsonValue
from agentbarrier.probe import EffectProbe
from aiohttp import web

from agent.operations import Operation
from tests.trackers_sim.base import running
from tests.trackers_sim.github import GitHub, Issue

REPOSITORY = "acme/web"


def edits_of(action: ActionRequest) -> list[Operation]:
    """The action as a person fills it in."""
    fields = {
        "title": [f"{action.tool_name} {action.action_id}"],
        "problem": ["An agent wants to do this."],
        "acceptance_criteria": ["It is done once."],
        "labels": labels_of(action.arguments),
    }
    return [Operation(field=field, value=value) for field, value in fields.items()]


def labels_of(arguments: Mapping[str, JsonValue]) -> list[str]:
    return [f"{name}: {json.dumps(value)}" for name, value in arguments.items()]


def action_of(request: Mapping[str, Any]) -> ActionRequest:
    """The action that a request to make an issue stands for."""
    tool, _, action_id = request["title"].partition(" ")
    pairs = [label.partition(": ") for label in request["labels"]]
    return ActionRequest(action_id, tool, {name: json.loads(value) for name, _, value in pairs})


class Sentinel(GitHub):
    """The tracker. What its client hangs up on before it came to be, it drops."""

    def __init__(self) -> None:
        super().__init__()
        self.repository = self.add_repository(REPOSITORY)
        self.watched: dict[str, tuple[EffectProbe, ActionRequest]] = {}
        """The probes of the actions that are under way, by action."""
        self.acting = 0
        """How many issues are being made now."""

    def application(self) -> web.Application:
        served = super().application()
        served.middlewares.insert(0, self._probed)
        return served

    def actions_marked(self, marker: str) -> list[ActionRequest]:
        """What the issues are that carry a marker."""
        return [action_of({"title": one.title, "labels": one.labels}) for one in self._marked(marker)]

    def _marked(self, marker: str) -> list[Issue]:
        return [issue for issue in self.issues if marker in (issue.body or "")]

    @web.middleware
    async def _probed(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path != f"/repos/{REPOSITORY}/issues":
            return await handler(request)
        if request.method == "GET":
            for probe, action in list(self.watched.values()):
                await probe.reconcile(action)  # takes the time that the check wants it to take
                self._mirror(probe, action)
            return await handler(request)
        action = action_of(await request.json())
        self.acting += 1
        try:
            await self.watched[action.action_id][0](action)
        except AmbiguousEffectError as lost:
            if lost.commit_observed:
                await handler(request)
            assert request.transport
            request.transport.abort()
            return web.Response()
        finally:
            self.acting -= 1
        return await handler(request)

    def _mirror(self, probe: EffectProbe, action: ActionRequest) -> None:
        """Makes an issue of what a check put into the journal by itself: the same action with other arguments."""
        for event in probe.journal.committed(run_id=probe.run_id):
            if event.action_id != action.action_id or event.detail is None:
                continue
            made = [one for one in self.issues if one.title.endswith(f" {action.action_id}")]
            labels = labels_of(event.arguments)
            if labels not in [one.labels for one in made]:
                self._make(self.repository, made[0].title, made[0].body, labels, [], self.tokens[self.token])


@asynccontextmanager
async def running_sentinel() -> AsyncIterator[Sentinel]:
    async with running(Sentinel(), handler_cancellation=True) as sentinel:
        yield sentinel
