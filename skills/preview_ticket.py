"""The gate that shows the exact ticket and waits for a decision on exactly that."""

from typing import Any, Literal

from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime
from pydantic import BaseModel

from agent.draft import Conflict, TicketDraft, Unsaid
from agent.projects import Project
from agent.protocol import Decision, PreviewRequest, Reply, matches_card
from agent.rules import Click, judge
from agent.sealing import Destination, FieldChange, seal
from agent.state import Approval, State
from agent.trackers import Renderer
from skills.gate import Gate, answered, wait_for_answer

NOT_THIS_CARD = "Nothing was decided: that answer was not about the card that is open now."


class PreviewResult(BaseModel):
    """What a preview came to: a judgement, or a reply that goes on to change the draft."""

    status: Literal["approved", "rejected", "stale", "already", "refused", "reply", "unreadable"]
    draft_hash: str
    by: str = ""
    detail: str = ""


def compute_draft_hash(draft: TicketDraft, destination: Destination, tracker: Renderer, project: Project) -> str:
    """The hash that a preview of this draft shows: SHA-256 of the sealed payload, 64 hexadecimal digits."""
    return seal(destination, tracker.render(draft, project)).draft_hash


@tool
async def preview_ticket(
    preview_id: str,
    draft_hash: str,
    version: int,
    sealed: dict[str, Any],
    diff: list[FieldChange],
    unanswered: list[str],
    runtime: ToolRuntime[None, State],
    not_said: list[str] | None = None,
    unsaid: list[Unsaid] | None = None,
    conflicts: list[Conflict] | None = None,
    unread: int = 0,
) -> Gate:
    """Show the sealed ticket, and wait until somebody approves or rejects it, or says what to change."""
    request = PreviewRequest(
        preview_id=preview_id,
        draft_hash=draft_hash,
        version=version,
        sealed=sealed,
        diff=diff,
        unanswered=unanswered,
        not_said=not_said or [],
        unsaid=unsaid or [],
        conflicts=conflicts or [],
        unread=unread,
    )
    answer = wait_for_answer(request)
    match answer:
        case Reply():
            result = PreviewResult(status="reply", draft_hash=draft_hash, by=answer.by)
        case Decision():
            card: Literal["open", "superseded"] = "open" if matches_card(answer, request) else "superseded"
            offered = {one.key: one for one in runtime.state.similar}
            linked = not answer.same_as or answer.same_as in offered
            row = judge(Click(act=answer.type, allowed=True, card=card, linked=linked, late=answer.late))
            result = PreviewResult(status=row.then, draft_hash=draft_hash, by=answer.by, detail=answer.reason)  # type: ignore[arg-type]
            if "open" in row.effects:
                return answered(runtime, answer, result, card_open=False)
        case _:
            result = PreviewResult(status="unreadable", draft_hash=draft_hash, detail=getattr(answer, "problem", ""))
    if result.status == "approved":
        approval = Approval(preview_id=preview_id, draft_hash=draft_hash, by=result.by)
        return answered(runtime, answer, result, approval=approval)
    if result.status == "rejected" and isinstance(answer, Decision) and answer.same_as:
        same = next(one for one in runtime.state.similar if one.key == answer.same_as)
        return answered(runtime, answer, result, rejected_hash=draft_hash, closed="linked", linked=same)
    if result.status == "rejected":
        return answered(runtime, answer, result, rejected_hash=draft_hash)
    return answered(runtime, answer, result, "" if result.status == "reply" else NOT_THIS_CARD)
