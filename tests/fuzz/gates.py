"""Answers to gates as Studio gives them, past the shell: any JSON at all resumes the graph, and files nothing unseen."""

import random
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from agent.graph import build
from agent.reading import interview
from agent.sealing import Destination
from skills.trackers.local import LocalRenderer
from tests.fuzz.parsers import answer

MESSAGE = "Title: Export fails\nProblem: It answers `500`.\nAcceptance criteria: it finishes"


async def one(rng: random.Random) -> list[str]:
    """A conversation that is answered a few times; gives the gates that it came to."""
    graph = build(interview(), {"local": LocalRenderer()}, Destination(), InMemorySaver(), looks=rng.random() < 0.5)
    given: Any = {"messages": [HumanMessage(rng.choice([MESSAGE, "Title: Export fails"]))]}
    shown, gates = set[str](), list[str]()
    for _ in range(6):
        result: Any = await graph.ainvoke(given, {"configurable": {"thread_id": "t"}}, version="v2")
        if not result.interrupts:
            break
        [request] = result.interrupts[0].value["action_requests"]
        gates.append(request["name"])
        if gates[-1] == "preview_ticket":
            shown.add(request["args"]["draft_hash"])
        if gates[-1] == "file_ticket":
            assert request["args"]["draft_hash"] in shown, "it was never shown"
        given = Command(resume={result.interrupts[0].id: _storable(rng)})
    return gates


def _storable(rng: random.Random) -> Any:
    """An answer that LangGraph takes: it keeps it before a gate reads it, and refuses numbers of more than 64 bits."""
    while True:
        given = answer(rng)[1]
        try:
            JsonPlusSerializer().dumps_typed(given)
        except TypeError:
            continue
        return given
