"""Issue trackers of our own on loopback, over real HTTP, and a proxy that breaks what goes to them.

`async with running_github() as github:` starts one; the client under test gets `github.url` as its base URL.
`async with fault_proxy(github.url) as proxy:` puts faults in between; the client then gets `proxy.url`.
"""

from tests.trackers_sim.github import GitHub, running_github
from tests.trackers_sim.gitlab import GitLab, running_gitlab
from tests.trackers_sim.jira_cloud import Jira, running_jira
from tests.trackers_sim.linear import Linear, running_linear
from tests.trackers_sim.proxy import FaultProxy, fault_proxy

__all__ = [
    "FaultProxy",
    "GitHub",
    "GitLab",
    "Jira",
    "Linear",
    "fault_proxy",
    "running_github",
    "running_gitlab",
    "running_jira",
    "running_linear",
]
