"""The protocol: what the graph asks for, and what may answer. What happens next is in the tables of `agent/rules.py`."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
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
    late: bool = False
    """The card was last shown too long before this."""
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
        names = ("draft_hash", "preview_id", "by", "same_as", "late", "event_id")
        known = {key: raw[key] for key in names if raw.get(key)}
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
