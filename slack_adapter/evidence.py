"""Who said what a draft holds, what nobody said, and what people say differently."""

from collections.abc import Iterator

from agent.draft import Conflict, Evidence, TicketDraft, Unsaid
from agent.surfaces import CardView
from slack_adapter.marks import distinct
from slack_adapter.naming import ORDER, is_id, label, person
from slack_adapter.pieces import BLOCK_CHARACTERS, Block, context, section
from slack_adapter.text import cut, escape, link

EVIDENCE = 3
"""Links to what was said that stand on the card itself; the rest is behind a button."""


def in_words(mark: Unsaid) -> str:
    """A value that nobody said."""
    return f"{label(mark.field)}: {mark.value}"


def sides(conflict: Conflict) -> str:
    """Who says what of a field."""
    said = [f"“{escape(cut(one.value, 100))}” ({person(one.author)})" for one in conflict.sides]
    return f"{escape(label(conflict.field))}: {' or '.join(said)}"


def evidence_row(card: CardView) -> Iterator[Block]:
    """The first few of who said what, on the card itself."""
    if not card.evidence:
        return
    telling = sorted(card.evidence, key=lambda one: ORDER.index(one.field) if one.field in ORDER else len(ORDER))
    said = " · ".join(_quoted(evidence) for evidence in telling[:EVIDENCE])
    yield context(f"*From:* {said}")


def _quoted(evidence: Evidence) -> str:
    """A piece of evidence as a link to the message that says so, with a mark if that has changed since."""
    quote = cut(" ".join(evidence.quote.split()), 60)
    shown = link(evidence.permalink, f"“{quote}”") if evidence.permalink else f"“{escape(quote)}”"
    mark = f" _({evidence.changed} since)_" if evidence.changed else ""
    return f"{escape(label(evidence.field))}: {shown}{mark}"


def evidence_blocks(draft: TicketDraft) -> list[Block]:
    """What of a draft nobody said, what people say differently, and who said the rest."""
    said = [f":warning: *Nobody said this:* {escape(cut(in_words(mark), 500))}" for mark in distinct(draft.unsaid)]
    said += [f":left_right_arrow: *Undecided:* {sides(conflict)}" for conflict in draft.conflicts]
    said += [_quoted(one) + (f" <@{one.author}>" if is_id(one.author) else "") for one in draft.evidence]
    shown = [section(cut(one, BLOCK_CHARACTERS)) for one in said[:95]]
    if len(said) > len(shown):
        shown.append(context(f"and {len(said) - len(shown)} more."))
    return shown or [section("Nothing in this draft rests on a message.")]
