"""jira820, a Jira Data Center 8.20 that nobody here wrote, as a process on this machine.

It keeps issues, labels, comments and remote links, takes any token, knows no issue properties, and lacks the endpoints for
what a project takes. Its project is OPS; what it makes is by `admin`, which is who we are to it.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from agent.projects import Project, ProjectField, TicketType

EPIC_LINK = "customfield_10008"
POINTS = "customfield_10004"
PRIORITIES = ["Highest", "High", "Medium", "Low", "Lowest"]
FIELDS = [
    ProjectField(id="labels", name="Labels", kind="labels"),
    ProjectField(id="priority", name="Priority", kind="option", options=PRIORITIES),
    ProjectField(id="assignee", name="Assignee", kind="user"),
    ProjectField(id=EPIC_LINK, name="Epic Link", kind="epic"),
    ProjectField(id=POINTS, name="Story Points", kind="number"),
    ProjectField(id="duedate", name="Due Date", kind="date"),
]
PROJECT = Project(
    key="OPS",
    form="server",
    types=[TicketType(id=number, name=name, fields=FIELDS) for number, name in (("1", "Bug"), ("5", "Story"), ("6", "Task"))],
)
"""What it would say of its project."""


@dataclass
class Jira820:
    """A server that runs; what it holds is in `kept`."""

    url: str
    kept: Path
    process: "subprocess.Popen[bytes]"

    def edit(self, key: str, **fields: object) -> None:
        """Changes an issue as a person would."""
        httpx.put(f"{self.url}/rest/api/2/issue/{key}", json={"fields": fields}).raise_for_status()

    def fields(self, key: str) -> dict[str, object]:
        """An issue as it is held."""
        return dict(httpx.get(f"{self.url}/rest/api/2/issue/{key}").raise_for_status().json()["fields"])

    def with_label(self, label: str) -> list[str]:
        """The keys of the issues that have a label."""
        said = httpx.get(f"{self.url}/rest/api/2/search", params={"jql": f'labels = "{label}"', "fields": "summary"})
        return [issue["key"] for issue in said.raise_for_status().json()["issues"]]


@contextmanager
def running_jira820(folder: Path) -> Iterator[Jira820]:
    """Starts it on a free port, and ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = folder / "jira820.json"
    settings = {"PORT": str(port), "PROJECT_KEY": "OPS", "PERSIST": str(kept), "DATE": "2026-11-25"}
    environ = os.environ | {f"JIRA820_{name}": value for name, value in settings.items()}
    with (folder / "jira820.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "jira820"], env=environ, stdout=log, stderr=log)
    server = Jira820(f"http://127.0.0.1:{port}", kept, process)
    try:
        _until_it_answers(server)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _until_it_answers(server: Jira820) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and server.process.poll() is None:
        try:
            httpx.get(f"{server.url}/rest/api/2/serverInfo")
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError((server.kept.parent / "jira820.log").read_text())
