"""The card in Slack, as Block Kit.

A card that is too long for one message becomes several, and its buttons stand under the last alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.draft import LONG, Unsaid
from agent.ports import PAST
from agent.receipt import FORM
from agent.sealing import SHORT, FieldChange
from agent.secrets import secrets_in
from agent.surfaces import CardView
from slack_adapter.evidence import EVIDENCE, evidence_row, in_words, sides
from slack_adapter.inbound import ATTEMPT, button_value
from slack_adapter.marks import digest_of, distinct
from slack_adapter.naming import ORDER, TYPES, is_id, label, listed, name_of
from slack_adapter.pieces import (
    FALLBACK,
    Block,
    bullets,
    button,
    context,
    heading,
    line,
    paragraphs,
    plain,
    rich,
    section,
    words,
)
from slack_adapter.text import cut, date, escape, link

MESSAGE_CHARACTERS = 9_000
"""Characters in the blocks of one message; Slack refused 11,300, and says nowhere how many it takes."""

MESSAGE_BLOCKS = 45
DIALOG = 300
"""Characters that a button's dialog can say."""

MARKED = 5
"""Marks that have buttons of their own; more have one together."""


def project_of(card: CardView) -> str:
    """The project a card's ticket goes to."""
    return str(card.sealed["project"])


def build_draft_preview_blocks_with_hash(
    card: CardView, *, private: bool = False, moved: bool = False, thread: str = "", approvers: Sequence[str] = ()
) -> list[list[Block]]:
    """The messages that show a card whole, each as its blocks; only the last has buttons, and only if the card is open.

    `private`: who can read the conversation is fewer than who can read the ticket. `moved`: a copy further down is the one
    that counts. `thread`: the address of the conversation, where the card stands elsewhere. `approvers`: mentions of those
    who may approve, where nobody else may.
    """
    if moved or card.status in PAST:
        return [_put_away(card, "moved further down" if moved else "no longer current")]
    head, tail = _head(card, thread), _tail(card, private, approvers)
    parts = [head]
    room, blocks = MESSAGE_CHARACTERS - _size(head), MESSAGE_BLOCKS - len(head)
    for block in _fields(card.sealed):
        if _size([block]) > room or not blocks:
            parts.append([])
            room, blocks = MESSAGE_CHARACTERS, MESSAGE_BLOCKS
        parts[-1].append(block)
        room, blocks = room - _size([block]), blocks - 1
    for block in tail:
        if _size([block]) > room or not blocks:
            parts.append([])
            room, blocks = MESSAGE_CHARACTERS, MESSAGE_BLOCKS
        parts[-1].append(block)
        room, blocks = room - _size([block]), blocks - 1
    if tail[-1]["type"] == "actions" and len(parts[-1]) == 1 and len(parts) > 1:
        parts[-1].insert(0, context("The whole ticket stands in the messages above."))
    if len(parts) > 1:
        for n, part in enumerate(parts, 1):
            part.insert(
                0, context(f"Part {n} of {len(parts)}" + ("" if n == len(parts) else ": the buttons are under the last."))
            )
    return parts


def card_text(card: CardView) -> str:
    """The card in words, for notifications and screen readers: everything on it, as far as Slack takes it."""
    sealed = card.sealed
    stamp = f"Version {card.version}, {card.draft_hash[:SHORT]}"
    lines = [f"{_state(card)} {escape(sealed['title'])}", f"{_where(card)} · {stamp}"]
    for name, value in _ordered(sealed["fields"]):
        lines.append(f"{escape(label(name))}: {escape('; '.join(_values(value)))}")
    lines += [f"Nobody said this: {escape(in_words(mark))}" for mark in distinct(card.unsaid)]
    return cut("\n".join(lines), FALLBACK)


def _state(card: CardView) -> str:
    match card.status:
        case "approved":
            return f"Filed as {escape(card.key)}:" if card.filing == "filed" else "Approved:"
        case "rejected":
            return f"Linked to {escape(card.linked.key)} instead:" if card.linked else "Discarded:"
        case "open":
            return "Please check this ticket:"
    return "No longer current:"


def _where(card: CardView) -> str:
    sealed = card.sealed
    kind = TYPES.get(sealed["type"]) or escape(sealed["type"])
    return f"{escape(name_of(sealed['tracker']))} · {escape(sealed['project'])} · {kind}"


def _head(card: CardView, thread: str) -> list[Block]:
    title = card.sealed["title"]
    top: Block = {"type": "header", "text": plain(title)} if len(title) <= 150 else heading(title)
    talk = f" · {link(thread, 'conversation')}" if thread else ""
    head = [top, context(f"{_standing(card)}{talk}")]
    if card.status == "open" and card.since:
        head += [*changes(card.since), {"type": "divider"}]
    return head


def _standing(card: CardView) -> str:
    """Where the ticket goes and whether it is there, in the line under its title."""
    by = f" by <@{card.decided_by}>" if card.decided_by else ""
    match card.status:
        case "open":
            return f"*Draft* · {_where(card)} · nothing is filed yet"
        case "approved" if card.filing == "filed":
            return f":white_check_mark: *Filed as {ticket(card.key, card.url)}* · {_where(card)}"
        case "approved":
            return f":white_check_mark: *Approved*{by} · {_where(card)}"
    if card.linked:
        return f":link: *Linked to {ticket(card.linked.key, card.linked.url)} instead*{by} · nothing new was filed"
    return f"*Discarded*{by} · {_where(card)} · nothing was filed"


def _fields(sealed: Mapping[str, Any]) -> Iterator[Block]:
    """Every field that will be filed; short ones share a block."""
    facts: list[dict[str, Any]] = []
    for name, value in _ordered(sealed["fields"]):
        values = _values(value)
        if isinstance(value, list) and name not in ("labels",):
            yield from bullets(label(name), values)
        elif name in LONG or len(", ".join(values)) > 300:
            yield from paragraphs(label(name), "\n".join(values))
        else:
            facts.append(line(words(f"{label(name)}: ", bold=True), words(", ".join(values))))
    for start in range(0, len(facts), 8):
        yield rich(*facts[start : start + 8])


def _ordered(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in sorted(fields, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        if name == "custom":
            for own, value in fields[name].items():
                yield f"custom.{own}", value
        else:
            yield name, fields[name]


def _values(value: Any) -> list[str]:
    match value:
        case list():
            return [text for item in value for text in _values(item)]
        case {"sha256": digest, "name": name, "id": key}:
            known = f"SHA-256 {str(digest)[:SHORT]}" if digest else "linked"
            return [" ".join(filter(None, (f"{name or key} ({known})", str(value.get("url", "")))))]
        case {"key": key, "value": text}:
            mark = " (in conflict)" if value.get("status") == "conflict" else ""
            return [(f"{key}: {text}" if key else str(text) or "(empty)") + mark]
        case Mapping():
            return [", ".join(f"{key}: {item}" for key, item in value.items())]
    return [str(value)]


def _tail(card: CardView, private: bool, approvers: Sequence[str]) -> list[Block]:
    match card.status:
        case "open":
            return list(_open(card, private, approvers))
        case "approved":
            return list(_approved(card))
    if card.linked:
        new = button("New ticket", "new_ticket", card.session_id)
        return [_stamp(card), {"type": "actions", "block_id": f"linked-{card.preview_id}", "elements": [new]}]
    return [context("What was said is kept: mention me and say what should change, and a new card follows."), _stamp(card)]


def _open(card: CardView, private: bool, approvers: Sequence[str]) -> Iterator[Block]:
    yield from _marks(card)
    for conflict in card.conflicts:
        yield context(f":left_right_arrow: *Undecided:* {sides(conflict)}")
    if card.unanswered:
        yield context(f":grey_question: *Left open:* {', '.join(escape(label(field)) for field in card.unanswered)}")
    if card.not_said:
        yield context(f"*Not said:* {', '.join(label(field).lower() for field in card.not_said)}")
    if card.unread:
        yield context(f":hourglass: {card.unread} newer message{'s' * (card.unread > 1)} not considered")
    found = secrets_in(card.sealed)
    if found:
        yield section(f":warning: *This looks like it holds {listed(found)}.* Whoever can read the project could read it.")
    if private:
        yield context(
            f":lock: This conversation is private; the ticket can be read by whoever can read *{escape(project_of(card))}*."
        )
    yield from evidence_row(card)
    if approvers:
        yield context(f":bell: *Waits for* {listed(approvers, 'or')}")
    yield _stamp(card)
    yield context(f"_Filed with {FORM}._")
    value = button_value(card.session_id, card.draft_hash)
    approve = button(f"Create in {project_of(card)}", "approve_draft", value, style="primary")
    approve["accessibility_label"] = cut(f"Approve exactly this ticket and create it in {project_of(card)}", 75)
    if doubt := _doubt(found, distinct(card.unsaid)):
        approve["confirm"] = confirm(*doubt, "Create it", "Go back")
    discard = button("Discard", "reject_draft", value, accessibility_label="Discard this ticket; nothing is filed")
    discard["confirm"] = confirm("Discard this ticket?", "Nothing is filed. What was said is kept.", "Discard", "Keep it")
    discard["confirm"]["style"] = "danger"
    change = button("Request changes", "request_changes", value, accessibility_label="Change this ticket in a form")
    elements = [approve, change, discard]
    if len(card.evidence) > EVIDENCE:
        elements.append(button(f"Who said what ({len(card.evidence)})", "show_evidence", card.session_id))
    yield {"type": "actions", "block_id": card.preview_id, "elements": elements}


def _doubt(secrets: Sequence[str], marks: Sequence[Unsaid]) -> tuple[str, str] | None:
    """What is asked before a ticket is created in which something looks wrong: a title and a text."""
    held = f"It looks like this ticket holds {listed(secrets)}. " if secrets else ""
    end = "Create it all the same?"
    if not marks:
        return ("Is there a secret in it?", f"{held}{end}") if held else None
    title = "Is there a secret in it, and is it so?" if held else "Is it so?"
    values = f"{len(marks)} value{'s were' if len(marks) > 1 else ' was'} said by nobody: {'; '.join(map(in_words, marks))}"
    return title, f"{held}{cut(values, max(DIALOG - len(held) - len(end) - 2, 60))}. {end}"


def _marks(card: CardView) -> Iterator[Block]:
    """What nobody said, value by value, and the buttons that settle it."""
    marks = distinct(card.unsaid)
    for mark in marks[:MARKED]:
        name, value = words(f"⚠️ Nobody said this: {label(mark.field)}: ", bold=True), words(cut(mark.value, 300))
        yield rich(line(name, value))
        digest = digest_of(mark)
        elements = [button("Confirm", "confirm_mark", button_value(card.session_id, digest))]
        if mark.field != "issue_type":  # a ticket always has one
            elements.append(button("Remove", "remove_mark", button_value(card.session_id, digest)))
        yield {"type": "actions", "block_id": f"mark-{digest}", "elements": elements}
    if more := marks[MARKED:]:
        named = "; ".join(cut(in_words(mark), 100) for mark in more[:20])
        yield rich(line(words(f"⚠️ … and {len(more)} more, see Request changes: ", bold=True), words(named)))
        every = button(f"Confirm all {len(marks)}", "confirm_mark", button_value(card.session_id, digest_of(*marks)))
        text = f"You say so of all {len(marks)} values that nobody said: {'; '.join(map(in_words, marks))}"
        every["confirm"] = confirm("Is all of it so?", text, "Confirm all", "Go back")
        yield {"type": "actions", "block_id": "marks", "elements": [every]}


def _approved(card: CardView) -> Iterator[Block]:
    by = f"<@{card.decided_by}>" if card.decided_by else "somebody"
    at = f", {date(card.decided_at)}" if card.decided_at else ""
    yield section(f":white_check_mark: *Approved by {by}*{at}.")
    match card.filing:
        case "filed":
            yield _stamp(card)
            yield after_filing(card)
            return
        case "failed":
            yield section(f":warning: *It was not filed:* {escape(cut(card.reason, 1000))} The approval stands.")
        case "unknown" if card.asked:
            yield section(f":warning: *Nobody can tell whether it was filed:* {escape(cut(card.reason, 1000))}")
        case "unknown":
            yield context("No answer came from the tracker; I am looking for the ticket …")
        case "left":
            yield context(":grey_question: Nobody could tell whether it was filed, and it was left so.")
        case "":
            yield context("It is not filed, and its approval was withdrawn.")
        case _:
            yield context("It is being filed …")
    yield _stamp(card)
    if card.filing == "failed" or (card.filing == "unknown" and card.asked):
        yield settling_row(card.session_id, card.draft_hash, card.attempt, unknown=card.filing == "unknown")


def after_filing(card: CardView) -> Block:
    """What can be done once the ticket is there."""
    elements = [button("Add a comment", "comment", card.session_id), button("New ticket", "new_ticket", card.session_id)]
    if card.url.startswith(("http://", "https://")):
        elements.insert(0, button(f"Open {card.key}", "open_ticket", card.session_id, url=card.url))
    return {"type": "actions", "block_id": f"filed-{card.preview_id}", "elements": elements}


def settling_row(session_id: str, draft_hash: str, attempt: int, *, unknown: bool) -> Block:
    """The buttons under what is not settled: `unknown`, or surely not filed."""
    value = button_value(session_id, draft_hash)
    again = button("File again", "file_again", value, accessibility_label="File this ticket again, as it was approved")
    leave = button("Leave it", "leave_filing", value, accessibility_label="Leave it, and go on")
    if unknown:
        text = "Did you look in the tracker? If it is there already, it would be there twice. It may take minutes to be found."
        again["confirm"] = confirm("File it again?", text, "File again", "Go back")
        leave["confirm"] = confirm("Leave it as it is?", "Nobody is asked again whether it was filed.", "Leave it", "Go back")
        there = button("It is there", "filing_there", value, accessibility_label="It is there: give its key")
        elements = [there, again, leave]
    else:
        leave["confirm"] = confirm("Leave it?", "It is not filed, and its approval is withdrawn.", "Leave it", "Go back")
        elements = [again, leave]
    return {"type": "actions", "block_id": f"{ATTEMPT}{attempt}", "elements": elements}


def ticket(key: str, url: str) -> str:
    """A ticket's key, as a link if it has an address for browsers."""
    return link(url, key) if url.startswith(("http://", "https://")) else escape(key)


def _put_away(card: CardView, why: str) -> list[Block]:
    title = words(cut(card.sealed["title"], 200), strike=True)
    return [rich(line(title, words(f" · version {card.version} · {why}")))]  # Slack replaces rich text with nothing else


def confirm(title: str, text: str, yes: str, no: str) -> dict[str, Any]:
    """What a button asks before it counts."""
    return {"title": plain(title), "text": plain(cut(text, DIALOG)), "confirm": plain(yes), "deny": plain(no)}


def _stamp(card: CardView) -> Block:
    known = [person for person in dict.fromkeys([card.requester, *card.people]) if is_id(person)]
    asked = f" · asked for by <@{card.requester}>" if card.requester in known else ""
    others = ", ".join(f"<@{person}>" for person in known if person != card.requester)
    return context(f"Version {card.version} · `{card.draft_hash[:SHORT]}`{asked}" + (f" · with {others}" if others else ""))


def changes(since: Sequence[FieldChange]) -> list[Block]:
    """What changed, field by field, in words; the values whole are on the card itself."""
    lines = []
    for change in sorted(since, key=lambda one: ORDER.index(one.field) if one.field in ORDER else -1):
        for word, values in (("removed", change.removed), ("added", change.added)):
            if values:
                name = words(f"{label(change.field)}, {word}: ", bold=True)
                lines.append(line(name, words(cut("; ".join(values), 300))))
    shown = lines[:12]
    if len(lines) > len(shown):
        shown.append(line(words(f"and {len(lines) - len(shown)} more.", italic=True)))
    title = line(words("Changed since the card before", bold=True))
    return [rich(title, {"type": "rich_text_list", "style": "bullet", "elements": shown})]


def _size(blocks: Sequence[Block]) -> int:
    return sum(_characters(block) for block in blocks)


def _characters(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_characters, value))
    if not isinstance(value, dict):
        return 0
    own = sum(len(value[name]) for name in ("text", "value", "url", "alt_text") if isinstance(value.get(name), str))
    return own + sum(map(_characters, value.values()))
