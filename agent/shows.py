"""What people are shown: the objects that `chat --json` prints, and that every surface renders in its own way."""

import json
from typing import Any

from agent.ports import Card, Pending, Snapshot, Verdict
from agent.protocol import (
    AskRequest,
    Decision,
    FilingOutcome,
    Found,
    PreviewRequest,
    Question,
    Reply,
    Settlement,
    from_hitl,
)
from agent.rules import CARD_DAYS, Row
from agent.sealing import SHORT, FieldChange, diff

Show = dict[str, Any]
"""An object with a `kind`: say, question, similar, preview, decision, marks, filed, unsettled, private, contested or
marked."""


MARKS = ("unanswered", "not_said", "unsaid", "conflicts", "unread")
"""What a preview tells beside the ticket."""

UNSETTLED = {
    "failed": " It was not filed so far: file it again, or leave it.",
    "unknown": " Nobody can tell yet whether it is filed.",
}
"""What is to be said of a filing in such a state."""


def say(text: str) -> Show:
    """A sentence."""
    return {"kind": "say", "text": text}


def private(to: str, text: str) -> Show:
    """A sentence for one person alone."""
    return {"kind": "private", "to": to, "text": text}


def contested(edit: Reply, fields: list[str]) -> Show:
    """Fields of a form that somebody else had changed before it was taken, so that they were left alone."""
    return {"kind": "contested", "to": edit.by, "fields": fields, "event_id": edit.event_id}


def marks(by: str, before: PreviewRequest, now: PreviewRequest) -> list[Show]:
    """What is to be known of a standing card, if that has changed; `said`: fields of which nobody had said what they hold."""
    known, knew = (one.model_dump(mode="json", include=set(MARKS)) for one in (now, before))
    said = [one.field for one in before.unsaid if one not in now.unsaid]
    return [{"kind": "marks", "by": by, "said": said, **known}] if known != knew else []


def similar(card: Card, found: Found) -> Show:
    """The tickets there are that may be the same as the one that is shown next."""
    named = card.model_dump(include={"preview_id", "draft_hash"})
    return {"kind": "similar", "tickets": [one.model_dump() for one in found.tickets], **named}


def _question(question: Question) -> dict[str, Any]:
    known = question.model_dump()
    return {name: value for name, value in known.items() if value or name in ("field", "text")}


def marked(amendment: Reply) -> Show:
    """Words that the draft rests on are no longer there, or no longer the same."""
    return {"kind": "marked", "message": amendment.about, "how": amendment.amends}


def waiting(session_id: str, pending: Pending | None, by: str = "", *, again: bool = False) -> list[Show]:
    """What a session waits for: its questions or its card, whose act led to that card, and whether it was shown before."""
    match from_hitl(pending.request) if pending else None:
        case AskRequest() as request:
            return [{"kind": "question", "questions": [_question(question) for question in request.questions]}]
        case PreviewRequest() as request:
            known = {"again": True} if again else {}
            return [{"kind": "preview", "session_id": session_id, **request.model_dump(mode="json"), "by": by, **known}]
    return []


def filed(result: FilingOutcome) -> Show:
    """The ticket is there."""
    return {"kind": "filed", "key": result.key, "url": result.url, "draft_hash": result.draft_hash}


def outcome(result: FilingOutcome, snapshot: Snapshot) -> list[Show]:
    """What became of a filing; what is not settled by that comes with what a person can do."""
    if result.status == "filed":
        return [filed(result)]
    if result.errors:
        return [say(f"The ticket was not filed: {result.reason}")]
    if result.status == "failed":
        text = f"The ticket was not filed: {result.reason} The approval stands."
    else:
        text = f"Nobody can tell whether the ticket was filed: {result.reason} {_look(snapshot)}; I go on looking, too."
    return [_unsettled(snapshot, result.status, result.draft_hash, result.attempt, text)]


def doubt(snapshot: Snapshot) -> list[Show]:
    """What was left in doubt, and is asked for again."""
    assert snapshot.filing
    filing = snapshot.filing
    text = f"It was approved before, and nobody could tell whether it was filed. {_look(snapshot)}."
    return [_unsettled(snapshot, "unknown", filing.draft_hash, filing.attempt, text)]


def _look(snapshot: Snapshot) -> str:
    sealed = json.loads(snapshot.filing.sealed) if snapshot.filing else {}
    return f"Look in {sealed.get('tracker', 'the tracker')} {sealed.get('project', '')}".strip() + " first"


def _unsettled(snapshot: Snapshot, status: str, draft_hash: str | None, attempt: int, text: str) -> Show:
    sealed = json.loads(snapshot.filing.sealed) if snapshot.filing else {}
    by = snapshot.filing.approval.approved_by if snapshot.filing else ""
    known = {"status": status, "draft_hash": draft_hash, "attempt": attempt, "by": by, "title": sealed.get("title", "")}
    return {"kind": "unsettled", **known, "text": text}


def settlement(row: Row, snapshot: Snapshot, said: Settlement, verdict: Verdict) -> list[Show]:
    """What somebody's word on a filing came to; a ticket that is there is told by itself."""
    filing = snapshot.filing
    key = filing.ticket.key if filing and filing.ticket else ""
    texts = {
        "forbidden": f"{said.by} may not decide here: {verdict.why}",
        "none": "Nothing is to be settled here: no approval stands.",
        "filed": f"That is settled: it is filed as {key}.",
        "busy": "It is on its way to the tracker: wait for what becomes of it.",
        "late": "Somebody settled that before: it was sent once more, and what came of that is told below.",
        "unproven": f"That was not taken: {verdict.why}",
        "again": f"{said.by} lets it be filed again, under the approval that stands.",
        "withdraw": f"{said.by} left it: it is not filed, and its approval is withdrawn.",
        "gone": "Somebody left it as it is before.",
        "leave": f"{said.by} left it as it is.",
    }
    if row.name not in texts:
        return []
    return [private(said.by, texts[row.name]) if row.then in ("refused", "already") else say(texts[row.name])]


def decision(row: Row, snapshot: Snapshot, click: Decision, verdict: Verdict) -> Show:
    """What a click came to: the judgement, who decided, on which hash, what changed since that card, and a sentence."""
    card, now, standing = snapshot.clicked, snapshot.open_card, snapshot.standing
    changes = diff(card.sealed, now.sealed) if card and now and now.preview_id != card.preview_id else []
    ticket = snapshot.filing.ticket if snapshot.filing else None
    filed = f" It is filed as {ticket.key}." if ticket else ""
    if snapshot.filing and snapshot.filing.status in UNSETTLED:
        filed = UNSETTLED[snapshot.filing.status]
    who = standing.approved_by if standing and row.then == "already" else click.by
    where = f"The open card is {now.draft_hash[:SHORT]}." if now else "No card is open now."
    named = f"No card {click.draft_hash} was shown in this session" if click.draft_hash else "No card was shown here yet"
    again = f"That card was approved before, and what it shows could not be filed. {where}"
    if card and card.status != "approved":
        again = f"That card was rejected before. {where}"
    texts = {
        "forbidden": f"{click.by} may not decide here: {verdict.why}",
        "unknown": f"{named}, so nothing was decided. {where}",
        "doubted": f"Already approved by {who}.",
        "decided": f"Already approved by {who}.{filed}",
        "approve": f"Approved by {who}.",
        "reject": f"Rejected by {who}." + (f" Reason: {click.reason}" if click.reason else ""),
        "unlinked": f"That was not linked: {verdict.why}. {where}",
        "discarded": f"Already rejected by {who}. {where}" if standing else again,
        "expired": f"Nothing was decided: that card was shown more than {CARD_DAYS} days ago. {_named(changes)}{where}",
        "stale": f"Nothing was decided: that card is no longer current. {_named(changes)}{where}",
    }
    if row.name == "reject" and click.same_as:
        texts["reject"] = f"It is {click.same_as}, says {who}."
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
