"""The gate that has it looked, before a ticket is shown first, whether there is such a ticket."""

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

from agent.protocol import Found, Reply, SimilarRequest
from agent.sealing import Destination
from agent.state import State
from skills.gate import Gate, answered, wait_for_answer

NO_CARD = "No card is open, so there is nothing to decide: what is awaited are tickets that may be the same."


@tool
async def find_similar(destination: Destination, title: str, problem: str, runtime: ToolRuntime[None, State]) -> Gate:
    """Look for tickets there are that are like this one."""
    answer = wait_for_answer(SimilarRequest(destination=destination, title=title, problem=problem))
    if isinstance(answer, Found):
        return answered(runtime, answer, looked=True, similar=answer.tickets)
    return answered(runtime, answer, say="" if isinstance(answer, Reply) else NO_CARD)
