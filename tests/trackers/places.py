"""Every tracker as the sweeps have it: a server that runs, what the environment says of it, and the tickets in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.trackers.jira820_server import running_jira820
from tests.trackers_sim.github import running_github
from tests.trackers_sim.gitlab import running_gitlab
from tests.trackers_sim.jira_cloud import running_jira
from tests.trackers_sim.linear import running_linear

Tickets = Callable[[], Awaitable[int]]


@dataclass(frozen=True)
class Place:
    """A tracker that runs."""

    tracker: str
    project: str
    url: str
    variable: str
    """The variable that says where it is; a proxy is put in its place."""
    environ: dict[str, str]
    path: str
    """What the path of the one POST matches, and its body."""
    within: str
    tickets: Tickets
    """How many there are."""
    lag: Callable[[float], None]
    """Lets what is made from now on be found only after so many seconds; 0: at once, with all that was hidden."""

    def behind(self, proxy: str) -> dict[str, str]:
        """The environment with a proxy before it."""
        address = proxy + self.environ[self.variable].removeprefix(self.url)
        return {**self.environ, self.variable: address, "SIGNOFF_DESTINATION": f"{self.tracker}:{self.project}"}


def counted(sim: Any, lag: str) -> tuple[Tickets, Callable[[float], None]]:
    """How many tickets a simulator has, and what sets its lag."""

    async def tickets() -> int:
        return len(sim.issues)

    return tickets, partial(setattr, sim, lag)


@asynccontextmanager
async def jira_cloud(_: Path) -> AsyncIterator[Place]:
    async with running_jira() as sim:
        sim.add_project("OPS")
        environ = {"JIRA_URL": sim.url, "JIRA_EMAIL": sim.email, "JIRA_TOKEN": sim.token}
        yield Place("jira", "OPS", sim.url, "JIRA_URL", environ, r"/issue$", "", *counted(sim, "index_lag"))


@asynccontextmanager
async def jira_data_center(folder: Path) -> AsyncIterator[Place]:
    with running_jira820(folder) as server:
        environ = {"JIRA_URL": server.url, "JIRA_TOKEN": "pat"}
        before = 0

        async def tickets() -> int:
            query = {"jql": "project = OPS", "fields": "summary", "maxResults": "0"}
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{server.url}/rest/api/2/search", params=query)
            return int(answer.json()["total"]) - before

        def lag(seconds: float) -> None:
            """Its search knows everything at once."""

        before = await tickets()
        yield Place("jira", "OPS", server.url, "JIRA_URL", environ, r"/issue$", "", tickets, lag)


@asynccontextmanager
async def github(_: Path) -> AsyncIterator[Place]:
    async with running_github() as sim:
        sim.add_repository("acme/web")
        environ = {"GITHUB_TOKEN": sim.token, "GITHUB_API_URL": sim.url}
        yield Place("github", "acme/web", sim.url, "GITHUB_API_URL", environ, r"/issues$", "", *counted(sim, "list_lag"))


@asynccontextmanager
async def linear(_: Path) -> AsyncIterator[Place]:
    async with running_linear() as sim:
        sim.add_team("ENG")
        environ = {"LINEAR_API_KEY": sim.key, "LINEAR_API_URL": f"{sim.url}/graphql"}
        yield Place("linear", "ENG", sim.url, "LINEAR_API_URL", environ, "", "issueCreate", *counted(sim, "list_lag"))


@asynccontextmanager
async def gitlab(_: Path) -> AsyncIterator[Place]:
    async with running_gitlab() as sim:
        sim.add_project("acme/web")
        environ = {"GITLAB_TOKEN": sim.token, "GITLAB_URL": sim.url}
        yield Place("gitlab", "acme/web", sim.url, "GITLAB_URL", environ, r"/issues$", "", *counted(sim, "list_lag"))


PLACES = {
    "Jira Cloud": jira_cloud,
    "Jira Data Center": jira_data_center,
    "GitHub": github,
    "Linear": linear,
    "GitLab": gitlab,
}


async def soon(condition: Callable[[], Awaitable[bool]], seconds: float = 60, what: str = "it did not come") -> None:
    """Waits until something is so."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
