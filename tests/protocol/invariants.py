"""What must be true whatever happens: I1 to I8 of the protocol, as functions over one commit.

None of them reads the tables: they say of what was committed whether it may be so, by what really is: which card stood open,
who clicked, and how many tickets the tracker has.
"""

from collections.abc import Callable

from tests.protocol.model import ALLOWED, VAGUE, AcceptedTwice, Happened, Moved, Stopped, Turned, World

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
    _, person, act, card, link = what.event
    if what.decided and before.decided[what.decided[0]] == "approved":
        return "a second decision is taken on what is approved"
    if person not in ALLOWED or card < 0:
        return ""
    standing = before.decided[before.cards[card].content]
    if standing == "approved":
        left = what.filing is not None and what.filing.status == "left"
        if what.then != "already" or what.row != ("doubted" if left else "decided"):
            return "somebody is not told that it is approved already"
    elif before.cards[card].status == "open" and link != "another":
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
    if what.opened and any(card == (what.opened, "open") for card in before.cards):
        return "a new card is shown though nothing has changed"
    if what.event[0] != "click":
        return ""
    _, person, _, card, _ = what.event
    if what.decided and (card != what.decided[2] or before.cards[card].status != "open"):
        return "a decision is taken on another card than the one that was clicked"
    if what.decided and after.cards[card].status != what.decided[1]:
        return "the card does not say what was decided"
    if person not in ALLOWED:
        return ""
    if card < 0:
        return "" if (what.then, what.row) == ("refused", "unknown") else "somebody is not told that there is no such card"
    status = before.cards[card].status
    if before.decided[before.cards[card].content] == "approved":
        return ""
    if status != "open" and (what.then, what.row) != (
        ("stale", "stale") if status == "superseded" else ("already", "discarded")
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
    if what.event[0] == "click" and what.event[4] == "another" and what.event[3] >= 0:
        if what.decided:
            return "the conversation is linked to a ticket that was not offered"
        card = before.cards[what.event[3]]
        undecided = card.status == "open" and before.decided[card.content] != "approved"
        if person in ALLOWED and undecided and what.then != "refused":
            return "somebody is not told that it could not be linked"
    return ""


def i7(before: World, what: Happened, after: World) -> str:
    """What nobody can tell is settled by the ticket itself or by a person; nothing is said to be there or not without proof."""
    if isinstance(what, Moved):
        ticket = after.tickets[what.hash]
        if what.now == "filed" and not ticket.made:
            return "it is said to be filed, and is not there"
        if what.now == "failed" and (ticket.made or ticket.flying):
            return "it is said to have failed, and is there"
        if what.was == "unknown" and what.now not in ("unknown", "filed"):
            return "an unknown outcome is decided by nobody"
        if what.was in ("failed", "left") and what.now != "filed":
            return "what a person is to settle moves by itself"
        if what.now == "intended" and not what.repeatable and not after.risked[what.hash] and (ticket.made or ticket.flying):
            return "what was sent is to be sent again"
        if what.was == "filed" and what.now != "filed":
            return "what is filed moves"
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


def i8(before: World, what: Happened, after: World) -> str:
    """Each act is answered, by what is so."""
    if isinstance(what, Stopped):
        return f"a turn fails, or a step: {what.why}"
    if not isinstance(what, Turned):
        return ""
    if not what.answered:
        return "an act is not answered"
    if what.event[0] == "settle":
        wrong = _settled(what)
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
    if session.draft == VAGUE:
        return "" if session.gate == "ask" else "what is missing is not asked for"
    if session.draft == 0:
        return "" if (session.gate, what.said) == ("none", "nothing") else "nobody has said anything, and something is shown"
    if what.opened and session.draft == what.rejected and not what.show:
        return "what was rejected is shown again, and nobody asked"
    if session.gate == "ask":
        return "" if session.draft == session.rejected and not what.show else "people are asked instead of shown the ticket"
    return "" if session.gate == "preview" else "the ticket is not shown"


INVARIANTS: dict[str, Invariant] = {"I1": i1, "I2": i2, "I3": i3, "I4": i4, "I5": i5, "I6": i6, "I7": i7, "I8": i8}


def settled(world: World) -> bool:
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
