"""The rules: six tables that say what happens next, and are read by all that makes it happen.

`DECISIONS` is what `decide` does when something came in; `JUDGEMENTS` is what a click on a card comes to; `SETTLEMENTS` is
what a person's word on an unsettled filing comes to. `STEPS` is what is next for a filing, `RESULTS` what comes of that, and
`MOVES` which state of a filing may be followed by which: the database writes nothing else.

A row is a set of facts that must hold, and what follows; the first row that fits counts. The graph, the gates, the shell, the
ladder and the ledger read these rows, and so does the checker in `tests/protocol`. `docs/protocol.md` is drawn from them, and
says what is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Effect = Literal["answer", "run", "close", "record", "intend", "open", "settle", "mark", "doubt", "tell"]

EFFECTS: Mapping[Effect, str] = {
    "answer": "whoever did it is told what it came to",
    "run": "the graph is resumed with it",
    "close": "the open card shows what became of it",
    "record": "the decision is put on record; if there is one, the turn fails",
    "intend": "the filing is put on record, with the job that takes it to the tracker",
    "open": "a card opens, and takes the place of the one that is open",
    "settle": "the filing moves, or the turn is taken anew if it is not as it was found",
    "mark": "that it is sent is on record before it is",
    "doubt": "a ticket may be there from now on, whatever a later attempt is answered",
    "tell": "the conversation is told by an event, in the same transaction",
}
"""What a row makes happen beside `then`. All of a turn's are committed together."""


@dataclass(frozen=True)
class Row:
    """A rule: where all facts in `when` hold (a tuple: any of these), `then` follows. `why` says it in words."""

    name: str
    then: str
    why: str
    when: Mapping[str, object] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()


def first(rows: Sequence[Row], facts: object) -> Row:
    """The first row whose facts all hold. The last row of each table has no condition, so that there always is one."""

    def holds(name: str, wanted: object) -> bool:
        actual = getattr(facts, name)
        return actual in wanted if isinstance(wanted, tuple) else actual == wanted

    return next(row for row in rows if all(holds(name, wanted) for name, wanted in row.when.items()))


# --- A conversation ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    """The facts `decide` goes by."""

    outcome: Literal["none", "filed", "failed", "unknown", "left"] = "none"
    closed: Literal["", "linked", "forgotten"] = ""
    """A person ended it without a filing."""
    wish: Literal["", "start over", "forget"] = ""
    """What somebody asks for that would lose the draft."""
    approved: bool = False
    """A decision has approved the sealed ticket."""
    to_ask: bool = False
    """Something needed is missing and may still be asked for."""
    previewable: bool = True
    """There is a title, which every ticket needs."""
    rejected_same: bool = False
    """The draft seals to what was rejected last."""
    asked_to_show: bool = False
    looked: bool = True
    """It was looked whether there is such a ticket."""


DECISIONS = (
    Row("filed", "end", "The ticket exists: the conversation about it is over.", {"outcome": "filed"}),
    Row("left", "end", "Nobody can tell whether it exists, and a person left it so.", {"outcome": "left"}),
    Row("linked", "end", "Somebody said which ticket it is: that one is linked.", {"closed": "linked"}),
    Row("forgotten", "end", "Somebody gave it up.", {"closed": "forgotten"}),
    Row("filing", "file_ticket", "It is approved: wait for what becomes of it.", {"approved": True}),
    Row("sure", "ask_user", "The draft would be lost: ask whether that is meant.", {"wish": ("start over", "forget")}),
    Row("incomplete", "ask_user", "Something is missing: ask.", {"to_ask": True}),
    Row("nothing", "end", "Nobody has said enough for a ticket.", {"previewable": False}),
    Row(
        "rejected",
        "ask_user",
        "This was rejected: ask what to change.",
        {"rejected_same": True, "asked_to_show": False},
    ),
    Row("new", "find_similar", "Before it is shown first: look whether there is such a ticket.", {"looked": False}),
    Row("ready", "preview_ticket", "Show exactly what would be filed.", effects=("open",)),
)

# --- A click on a card -------------------------------------------------------------------------------------------------

CARD_DAYS = 30
"""Days for which a card can be decided after it was shown last."""


@dataclass(frozen=True)
class Click:
    """The facts a click is judged by."""

    act: Literal["approve", "reject"]
    allowed: bool
    """The policy lets this person decide."""
    card: Literal["none", "open", "superseded", "approved", "rejected", "expired"]
    """The state of the card that was clicked; none: no such card was ever shown in this session."""
    standing: Literal["none", "approved", "rejected"] = "none"
    """The decision on record for the card's session and hash."""
    left: bool = False
    """Nobody could tell whether the ticket of that decision was filed, and a person left it so."""
    linked: bool = True
    """If it names the ticket that it is instead: that one was offered, and the conversation is linked there."""
    late: bool = False
    """The card was last shown more than `CARD_DAYS` before the click was accepted."""


_DECIDES: tuple[Effect, ...] = ("run", "close", "record", "answer")

JUDGEMENTS = (
    Row("forbidden", "refused", "The policy does not let this person decide.", {"allowed": False}, ("answer",)),
    Row("unknown", "refused", "No card with this hash was shown here.", {"card": "none"}, ("answer",)),
    Row(
        "doubted",
        "already",
        "It was approved before, and left in doubt.",
        {"standing": "approved", "left": True},
        ("answer",),
    ),
    Row(
        "decided",
        "already",
        "Somebody approved this before; the first decision stands.",
        {"standing": "approved"},
        ("answer",),
    ),
    Row(
        "expired",
        "stale",
        "It was shown too long ago: the same is shown anew.",
        {"card": "open", "late": True},
        ("run", "close", "open", "answer"),
    ),
    Row("approve", "approved", "The card is the current one.", {"card": "open", "act": "approve"}, (*_DECIDES, "intend")),
    Row(
        "unlinked",
        "refused",
        "The ticket that it is said to be cannot be linked.",
        {"card": "open", "linked": False},
        ("answer",),
    ),
    Row("reject", "rejected", "The card is the current one.", {"card": "open", "act": "reject"}, _DECIDES),
    Row("discarded", "already", "Somebody rejected this card before.", {"card": ("approved", "rejected")}, ("answer",)),
    Row("stale", "stale", "The card was put away: it is no longer the current one.", effects=("answer",)),
)


def judge(click: Click) -> Row:
    """What a click comes to: `approved`, `rejected`, `stale`, `already` or `refused`."""
    return first(JUDGEMENTS, click)


# --- A person's word on a filing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settling:
    """The facts a settlement is judged by."""

    act: Literal["there", "again", "leave"]
    allowed: bool
    """The policy lets this person decide."""
    filing: Literal["none", "intended", "sent", "filed", "failed", "unknown", "left"]
    current: bool = True
    """It is about the attempt that was made last."""
    proven: bool = False
    """The ticket that is said to be there is the one that was approved."""


_SETTLES: tuple[Effect, ...] = ("settle", "run", "answer")

SETTLEMENTS = (
    Row("forbidden", "refused", "The policy does not let this person decide.", {"allowed": False}, ("answer",)),
    Row("none", "refused", "Nothing was approved here, or its approval was withdrawn.", {"filing": "none"}, ("answer",)),
    Row("filed", "already", "The ticket exists.", {"filing": "filed"}, ("answer",)),
    Row("busy", "already", "It is on its way to the tracker.", {"filing": ("intended", "sent")}, ("answer",)),
    Row("late", "already", "Somebody settled that attempt before, and another was made.", {"current": False}, ("answer",)),
    Row("there", "filed", "It is there: it carries the approval's marker.", {"act": "there", "proven": True}, _SETTLES),
    Row("unproven", "refused", "What is there is not what was approved, or cannot be read.", {"act": "there"}, ("answer",)),
    Row("again", "intended", "It is sent once more, under the approval that stands.", {"act": "again"}, _SETTLES),
    Row(
        "withdraw",
        "withdrawn",
        "It surely is not there: its approval is withdrawn.",
        {"act": "leave", "filing": "failed"},
        _SETTLES,
    ),
    Row("gone", "already", "Somebody left it before.", {"act": "leave", "filing": "left"}, ("answer",)),
    Row("leave", "left", "Nobody can tell whether it is there, and nobody is to ask again.", effects=_SETTLES),
)


def settle(settling: Settling) -> Row:
    """What a settlement comes to: a new state of the filing, `already` or `refused`."""
    return first(SETTLEMENTS, settling)


# --- A filing ----------------------------------------------------------------------------------------------------------

FilingStatus = Literal["intended", "sent", "filed", "failed", "unknown", "left"]
"""`failed`: it surely is not there. `unknown`: nobody can tell. `left`: nobody could tell, and a person left it so."""


@dataclass(frozen=True)
class Step:
    """The facts by which it is found what is next for a filing."""

    filing: FilingStatus
    """As it was found on record."""
    due: bool = True
    repeatable: bool = False
    """The tracker itself makes one ticket of an approval, however often it is sent."""


STEPS = (
    Row("over", "rest", "Only a person's word leads on from here.", {"filing": ("failed", "left")}),
    Row("repeat", "send", "The tracker takes it only once.", {"filing": "sent", "repeatable": True}),
    Row("lost", "doubt", "The process that sent it ended: nobody can tell what became of it.", {"filing": "sent"}),
    Row("early", "rest", "Its pause is not over, or nothing more is to be done.", {"due": False}),
    Row("send", "send", "It is approved, and nobody has sent it.", {"filing": "intended"}, ("mark",)),
    Row("look", "look", "It may be there: look for its marker.", {"filing": "unknown"}),
    Row("link", "link", "It is there: tie it to its conversation."),
)


Came = Literal["made", "found", "other", "refused", "later", "unsure", "nothing"]
"""`other`: a ticket has the marker, and does not read as it was approved. `later`: it surely was not sent."""


@dataclass(frozen=True)
class Result:
    """The facts of what came of a step."""

    result: Came
    doubted: bool = False
    """An attempt before got no answer."""
    patient: bool = True
    """It was not tried or looked for long enough yet."""


RESULTS = (
    Row("made", "file", "The tracker says so, with a key.", {"result": "made"}),
    Row("found", "file", "It has the marker, and reads as it was approved.", {"result": "found"}),
    Row("unsure", "lose", "It was sent, and no answer tells what became of it.", {"result": "unsure"}),
    Row("later", "put off", "It surely was not sent: once more after a pause.", {"result": "later", "patient": True}),
    Row(
        "doubted",
        "ask",
        "This time it was not made; of an earlier attempt nobody can tell.",
        {"result": ("refused", "later"), "doubted": True},
    ),
    Row("refused", "fail", "It surely is not there.", {"result": ("refused", "later")}),
    Row("in vain", "put off", "Not found so far, which proves nothing.", {"result": "nothing", "patient": True}),
    Row("puzzled", "ask", "It is not found, or is not what was approved: a person has to say."),
)


@dataclass(frozen=True)
class Moving:
    """The facts by which a filing moves, under its row's lock."""

    move: Literal["send", "put off", "lose", "file", "fail", "ask", "again", "leave", "withdraw"]
    filing: FilingStatus
    """As it is on record now."""
    current: bool = True
    """The move is about the attempt that was made last."""


MOVES = (
    Row("send", "sent", "Only what was intended is sent.", {"move": "send", "filing": "intended"}),
    Row("put off", "intended", "It surely was not sent.", {"move": "put off", "filing": "sent", "current": True}),
    Row("look again", "unknown", "It is looked for again.", {"move": "put off", "filing": "unknown", "current": True}),
    Row("link again", "filed", "It is tied again.", {"move": "put off", "filing": "filed", "current": True}),
    Row(
        "lose",
        "unknown",
        "Nobody can tell, and nothing is sent again without a person's word.",
        {"move": "lose", "filing": "sent", "current": True},
        ("doubt",),
    ),
    Row(
        "file",
        "filed",
        "There is proof of it, whichever attempt made it.",
        {"move": "file", "filing": ("intended", "sent", "unknown", "failed", "left")},
        ("tell",),
    ),
    Row("fail", "failed", "It surely is not there.", {"move": "fail", "filing": "sent", "current": True}, ("tell",)),
    Row(
        "ask",
        "unknown",
        "Nobody can tell, and people are asked.",
        {"move": "ask", "filing": ("sent", "unknown"), "current": True},
        ("doubt", "tell"),
    ),
    Row(
        "again",
        "intended",
        "A person lets it be sent: the next attempt.",
        {"move": "again", "filing": ("failed", "unknown", "left"), "current": True},
    ),
    Row("leave", "left", "A person leaves it in doubt.", {"move": "leave", "filing": "unknown", "current": True}),
    Row("withdraw", "withdrawn", "Its approval goes with it.", {"move": "withdraw", "filing": "failed", "current": True}),
    Row("void", "", "It is not as it was taken to be: nothing is written."),
)
