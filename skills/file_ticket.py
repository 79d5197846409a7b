"""The gate that hands an approved ticket over to be filed, and waits for what became of it."""

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

from agent.listening import order_in
from agent.protocol import FileRequest, FilingOutcome, Reply
from agent.state import State
from skills.gate import Gate, answered, wait_for_answer

APPROVED = "The ticket is approved already; what is awaited is the outcome of its filing."


@tool
async def file_ticket(preview_id: str, draft_hash: str, approved_by: str, runtime: ToolRuntime[None, State]) -> Gate:
    """Wait for the outcome of the filing. What people say meanwhile is kept for the next ticket."""
    answer = wait_for_answer(FileRequest(preview_id=preview_id, draft_hash=draft_hash, approved_by=approved_by))
    if isinstance(answer, FilingOutcome) and answer.draft_hash in (None, draft_hash):
        return answered(runtime, answer, outcome=answer)
    if isinstance(answer, Reply) and not order_in(answer):
        return answered(runtime, answer, parked=[*runtime.state.parked, answer])
    if isinstance(answer, Reply):
        return answered(runtime, answer, say=APPROVED, parked=runtime.state.parked)
    return answered(runtime, answer, say=APPROVED)
