"""The protocol: what the graph asks for, what may answer, and the three tables that say what happens next.

`DECISIONS` is what `decide` does when something came in; `JUDGEMENTS` is what a click on a card comes to; `SETTLEMENTS` is
what a person's word on an unsettled filing comes to. All are data: a row is a set of facts that must hold and what follows;
the first row that fits counts. `decide`, `judge` and `settle` read these rows and no others; what is committed is what the
graph then holds.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from agent.draft import FIELDS, Attachment, Conflict, Unsaid
from agent.operations import Operation
from agent.projects import Project
from agent.sealing import Destination, FieldChange

# --- Requests: what a gate interrupts with -----------------------------------------------------------------------------


class Question(BaseModel):
    """One thing to ask people: the draft's field it would fill (empty: any), and the words."""

    field: str = ""
    text: str
    about: Literal["", "conflict", "start over", "forget"] = ""
    """What else than a field is asked about."""
    options: list[str] = Field(default_factory=list)
    """The answers to choose from; other words may answer it, too, but for a question of yes or no."""
    by: list[str] = Field(default_factory=list)
    """Who says so, option by option."""
    id: str = ""
    """By which a button names its question; empty if it has no options."""


class Likeness(BaseModel):
    """A ticket there is that may be the same, and in a phrase why."""

    key: str
    url: str = ""
    title: str = ""
    why: str = ""


class AskRequest(BaseModel):
    """`ask_user` waits for a reply to these questions."""

    questions: list[Question]


class SimilarRequest(BaseModel):
    """`find_similar` waits for the tickets there are that are like this one."""

    destination: Destination
    title: str
    problem: str


class PreviewRequest(BaseModel):
    """`preview_ticket` waits for a decision on exactly this sealed ticket, shown on the card `preview_id`."""

    preview_id: str
    draft_hash: str
    version: int
    sealed: dict[str, Any]
    diff: list[FieldChange] = Field(default_factory=list)
    unanswered: list[str] = Field(default_factory=list)
    """Fields that were asked for and left open; shown on the card, and not filed."""
    not_said: list[str] = Field(default_factory=list)
    """Fields of the type's template that nobody spoke of."""
    unsaid: list[Unsaid] = Field(default_factory=list)
    """What a model gave and nobody said."""
    conflicts: list[Conflict] = Field(default_factory=list)
    """What people said differently, and nobody decided."""
    unread: int = 0
    """Newer messages that were not considered."""


class FileRequest(BaseModel):
    """`file_ticket` waits for what became of the filing of the sealed ticket that was approved."""

    preview_id: str
    draft_hash: str
    approved_by: str


Request = AskRequest | SimilarRequest | PreviewRequest | FileRequest

_ACTIONS: dict[str, tuple[type[BaseModel], str, list[str]]] = {
    "ask_user": (AskRequest, "Answer the questions in a sentence or two.", ["respond"]),
    "find_similar": (
        SimilarRequest,
        'Look for tickets that may be the same: {"type": "found", "tickets": [{"key": "OPS-1", "title": "..."}]}; or say none.',
        ["respond"],
    ),
    "preview_ticket": (
        PreviewRequest,
        "This exact ticket would be filed. Approve it, reject it, edit its fields, or say what to change.",
        ["approve", "edit", "reject", "respond"],
    ),
    "file_ticket": (
        FileRequest,
        'The ticket was approved. Answer what became of it: {"status": "filed", "key": "OPS-1", "url": "..."}.',
        ["respond"],
    ),
}
"""Gate name -> its request, what a person is told, and the decisions that user interfaces may offer. Names are frozen."""


def to_hitl(request: Request) -> dict[str, Any]:
    """The request in the form that LangGraph Studio, Agent Chat UI and Agent Inbox display (HITLRequest)."""
    name = next(name for name, (model, _, _) in _ACTIONS.items() if isinstance(request, model))
    _, description, decisions = _ACTIONS[name]
    if isinstance(request, PreviewRequest) and request.unsaid:
        description += " Nobody said this: " + "; ".join(f"{one.field}: {one.value}" for one in request.unsaid)
    return {
        "action_requests": [{"name": name, "args": request.model_dump(mode="json"), "description": description}],
        "review_configs": [{"action_name": name, "allowed_decisions": decisions}],
    }


def from_hitl(value: Mapping[str, Any]) -> Request:
    """The typed request back from what a gate interrupted with. Raises KeyError or ValidationError if it is none of ours."""
    action = value["action_requests"][0]
    request: Request = _ACTIONS[action["name"]][0].model_validate(action["args"])  # type: ignore[assignment]
    return request


# --- Answers: what a gate is resumed with ------------------------------------------------------------------------------


class Setting(BaseModel):
    """What is settled for the place of a conversation: where its tickets go, and what they start with."""

    destination: Destination = Field(default_factory=Destination)
    project: Project | None = None
    """The destination as its tracker describes it; None if nothing is new about it."""
    problem: str = ""
    """Why it cannot be described."""
    issue_type: str = ""
    labels: list[str] = Field(default_factory=list)
    assignee: str = ""


class Reply(BaseModel):
    """Something a person said, or the fields they changed by hand."""

    type: Literal["reply"] = "reply"
    text: str = ""
    by: str = ""
    event_id: str = ""
    edits: list[Operation] = Field(default_factory=list)
    show: bool = False
    """Asks for the card as it stands, whatever was rejected before."""
    anew: bool = False
    """Asks for the next ticket once this one is filed, as the word *new* does; before that, for the card."""
    addressed: bool = True
    """Said to the agent. What people say to each other is heard, and answered only by what it changes."""
    thread: list["Reply"] = Field(default_factory=list)
    """What belongs to it, the oldest first: the thread so far, where this is what brought the agent into it; what it quotes."""
    left_out: int = 0
    """How many older messages of that thread were too many to read."""
    quoted: bool = False
    """Not said here: a message that is passed on, or the text of a file. Its words count, and it asks for nothing."""
    question: str = ""
    """The id of the question that it answers by a button."""
    permalink: str = ""
    files: list[Attachment] = Field(default_factory=list)
    setting: Setting | None = None
    settled: bool = False
    """Nothing is said: what is settled for the place has changed."""
    amends: Literal["", "edited", "deleted"] = ""
    """Nothing is said: the message `about` is no longer what it was."""
    about: str = ""


class Decision(BaseModel):
    """What one person decided about one card. A hash may be missing only where the card is named by its interrupt's id."""

    type: Literal["approve", "reject"]
    draft_hash: str | None = None
    preview_id: str | None = None
    by: str = ""
    reason: str = ""
    same_as: str = ""
    """A rejection because there is this ticket, which is linked instead."""
    event_id: str = ""


class Found(BaseModel):
    """The tickets there are that are like the draft, at most three, the likeliest first."""

    type: Literal["found"] = "found"
    tickets: list[Likeness] = Field(default_factory=list)
    problem: str = ""
    """Why some place could not be looked in."""
    event_id: str = ""


class FilingOutcome(BaseModel):
    """What became of an approved ticket. `unknown` is an outcome nobody can tell; it is never taken for a failure."""

    type: Literal["outcome"] = "outcome"
    status: Literal["filed", "failed", "unknown", "left"]
    """`left`: it was unknown, and a person left it so."""
    draft_hash: str | None = None
    key: str = ""
    url: str = ""
    reason: str = ""
    errors: dict[str, str] = Field(default_factory=dict)
    """Fields of the draft that the tracker does not take as they are, and what it says of them."""
    attempt: int = 1
    event_id: str = ""

    @model_validator(mode="after")
    def _filed_as(self) -> Self:
        if self.status == "filed" and not self.key:
            raise ValueError("a filed ticket has a key")
        return self


class Settlement(BaseModel):
    """What one person decided about a filing that failed or that nobody can tell the outcome of."""

    type: Literal["settle"] = "settle"
    act: Literal["there", "again", "leave"]
    draft_hash: str | None = None
    attempt: int | None = None
    """The attempt that it is about; another one's is not what this person saw."""
    key: str = ""
    """The key of the ticket that is there."""
    by: str = ""
    becomes: Literal["", "intended", "left", "withdrawn"] = ""
    """What becomes of the filing, as our shell judged; empty where there is no shell."""
    event_id: str = ""


class Unreadable(BaseModel):
    """An answer that could not be read, and one sentence that says what would be."""

    type: Literal["unreadable"] = "unreadable"
    problem: str
    event_id: str = ""


Answer = Reply | Decision | Found | FilingOutcome | Settlement | Unreadable


class _Typed(BaseModel):
    answer: Annotated[Reply | Decision | Found | FilingOutcome | Settlement, Field(discriminator="type")]


_SPELLINGS = {"accept": "approve", "approve": "approve", "reject": "reject", "ignore": "reject"}
_SAYINGS = ("respond", "response", "reply")


def read_answer(raw: Any, request: Request) -> Answer:
    """Reads an answer in any spelling that reaches a gate; never raises.

    Our shell resumes with the dump of a typed answer. Studio and Agent Chat UI send `{"decisions": [{"type": ...}]}`,
    Agent Inbox a list `[{"type": "accept", "args": ...}]`, and people a bare string or object.
    """
    for wrapped in ("decisions", 0):
        if isinstance(raw, dict) and wrapped in raw:
            raw = raw[wrapped]
        if isinstance(raw, list) and len(raw) == 1:
            raw = raw[0]
    try:
        answer = _read(raw, request)
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError):
        takes = "a text" if not isinstance(request, PreviewRequest) else "approve, reject, edit or a text"
        answer = Unreadable(problem=f"That answer could not be read, so nothing was changed: send {takes}.")
    if not answer.event_id:  # no shell gave one: the same answer to the same request is the same event
        seed = json.dumps([to_hitl(request), raw], sort_keys=True, default=str)
        answer.event_id = hashlib.sha256(seed.encode()).hexdigest()[:16]
    return answer


def _read(raw: Any, request: Request) -> Answer:
    if isinstance(raw, str):
        return _text(raw, request)
    kind = raw.get("type", "outcome" if "status" in raw else "reply")
    if kind in _SPELLINGS:
        known = {key: raw[key] for key in ("draft_hash", "preview_id", "by", "same_as", "event_id") if raw.get(key)}
        reason = raw.get("reason") or raw.get("message") or ""
        return Decision(type=_SPELLINGS[kind], reason=reason, **known)  # type: ignore[arg-type]
    if kind in _SAYINGS and "text" not in raw and not raw.get("edits") and not raw.get("show"):
        said = raw.get("message", raw.get("args", ""))
        return _text(said if isinstance(said, str) else said["text"], request)
    if kind == "edit":
        action = raw.get("edited_action") or raw.get("args") or {}
        return _edited(action.get("args", action), request)
    return _Typed.model_validate({"answer": {"type": kind, **raw}}).answer


def _text(said: str, request: Request) -> Reply | Found | FilingOutcome | Settlement:
    if isinstance(request, SimilarRequest) and said.strip(" .!").lower() in ("", "none", "no"):
        return Found()
    if isinstance(request, FileRequest):  # user interfaces can only answer with text: an outcome in JSON is one
        for known in (FilingOutcome, Settlement):
            with suppress(ValidationError):
                return known.model_validate_json(said)
    return Reply(text=said)


def _edited(args: Mapping[str, Any], request: Request) -> Reply:
    """A card edited in a user interface, as the operations that the same changes by hand would be."""
    if not isinstance(request, PreviewRequest):
        raise ValueError("only a preview can be edited")
    before = {**request.sealed, **request.sealed.get("fields", {})}
    sealed = args.get("sealed", {})
    after = {**sealed, **sealed.get("fields", {}), **args}
    edits = []
    for name, value in after.items():
        field = "issue_type" if name == "type" else name
        if field in FIELDS and value != before.get(name):
            items = value if isinstance(value, list) else [] if value is None else [value]
            edits.append(Operation(field=field, value=[_as_text(item) for item in items]))
        if field == "custom" and value != before.get(name):
            edits += [Operation(field=f"custom.{key}", value=[str(item)]) for key, item in value.items()]
    if not edits:
        raise ValueError("nothing that can be edited was changed")
    return Reply(text="\n".join(f"{edit.field}: {', '.join(edit.value)}" for edit in edits), edits=edits)


def _as_text(item: Any) -> str:
    if isinstance(item, Mapping):  # a constraint
        return f"{item['key']}: {item['value']}" if item.get("key") else str(item["value"])
    return str(item)


def matches_card(answer: Decision, request: PreviewRequest) -> bool:
    """Whether a decision names this very card, as far as it names one."""
    return answer.draft_hash in (None, request.draft_hash) and answer.preview_id in (None, request.preview_id)


# --- Tables: what happens next -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A rule: where all facts in `when` hold (a tuple: any of these), `then` follows. `why` says it in words."""

    name: str
    then: str
    why: str
    when: Mapping[str, object] = field(default_factory=dict)


def first(rows: Sequence[Row], facts: object) -> Row:
    """The first row whose facts all hold. The last row of each table has no condition, so that there always is one."""

    def holds(name: str, wanted: object) -> bool:
        actual = getattr(facts, name)
        return actual in wanted if isinstance(wanted, tuple) else actual == wanted

    return next(row for row in rows if all(holds(name, wanted) for name, wanted in row.when.items()))


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
    Row("ready", "preview_ticket", "Show exactly what would be filed."),
)


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


JUDGEMENTS = (
    Row("forbidden", "refused", "The policy does not let this person decide.", {"allowed": False}),
    Row("unknown", "refused", "No card with this hash was shown here.", {"card": "none"}),
    Row("doubted", "already", "It was approved before, and left in doubt.", {"standing": "approved", "left": True}),
    Row("decided", "already", "Somebody approved this before; the first decision stands.", {"standing": "approved"}),
    Row("approve", "approved", "The card is the current one.", {"card": "open", "act": "approve"}),
    Row("unlinked", "refused", "The ticket that it is said to be cannot be linked.", {"card": "open", "linked": False}),
    Row("reject", "rejected", "The card is the current one.", {"card": "open", "act": "reject"}),
    Row("discarded", "already", "Somebody rejected this card before.", {"card": ("approved", "rejected")}),
    Row("stale", "stale", "A newer card took this one's place, or it expired."),
)


def judge(click: Click) -> Row:
    """What a click comes to: `approved`, `rejected`, `stale`, `already` or `refused`."""
    return first(JUDGEMENTS, click)


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


SETTLEMENTS = (
    Row("forbidden", "refused", "The policy does not let this person decide.", {"allowed": False}),
    Row("none", "refused", "Nothing was approved here, or its approval was withdrawn.", {"filing": "none"}),
    Row("filed", "already", "The ticket exists.", {"filing": "filed"}),
    Row("busy", "already", "It is on its way to the tracker.", {"filing": ("intended", "sent")}),
    Row("late", "already", "Somebody settled that attempt before, and another was made.", {"current": False}),
    Row("there", "filed", "It is there: it carries the approval's marker.", {"act": "there", "proven": True}),
    Row("unproven", "refused", "What is there is not what was approved, or cannot be read.", {"act": "there"}),
    Row("again", "intended", "It is sent once more, under the approval that stands.", {"act": "again"}),
    Row("withdraw", "withdrawn", "It surely is not there: its approval is withdrawn.", {"act": "leave", "filing": "failed"}),
    Row("gone", "already", "Somebody left it before.", {"act": "leave", "filing": "left"}),
    Row("leave", "left", "Nobody can tell whether it is there, and nobody is to ask again."),
)


def settle(settling: Settling) -> Row:
    """What a settlement comes to: a new state of the filing, `already` or `refused`."""
    return first(SETTLEMENTS, settling)
