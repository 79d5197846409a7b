"""The gate that hands an approved ticket over to be filed, and waits for what became of it.

What failed or is unknown waits on, for a person to settle it. Fields that the tracker does not take as they are lead back to
the draft, and so does a failure that a person leaves: the approval is withdrawn with it.
"""

from typing import Any

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime

from agent.draft import CUSTOM, FIELDS
from agent.orders import order_in
from agent.protocol import FileRequest, FilingOutcome, Reply, Settlement
from agent.rules import Settling, settle
from agent.state import Refusal, State
from skills.gate import Gate, answered, wait_for_answer

APPROVED = "The ticket is approved already; what is awaited is the outcome of its filing."
UNSETTLED = "The ticket is approved, and somebody has to settle its filing: file it again, leave it, or name it if it is there."


@tool
async def file_ticket(preview_id: str, draft_hash: str, approved_by: str, runtime: ToolRuntime[None, State]) -> Gate:
    """Wait for the outcome of the filing. What people say meanwhile is kept for the next ticket."""
    answer = wait_for_answer(FileRequest(preview_id=preview_id, draft_hash=draft_hash, approved_by=approved_by))
    state = runtime.state
    if isinstance(answer, FilingOutcome) and answer.draft_hash in (None, draft_hash):
        errors = {name: said for name, said in answer.errors.items() if name in FIELDS or name.startswith(CUSTOM)}
        if answer.status == "failed" and errors:
            refused = [Refusal(field=name, digest=state.draft.digest(name), said=said) for name, said in errors.items()]
            asked = {name: times for name, times in state.asked.items() if name not in errors}
            skipped = [name for name in state.draft.skipped if name not in errors]
            draft = state.draft.model_copy(update={"skipped": skipped})
            again: dict[str, Any] = {"refused": refused, "asked": asked, "draft": draft}
            return answered(runtime, answer, approval=None, outcome=None, **again)
        return answered(runtime, answer, outcome=answer)
    if isinstance(answer, Settlement) and answer.draft_hash in (None, draft_hash):
        match answer.becomes or _becomes(answer, state):
            case "intended":
                return answered(runtime, answer, outcome=None)
            case "withdrawn":
                return answered(runtime, answer, approval=None, outcome=None, rejected_hash=draft_hash)
            case "left":
                return answered(runtime, answer, outcome=FilingOutcome(status="left", draft_hash=draft_hash))
            case "filed":
                return answered(runtime, answer, outcome=FilingOutcome(status="filed", draft_hash=draft_hash, key=answer.key))
    if isinstance(answer, Reply) and not order_in(answer):
        return answered(runtime, answer, parked=[*state.parked, answer])
    waits = UNSETTLED if state.outcome else APPROVED
    if isinstance(answer, Reply):
        return answered(runtime, answer, say=waits, parked=state.parked)
    return answered(runtime, answer, say=waits)


def _becomes(said: Settlement, state: State) -> str:
    """What becomes of the filing where no shell has judged: by what was last heard of it. A key is believed there."""
    filing = state.outcome.status if state.outcome else "sent"
    return settle(Settling(act=said.act, allowed=True, filing=filing, proven=bool(said.key))).then
