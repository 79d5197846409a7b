"""What must be true whatever happens: I1 to I8 of the protocol, as functions over one commit.

None of them reads the tables: they say of what was committed whether it may be so, by what really is: which card stood open,
who clicked, and how many tickets the tracker has.
"""

from collections.abc import Callable
from typing import NamedTuple

from tests.protocol.model import (
    ALLOWED,
    GIVEN_UP,
    VAGUE,
    AcceptedTwice,
    Doing,
    Filing,
    Happened,
    Hurried,
    Machine,
    Recorded,
    Stopped,
    Taking,
    Turned,
    Untied,
    World,
)

NOT_LINKED = ("another", "gone")
"""What somebody says that a ticket is, and cannot be linked: it was not offered, or is no longer there."""

Invariant = Callable[[World, Happened, World], str]


def i1(before: World, what: Happened, after: World) -> str:
    """A filing exists only for an approval of what a person saw; a card shows exactly what would be filed."""
    for hash_, filing in enumerate(after.filings):
        if filing and after.decided[hash_] != "approved":
            return "a filing has no approval"
    session = after.session
    if session.gate == "preview":
        if after.cards[session.open].content != session.draft:
            return "the open card shows something else than the draft that people know"
        if not session.looked:
            return "a card is shown before it was looked for such a ticket"
    elif session.looked and not before.session.looked:
        return "it is looked for such a ticket before it is known what that is"
    if isinstance(what, Turned) and what.decided:
        _, status, card = what.decided
        if before.cards[card].content != before.cards[what.event[3]].content:
            return "somebody decided about something else than what they saw"
        if status == "approved" and after.filings[what.decided[0]] is None:
            return "an approval files nothing"
    return ""


def i2(before: World, what: Happened, after: World) -> str:
    """One approval of a ticket: the first stands, and the others are told who won."""
    if not isinstance(what, Turned) or what.event[0] != "click":
        return ""
    _, person, act, card, link, late = what.event
    if what.decided and before.decided[what.decided[0]] == "approved":
        return "a second decision is taken on what is approved"
    if person not in ALLOWED or card < 0:
        return ""
    standing = before.decided[before.cards[card].content]
    if standing == "approved":
        left = what.filing is not None and what.filing.status == "left"
        if what.then != "already" or what.row != ("doubted" if left else "decided"):
            return "somebody is not told that it is approved already"
    elif before.cards[card].status == "open" and link not in NOT_LINKED and not late:
        wanted = {"approve": "approved", "reject": "rejected"}[act]
        return (
            ""
            if what.decided and what.decided[1] == wanted == what.then
            else "the first decision on the open card does not stand"
        )
    return ""


def i3(before: World, what: Happened, after: World) -> str:
    """One ticket for an approval, unless a person had it sent again although nobody could tell."""
    for ticket, risked in zip(after.tickets, after.risked, strict=True):
        if ticket.made > 1 + risked:
            return "two tickets are made of one approval"
    session = after.session
    if session.approved >= 0 and not session.over and session.gate != "file":
        return "something else is begun before it is known what became of the approved ticket"
    return ""


def i4(before: World, what: Happened, after: World) -> str:
    """A decision counts on the open card only; on another it is refused, and told as what it is."""
    opened = [n for n, card in enumerate(after.cards) if card.status == "open"]
    if opened != ([after.session.open] if after.session.gate == "preview" else []):
        return "the card that is open is not the one that waits for a decision"
    if not isinstance(what, Turned):
        return ""
    closed = [n for n, card in enumerate(before.cards) if card.status == "open" != after.cards[n].status]
    expired = what.event[0] == "click" and closed == [what.event[3]] and what.event[5] and not what.decided
    expired = expired and what.event[1] in ALLOWED
    fate = what.decided[1] if what.decided else "expired" if expired else "superseded"
    if closed and after.cards[closed[0]].status != fate:
        return "a card does not say why it was put away"
    if what.opened and not expired and any(card == (what.opened, "open") for card in before.cards):
        return "a new card is shown though nothing has changed"
    if what.event[0] != "click":
        return ""
    _, person, _, card, _, late = what.event
    if what.decided and (card != what.decided[2] or before.cards[card].status != "open"):
        return "a decision is taken on another card than the one that was clicked"
    if not (what.decided or expired) and after.session != before.session:
        return "a click that is refused changes something"
    if what.tied and not (what.decided and after.session.closed == "linked"):
        return "another ticket is told of this conversation, and is not linked"
    if what.decided and late:
        return "a decision is taken on a card that had been open for too long"
    if person not in ALLOWED:
        return ""
    if card < 0:
        return "" if (what.then, what.row) == ("refused", "unknown") else "somebody is not told that there is no such card"
    status = before.cards[card].status
    if before.decided[before.cards[card].content] == "approved":
        return ""
    if status == "open" and late:
        told = (what.then, what.row) == ("stale", "expired") and what.opened == before.cards[card].content
        return "" if told else "what had been shown for too long is not shown anew, or is told as something else"
    if status != "open" and (what.then, what.row) != (
        ("stale", "stale") if status in ("superseded", "expired") else ("already", "discarded")
    ):
        return "somebody is not told what became of that card"
    return ""


def i5(before: World, what: Happened, after: World) -> str:
    """Each event is taken once, and in order."""
    if isinstance(what, AcceptedTwice) or (isinstance(what, Turned) and what.twice):
        return "an event is taken twice"
    if isinstance(what, Turned) and what.event != before.inbox[0]:
        return "an event is taken out of turn"
    return ""


def i6(before: World, what: Happened, after: World) -> str:
    """Only whom the policy allows decides, and only they."""
    if not isinstance(what, Turned) or what.event[0] not in ("click", "settle"):
        return ""
    person = what.event[1]
    if person not in ALLOWED and (what.decided or what.move or what.then != "refused" or what.row != "forbidden"):
        return f"{person} decides, or is not told that the policy forbids it"
    if person in ALLOWED and what.row == "forbidden":
        return f"{person} may decide, and is refused"
    if what.event[0] == "click" and what.event[4] in NOT_LINKED and what.event[3] >= 0:
        if what.decided:
            return "the conversation is linked to a ticket that cannot be linked"
        card = before.cards[what.event[3]]
        undecided = card.status == "open" and not what.event[5] and before.decided[card.content] != "approved"
        if person in ALLOWED and undecided and what.then != "refused":
            return "somebody is not told that it could not be linked"
    return ""


def i7(before: World, what: Happened, after: World) -> str:
    """What nobody can tell is settled by the ticket itself or by a person; nothing is said to be there or not without proof."""
    if isinstance(what, Recorded):
        was, now = before.filings[what.hash], after.filings[what.hash]
        if wrong := _learnt(what, was, now):
            return wrong
        if was and was.status == "filed" and after.inbox != before.inbox:
            return "it was filed before, and is told once more"
        if was and now and (was.status, now.status) == ("intended", "unknown"):
            return "what surely was not sent is said to be in doubt"
        if was and now and was != now:
            return _proven(what, was, now, after)
    if isinstance(what, Turned) and what.move:
        hash_ = what.decided[0] if what.decided else what.event[1] if what.event[0] == "outcome" else what.event[3]
        ticket = after.tickets[hash_]
        if what.move == "file" and not ticket.made:
            return "somebody says that it is there, and it is not"
        if what.move == "withdraw" and (ticket.made or ticket.flying):
            return "an approval is withdrawn whose ticket is there"
        if what.event[0] == "settle" and what.filing and what.event[4] != what.filing.attempt:
            return "a word on one attempt settles another"
    return ""


def _learnt(what: Recorded, was: Filing | None, now: Filing | None) -> str:
    """What the tracker said counts, and people are asked what only they can say: not before it was looked for, and once."""
    if what.result in ("made", "found"):
        return "" if now and now.status == "filed" else "the tracker has it, and it is not on record as filed"
    if what.result == "nothing" and what.found.status != "unknown":
        return "it is looked for, and is not on record as unknown"
    either = ("sent", "unknown")
    from_ = {"nothing": ("unknown",), "other": either, "hopeless": either}.get(what.result, ("sent",))
    if was and was.attempt != what.found.attempt and was != now:
        return "what came of one attempt is put on record for another"
    if was is None or now is None or was.attempt != what.found.attempt or was.status not in from_:
        return ""  # somebody knew more meanwhile
    wanted, asked = "unknown", was.asked
    if what.result == "later" and what.patient:
        wanted = "intended"
    elif what.result in ("later", "refused"):
        wanted, asked = ("unknown", True) if what.found.doubted else ("failed", asked)
    elif what.result != "unsure":
        asked = asked or what.result == "other" or not what.patient
    if now.status != wanted:
        return f"what was {what.result} is on record as {now.status}"
    if now.asked != asked:
        return "nobody is asked what only people can say" if asked else "people are asked what need not be asked"
    return ""


def _proven(what: Recorded, was: Filing, now: Filing, after: World) -> str:
    ticket = after.tickets[what.hash]
    if now.status == "filed" and not ticket.made:
        return "it is said to be filed, and is not there"
    if now.status == "failed" and (ticket.made or ticket.flying):
        return "it is said to have failed, and is there"
    if was.status == "unknown" and now.status not in ("unknown", "filed"):
        return "an unknown outcome is decided by nobody"
    if was.status in ("failed", "left") and now.status != "filed":
        return "what a person is to settle moves by itself"
    if now.status == "intended" and not what.repeatable and not after.risked[what.hash] and (ticket.made or ticket.flying):
        return "what was sent is to be sent again"
    if was.status == "filed" and now.status != "filed":
        return "what is filed moves"
    return ""


def i8(before: World, what: Happened, after: World) -> str:
    """Each act is answered, by what is so."""
    if isinstance(what, Stopped):
        return f"a turn fails, or a step: {what.why}"
    if isinstance(what, Hurried) and (filing := before.filings[what.hash]) and filing.status != "sent":
        return "a pause is cut short"
    if isinstance(what, Untied) and not what.kept:
        return "a ticket that could not be tied to its conversation is forgotten"
    if not isinstance(what, Turned):
        return ""
    if not what.answered:
        return "an act is not answered"
    if what.event[0] == "settle":
        wrong = _settled(what) or _goes_on(before, what, after)
        return wrong or (_led(what, after) if what.said else "")
    return _led(what, after) if what.event[0] != "outcome" or what.said else ""


def _settled(what: Turned) -> str:
    """A word of somebody who may decide, on the newest attempt of what is unsettled, counts; the others are told why not."""
    _, person, act, _, attempt = what.event
    filing, wanted = what.filing, ""
    if person not in ALLOWED:
        return ""
    if filing is None:
        return "" if (what.then, what.row, what.move) == ("refused", "none", "") else "nothing is there to be settled"
    if filing.status in ("failed", "unknown", "left") and attempt == filing.attempt:
        leaves = {"failed": "withdraw", "unknown": "leave", "left": ""}[filing.status]
        wanted = {"again": "again", "leave": leaves, "there": "file" if what.proven else ""}[act]
    if what.move != wanted:
        return f"somebody's word ({act}) on what is {filing.status} does not count, or counts though it must not"
    if not wanted:
        why = {"filed": "filed", "intended": "busy", "sent": "busy"}.get(filing.status)
        why = why or ("late" if attempt != filing.attempt else "unproven" if act == "there" else "gone")
        if (what.then, what.row) != ("refused" if why == "unproven" else "already", why):
            return f"somebody is told {what.row} of what is {filing.status}"
    return ""


def _goes_on(before: World, what: Turned, after: World) -> str:
    """Somebody's word is on record as what it is, of what they saw, and the conversation that waits for the filing knows it."""
    session, was, filing = after.session, before.filings[what.event[3]], after.filings[what.event[3]]
    if what.move not in ("", "file") and was and what.filing and was.status != what.filing.status:
        return "somebody's word counts for what has become of it meanwhile"
    wanted = {"again": "intended", "leave": "left", "file": "filed", "withdraw": ""}.get(what.move)
    if wanted is not None and (filing.status if filing else "") != wanted:
        return "somebody's word is on record as something else"
    waits = session.gate == "file" and after.cards[session.approved].content == what.event[3]
    lags = waits and what.move == "again" and session.outcome != "none"
    return "it is on its way again, and whoever speaks is asked to settle it" if lags else ""


def _led(what: Turned, after: World) -> str:
    """What people are shown fits what they did."""
    session = after.session
    if what.event[0] == "click" and not what.decided:
        return ""
    if session.over:
        ended = session.outcome if session.outcome != "none" else session.closed
        return "" if (session.gate, what.said) == ("none", ended) else "what is over is not told as what it is"
    if session.approved >= 0:
        return ""  # I3
    if session.wish:
        return "" if session.gate == "sure" else "nobody is asked whether the draft is to be lost"
    if session.draft in (0, VAGUE):
        return "" if session.gate == "ask" else "what is missing is not asked for"
    if session.draft == GIVEN_UP:
        return "" if (session.gate, what.said) == ("none", "nothing") else "nobody has said anything, and something is shown"
    if what.opened and session.draft == what.rejected and not what.show:
        return "what was rejected is shown again, and nobody asked"
    if session.gate == "ask":
        return "" if session.draft == session.rejected and not what.show else "people are asked instead of shown the ticket"
    return "" if session.gate == "preview" else "the ticket is not shown"


INVARIANTS: dict[str, Invariant] = {"I1": i1, "I2": i2, "I3": i3, "I4": i4, "I5": i5, "I6": i6, "I7": i7, "I8": i8}


class Possible(NamedTuple):
    """What must be possible from wherever it is needed, by what happens by itself: without any further act of people."""

    invariant: str
    wrong: str
    """What is so if it is not possible."""
    hashes: bool
    """It is about one ticket."""
    needed: Callable[[World, int, Machine], bool]
    """Whether it must be possible from a world."""
    reached: Callable[[World, int, Machine], bool]
    """Whether it is so in a world."""


def _at_rest(world: World, _: int, __: Machine) -> bool:
    """Whether all that was accepted is taken, and nothing waits but for a person who was asked."""
    if world.inbox or any(world.workers):
        return False
    for filing in world.filings:
        if filing and not (filing.status in ("filed", "failed", "left") or (filing.status == "unknown" and filing.asked)):
            return False
    session = world.session
    if session.gate != "file":
        return True
    filing = world.filings[world.cards[session.approved].content]
    return filing is not None and filing.status == session.outcome and filing.status in ("failed", "unknown")


def _may_be_filed(world: World, hash_: int, machine: Machine) -> bool:
    """Whether it is approved, nothing is known that only a person could settle, and nobody's word is being taken."""
    filing, ticket = world.filings[hash_], world.tickets[hash_]
    if filing is None or any(isinstance(work, Taking) and work.event[0] == "settle" for work in world.workers):
        return False
    one = ticket.made == 1 and ticket.seen != "edited"
    if filing.status == "intended":
        return one or not ticket.made or not filing.doubted
    if filing.status == "sent" and machine.bounds.repeatable:
        return one or not any(isinstance(work, Doing) and work.phase in ("wait", "record") for work in world.workers)
    return one and filing.status in ("sent", "unknown")


def _is_filed(world: World, hash_: int, _: Machine) -> bool:
    filing = world.filings[hash_]
    return filing is not None and filing.status == "filed"


def _is_tied(world: World, hash_: int, machine: Machine) -> bool:
    """Whether the next thing may be that it is tied to its conversation."""
    idle = _is_filed(world, hash_, machine) and not any(world.workers)
    return idle and any(label[0] == "ties" and label[2] == hash_ for label, _, _ in machine.inner(world))


POSSIBLE = (
    Possible("I8", "something waits for ever, and nobody is asked", False, lambda *_: True, _at_rest),
    Possible("I7", "what could be filed, or found, never is", True, _may_be_filed, _is_filed),
    Possible("I8", "a ticket is never tied to its conversation", True, _is_filed, _is_tied),
)
"""A promise that nothing wrong happens is kept by what does nothing: this is what must be able to happen."""
