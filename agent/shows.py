"""What people are shown: the objects that `chat --json` prints, and that every surface renders in its own way."""

from typing import Any

from agent.ports import Pending, Snapshot, Verdict
from agent.protocol import AskRequest, Decision, FilingOutcome, PreviewRequest, Reply, Row, from_hitl
from agent.sealing import SHORT, FieldChange, diff

Show = dict[str, Any]
"""An object with a `kind`: say, question, preview, decision, filed, private, contested or marked."""


def say(text: str) -> Show:
    """A sentence."""
    return {"kind": "say", "text": text}


def private(to: str, text: str) -> Show:
    """A sentence for one person alone."""
    return {"kind": "private", "to": to, "text": text}


def contested(edit: Reply, fields: list[str]) -> Show:
    """Fields of a form that somebody else had changed before it was taken, so that they were left alone."""
    return {"kind": "contested", "to": edit.by, "fields": fields, "event_id": edit.event_id}


def marked(amendment: Reply) -> Show:
    """Words that the draft rests on are no longer there, or no longer the same."""
    return {"kind": "marked", "message": amendment.about, "how": amendment.amends}


def waiting(session_id: str, pending: Pending | None, by: str = "", *, again: bool = False) -> list[Show]:
    """What a session waits for: its questions or its card, whose act led to that card, and whether it was shown before."""
    match from_hitl(pending.request) if pending else None:
        case AskRequest() as request:
            return [{"kind": "question", "questions": [question.model_dump() for question in request.questions]}]
        case PreviewRequest() as request:
            known = {"again": True} if again else {}
            return [{"kind": "preview", "session_id": session_id, **request.model_dump(mode="json"), "by": by, **known}]
    return []


def outcome(result: FilingOutcome) -> Show:
    """What became of a filing."""
    match result.status:
        case "filed":
            return {"kind": "filed", "key": result.key, "url": result.url, "draft_hash": result.draft_hash}
        case "failed":
            return say(f"The ticket was not filed: {result.reason} The approval stands.")
    return say("Nobody can tell whether the ticket was filed: look in the tracker before anything else.")


def decision(row: Row, snapshot: Snapshot, click: Decision, verdict: Verdict) -> Show:
    """What a click came to: the judgement, who decided, on which hash, what changed since that card, and a sentence."""
    card, now, standing = snapshot.clicked, snapshot.open_card, snapshot.standing
    changes = diff(card.sealed, now.sealed) if card and now and now.preview_id != card.preview_id else []
    filed = f" It is filed as {snapshot.ticket.key}." if snapshot.ticket else ""
    who = standing.approved_by if standing and row.then == "already" else click.by
    where = f"The open card is {now.draft_hash[:SHORT]}." if now else "No card is open now."
    named = f"No card {click.draft_hash} was shown in this session" if click.draft_hash else "No card was shown here yet"
    texts = {
        "forbidden": f"{click.by} may not decide here: {verdict.why}",
        "unknown": f"{named}, so nothing was decided. {where}",
        "decided": f"Already approved by {who}.{filed}",
        "approve": f"Approved by {who}.",
        "reject": f"Rejected by {who}." + (f" Reason: {click.reason}" if click.reason else ""),
        "discarded": f"Already rejected by {who}. {where}" if standing else f"That card was rejected before. {where}",
        "stale": f"Nothing was decided: that card is no longer current. {_named(changes)}{where}",
    }
    return {
        "kind": "decision",
        "status": row.then,
        "row": row.name,
        "by": who,
        "to": click.by,
        "draft_hash": card.draft_hash if card else click.draft_hash or "",
        "diff": [change.model_dump() for change in changes],
        "text": texts[row.name],
    }


def _named(changes: list[FieldChange]) -> str:
    return f"Changed since: {', '.join(change.field for change in changes)}. " if changes else ""
