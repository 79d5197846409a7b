"""What goes into the audit log: the entries of a turn, and of a step of a filing. Words are cut; their digest is of all."""

import hashlib
from collections.abc import Iterator
from typing import Any

from agent.audit import Entry
from agent.ports import PAST, ApprovalRecord, Event, Filing, Settled, Snapshot, Turn, Verdict
from agent.protocol import Decision, FilingOutcome, Reply, Settlement

WORDS = 2_000
"""Characters of what somebody said that are kept."""

NAME = 300
"""The same of names, titles, addresses and reasons."""


def of_turn(snapshot: Snapshot, turn: Turn) -> list[Entry]:
    """What a turn puts on record: what was said, read, decided and shown."""
    event, answer = snapshot.event, turn.heard or snapshot.event.answer
    if turn.outcome in ("overheard", "ignored"):  # people talk to each other, and nothing came of it
        return []
    entries = [] if snapshot.unreadable else [*_said(event, answer)] if isinstance(answer, Reply) else []
    if turn.outcome == "unheard":
        entries.append(_entry(event, "refused", by=getattr(answer, "by", ""), why=_told(turn)))
    if turn.unprocessed:
        entries.append(_entry(event, "unprocessed", what=answer.type, by=getattr(answer, "by", "")))
    if graph := turn.graph:
        for call in graph.calls:
            known = call.model_dump(include={"model", "digest", "dropped", "error", "unread"})
            entries.append(_entry(event, "model", **known | {"error": "" if call.unread else call.error}))
    if isinstance(answer, Decision) and not turn.unprocessed:
        entries.append(_clicked(event, answer, turn))
    if isinstance(answer, Settlement) and not turn.unprocessed:
        entries.append(_settlement(event, answer, turn))
    if turn.settled:
        entries += _settled(event, turn.settled)
    if graph and graph.closed and graph.closed[1] in PAST:
        closed = snapshot.open_card.draft_hash if snapshot.open_card else ""
        entries.append(_entry(event, graph.closed[1], preview_id=graph.closed[0], draft_hash=closed))
    if graph and (card := graph.new_card):
        shown = card.model_dump(include={"preview_id", "draft_hash", "version"})
        where = {name: card.sealed[name] for name in ("tracker", "project", "title")}
        entries.append(_entry(event, "previewed", **shown, **where))
    return entries


def _said(event: Event, reply: Reply) -> Iterator[Entry]:
    for past in reply.thread:
        if past.event_id != event.event_id:
            yield _words(event, past, past.event_id or event.event_id)
    yield _words(event, reply, event.event_id)


def _words(event: Event, reply: Reply, event_id: str) -> Entry:
    text = reply.text or "\n".join(f"{edit.op} {edit.field}: {', '.join(edit.value)}" for edit in reply.edits)
    body: dict[str, Any] = {"by": reply.by}
    if reply.amends:
        body["about"] = reply.about
    if reply.settled and reply.setting:
        body["destination"] = reply.setting.destination.model_dump()
    if reply.show or reply.anew:
        body["asks"] = "new" if reply.anew else "show"
    if text:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        body |= {"words": text[:WORDS], "characters": len(text), "digest": digest}
    body["edits"] = [edit.field for edit in reply.edits]
    body["files"] = [{"id": file.id, "name": file.name, "sha256": file.sha256} for file in reply.files]
    kind = "deleted" if reply.amends == "deleted" else "amended" if reply.amends else "set" if reply.settled else "said"
    return _entry(event, kind, event_id, quoted=reply.quoted, **body)


def _clicked(event: Event, click: Decision, turn: Turn) -> Entry:
    verdict = _verdict(turn.verdict)
    if turn.graph and (decision := turn.graph.decision):
        linked = decision.status == "rejected" and click.same_as
        approval = _approval(decision) | {"reason": click.reason, "same_as": click.same_as, "verdict": verdict}
        return _entry(event, "decided", status="linked" if linked else decision.status, **approval)
    [told, *_] = [show for show in turn.shows if show["kind"] == "decision"]
    known: dict[str, Any] = {"by": click.by, "name": turn.verdict.name if turn.verdict else ""}
    known |= {"preview_id": click.preview_id} | {
        "draft_hash": told["draft_hash"],
        "rule": told["row"],
        "why": told["text"],
        "verdict": verdict,
    }
    return _entry(event, "refused", act=click.type, **known)


def _approval(decision: ApprovalRecord) -> dict[str, Any]:
    known = decision.model_dump(include={"draft_hash", "preview_id", "name", "thread"})
    return {"by": decision.approved_by, **known}


def _verdict(verdict: Verdict | None) -> dict[str, Any]:
    return {"allowed": verdict.allowed, "why": recorded(verdict.why)} if verdict else {}


def _settlement(event: Event, said: Settlement, turn: Turn) -> Entry:
    known: dict[str, Any] = {
        "act": said.act,
        "by": said.by,
        "draft_hash": said.draft_hash,
        "attempt": said.attempt,
        "key": said.key,
    }
    known |= {"operator": event.surface.get("kind") == "operator", "verdict": _verdict(turn.verdict)}
    if turn.settled is None:
        return _entry(event, "refused", **known, rule=turn.outcome, why=_told(turn))
    known |= {"draft_hash": turn.settled.filing.draft_hash, "attempt": turn.settled.filing.attempt}
    return _entry(event, "settled", **known, becomes=turn.settled.to)


def _settled(event: Event, settled: Settled) -> Iterator[Entry]:
    if settled.to == "intended":  # what comes of that is put on record when it does
        return
    ticket = {"key": settled.ticket.key, "url": settled.ticket.url} if settled.ticket else {}
    if isinstance(event.answer, FilingOutcome):
        ticket["reason"] = event.answer.reason
    yield of_filing(settled.filing, settled.to, event.event_id, **ticket)


def of_filing(filing: Filing, kind: str, event_id: str = "", **known: Any) -> Entry:
    """What became of a filing; without an event of its own it belongs to the one that approved it."""
    this: dict[str, Any] = {"draft_hash": filing.draft_hash, "preview_id": filing.approval.preview_id}
    this |= {"marker": filing.marker, "attempt": filing.attempt}
    body = {name: value for name, value in {**this, **known}.items() if value}
    return Entry(filing.session_id, event_id or filing.approval.event_id, kind, _bounded(body))


def _told(turn: Turn) -> str:
    return next((show["text"] for show in turn.shows if "text" in show), "")


def _entry(event: Event, kind: str, event_id: str = "", /, **body: Any) -> Entry:
    known = {name: value for name, value in body.items() if value not in ("", None, [], {}, False)}
    return Entry(event.session_id, event_id or event.event_id, kind, _bounded(known))


def _bounded(body: dict[str, Any]) -> dict[str, Any]:
    return {name: recorded(value) if name != "words" and isinstance(value, str) else value for name, value in body.items()}


def recorded(text: str) -> str:
    """A name, a title or a reason as it is put on record."""
    return text if len(text) <= NAME else f"{text[:NAME]}…"
