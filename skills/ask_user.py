"""The gate that asks people for what the draft still needs."""

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

from agent.protocol import AskRequest, Question, Reply
from agent.state import State
from skills.gate import Gate, answered, wait_for_answer

NO_CARD = "No card is open, so there is nothing to decide: answer the question."


@tool
async def ask_user(questions: list[Question], runtime: ToolRuntime[None, State]) -> Gate:
    """Ask the people in the session, and wait for a reply."""
    answer = wait_for_answer(AskRequest(questions=questions))
    return answered(runtime, answer, say="" if isinstance(answer, Reply) else NO_CARD)
