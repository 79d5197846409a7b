"""`langgraph dev` serves the graph, and the answers of its user interfaces work in the spelling of each."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LangGraphClient]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("studio") / "log"
    command = [Path(sys.executable).parent / "langgraph", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    environment = {**os.environ, "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True)
    client = get_client(url=f"http://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(90):
            while True:
                try:
                    await client.assistants.search()
                    break
                except Exception:
                    assert server.poll() is None, log.read_text()
                    await asyncio.sleep(0.3)
        yield client
    finally:
        await client.aclose()
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


class Thread:
    """One thread in Studio."""

    def __init__(self, client: LangGraphClient, thread_id: str) -> None:
        self._client, self._id = client, thread_id

    async def say(self, text: str) -> dict[str, Any] | None:
        """A message into a thread that waits for nothing."""
        return await self._run(input={"messages": [{"type": "human", "content": text}]})

    async def answer(self, answer: Any) -> dict[str, Any] | None:
        """An answer to what the thread waits for."""
        return await self._run(command={"resume": answer})

    async def values(self) -> dict[str, Any]:
        """The state."""
        return (await self._client.threads.get_state(self._id))["values"]  # type: ignore[return-value]

    async def said(self) -> list[str]:
        """What the agent said."""
        return [one["content"] for one in (await self.values())["messages"] if one["type"] == "ai" and one["content"]]

    async def _run(self, **what: Any) -> dict[str, Any] | None:
        """What the thread waits for now: a request in the form that interfaces display."""
        await self._client.runs.wait(self._id, "signoff", **what)
        tasks = (await self._client.threads.get_state(self._id))["tasks"]
        waiting = [interrupt["value"] for task in tasks for interrupt in task["interrupts"]]
        if not waiting:
            return None
        [request] = waiting
        [action] = request["action_requests"]
        assert request["review_configs"][0]["action_name"] == action["name"]
        return action  # type: ignore[no-any-return]


def name_of(action: dict[str, Any] | None) -> str:
    return action["name"] if action else "end"


INTERFACES = {
    "studio": {
        "approve": {"decisions": [{"type": "approve"}]},
        "reject": {"decisions": [{"type": "reject", "message": "no"}]},
        "respond": lambda text: {"decisions": [{"type": "respond", "message": text}]},
        "edit": lambda args: {"decisions": [{"type": "edit", "edited_action": {"name": "preview_ticket", "args": args}}]},
    },
    "agent inbox": {
        "approve": [{"type": "accept", "args": None}],
        "reject": [{"type": "ignore", "args": None}],
        "respond": lambda text: [{"type": "response", "args": text}],
        "edit": lambda args: [{"type": "edit", "args": {"action": "preview_ticket", "args": args}}],
    },
    "by hand": {
        "approve": {"type": "approve"},
        "reject": {"type": "reject"},
        "respond": lambda text: text,
        "edit": lambda args: {"type": "edit", "args": args},
    },
}


@pytest.mark.parametrize("interface", INTERFACES)
async def test_a_ticket_in_studio(studio: LangGraphClient, interface: str) -> None:
    spelled: dict[str, Any] = INTERFACES[interface]
    thread = Thread(studio, (await studio.threads.create())["thread_id"])
    assert name_of(await thread.say("Export fails for EU accounts")) == "ask_user"
    first = await thread.answer(spelled["respond"]("it works"))
    assert first
    assert first["name"] == "preview_ticket"
    edited = {**first["args"], "sealed": {**first["args"]["sealed"], "title": "Edited"}}
    second = await thread.answer(spelled["edit"](edited))
    assert second
    assert second["args"]["sealed"]["title"] == "Edited"
    assert second["args"]["draft_hash"] != first["args"]["draft_hash"]
    unreadable = await thread.answer({"type": "nonsense"})
    assert unreadable
    assert unreadable["args"] == second["args"]
    assert "could not be read" in (await thread.said())[-1]
    stale = await thread.answer({"type": "approve", "draft_hash": first["args"]["draft_hash"]})
    assert name_of(stale) == "preview_ticket"
    assert "Nothing was decided" in (await thread.said())[-1]
    assert name_of(await thread.answer(spelled["reject"])) == "ask_user"
    third = await thread.answer(spelled["respond"]("Title: Third"))
    assert third
    assert third["args"]["diff"] == [{"field": "title", "removed": ["Edited"], "added": ["Third"]}]
    filing = await thread.answer(spelled["approve"])
    assert filing
    assert filing["name"] == "file_ticket"
    assert filing["args"]["draft_hash"] == third["args"]["draft_hash"]
    assert name_of(await thread.answer(spelled["respond"]('{"status": "filed", "key": "OPS-1"}'))) == "end"
    assert (await thread.values())["outcome"]["key"] == "OPS-1"
    assert name_of(await thread.say("new: Login is slow")) == "ask_user"
    assert (await thread.values())["draft"]["title"] == "Login is slow"
