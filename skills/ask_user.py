"""The gate that asks people for what the draft still needs."""

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

from agent.protocol import AskRequest, Question
from agent.state import State
from skills.gate import Gate, answered, wait_for_answer


@tool
async def ask_user(questions: list[Question], runtime: ToolRuntime[None, State]) -> Gate:
    """Ask the people in the session, and wait for a reply."""
    return answered(runtime, wait_for_answer(AskRequest(questions=questions)))
