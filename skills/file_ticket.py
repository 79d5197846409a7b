"""The gate that hands an approved ticket over to be filed, and waits for what became of it.

What failed or is unknown waits on, for a person to settle it. Fields that the tracker does not take as they are lead back to
the draft, and so does a failure that a person leaves: the approval is withdrawn with it.
"""

from typing import Any

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

from agent.listening import order_in
from agent.protocol import FileRequest, FilingOutcome, Reply, Settlement
from agent.state import Refusal, State
from skills.gate import Gate, answered, wait_for_answer

APPROVED = "The ticket is approved already; what is awaited is the outcome of its filing."


@tool
async def file_ticket(preview_id: str, draft_hash: str, approved_by: str, runtime: ToolRuntime[None, State]) -> Gate:
    """Wait for the outcome of the filing. What people say meanwhile is kept for the next ticket."""
    answer = wait_for_answer(FileRequest(preview_id=preview_id, draft_hash=draft_hash, approved_by=approved_by))
    state = runtime.state
    if isinstance(answer, FilingOutcome) and answer.draft_hash in (None, draft_hash):
        if answer.status == "failed" and answer.errors:
            refused = [Refusal(field=name, digest=state.draft.digest(name), said=said) for name, said in answer.errors.items()]
            asked = {name: times for name, times in state.asked.items() if name not in answer.errors}
            skipped = [name for name in state.draft.skipped if name not in answer.errors]
            draft = state.draft.model_copy(update={"skipped": skipped})
            again: dict[str, Any] = {"refused": refused, "asked": asked, "draft": draft}
            return answered(runtime, answer, approval=None, outcome=None, **again)
        return answered(runtime, answer, outcome=answer)
    if isinstance(answer, Settlement) and answer.draft_hash in (None, draft_hash) and state.outcome:
        if answer.act == "again":
            return answered(runtime, answer, outcome=None)
        if answer.act == "leave" and state.outcome.status == "failed":
            return answered(runtime, answer, approval=None, outcome=None, rejected_hash=draft_hash)
        if answer.act == "leave":
            return answered(runtime, answer, outcome=FilingOutcome(status="left", draft_hash=draft_hash))
        if answer.key:  # our shell has read the ticket, and resumes with its outcome
            return answered(runtime, answer, outcome=FilingOutcome(status="filed", draft_hash=draft_hash, key=answer.key))
    if isinstance(answer, Reply) and not order_in(answer):
        return answered(runtime, answer, parked=[*state.parked, answer])
    if isinstance(answer, Reply):
        return answered(runtime, answer, say=APPROVED, parked=state.parked)
    return answered(runtime, answer, say=APPROVED)
