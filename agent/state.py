"""The graph's state: the draft, what was last shown and decided, and a bounded window of what was said."""

from collections.abc import Sequence
from typing import Annotated, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel, Field

from agent.draft import TicketDraft
from agent.ports import ModelCall
from agent.projects import Project
from agent.protocol import FilingOutcome, Likeness, PreviewRequest, Question, Reply
from agent.sealing import Destination

WINDOW = 8
"""Messages of people and of the agent that the state keeps; the inbox has them all."""

WINDOW_CHARACTERS = 24_000
"""Characters those messages may have together; the newest is kept whatever its length."""


def window(left: Sequence[AnyMessage], right: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Adds messages and forgets old ones: the state stays small however long a thread is.

    Of the gates' calls only the newest stays, with its answer: a call without its ToolMessage would be no valid history.
    """
    merged: list[AnyMessage] = list(add_messages(list(left), list(right)))  # type: ignore[arg-type]
    calls = [message for message in merged if isinstance(message, AIMessage) and message.tool_calls]
    newest = {call["id"] for call in calls[-1].tool_calls} if calls else set()
    talk = [m for m in merged if not (isinstance(m, ToolMessage) or (isinstance(m, AIMessage) and m.tool_calls))]
    kept, room = {id(message) for message in calls[-1:]}, WINDOW_CHARACTERS
    for message in reversed(talk[-WINDOW:]):
        room -= len(str(message.content))
        if room < 0 and message is not talk[-1]:
            break
        kept.add(id(message))
    return [m for m in merged if id(m) in kept or (isinstance(m, ToolMessage) and m.tool_call_id in newest)]


class Approval(BaseModel):
    """The decision that a sealed ticket may be filed."""

    preview_id: str = ""
    draft_hash: str = ""
    by: str = ""


class Refusal(BaseModel):
    """A field's value, by its digest, that the tracker did not take, and what it said of it."""

    field: str
    digest: str
    said: str


class State(BaseModel):
    """Everything a conversation carries from turn to turn. Every field has a default, so that old states load."""

    messages: Annotated[list[AnyMessage], window] = Field(default_factory=list)
    draft: TicketDraft = Field(default_factory=TicketDraft)
    event_id: str = ""
    """The event that is being taken in; the ids of what it leads to derive from it."""
    show: bool = False
    """This event asks for the card, whatever was rejected before."""
    asking: list[Question] = Field(default_factory=list)
    """What was asked last and is not answered yet."""
    asked: dict[str, int] = Field(default_factory=dict)
    """How often each missing field was asked for."""
    requester: str = ""
    """Who asked for this ticket."""
    destination: Destination | None = None
    """Where it goes, if its place has settled that."""
    project: Project | None = None
    """The destination as its tracker describes it."""
    undescribed: str = ""
    """Why its tracker could not describe it."""
    quiet: bool = False
    """This event was people talking to each other, and changed nothing: nobody waits for a word from the agent."""
    unheard: bool = False
    """This event was a message that changed nothing: what was asked stays unanswered by it."""
    preview: PreviewRequest | None = None
    """The card shown last, open or not."""
    card_open: bool = False
    """The card shown last waits for a decision."""
    rejected_hash: str = ""
    wish: Literal["", "start over", "forget"] = ""
    """What somebody asked for that would lose the draft, until it is confirmed."""
    looked: bool = False
    """It was looked whether there is such a ticket."""
    similar: list[Likeness] = Field(default_factory=list)
    """What was found."""
    closed: Literal["", "linked", "forgotten"] = ""
    """How a person ended it without a filing."""
    linked: Likeness | None = None
    """The ticket that it is instead."""
    approval: Approval | None = None
    outcome: FilingOutcome | None = None
    refused: list[Refusal] = Field(default_factory=list)
    """What the tracker did not take of a draft that was approved before."""
    parked: list[Reply] = Field(default_factory=list)
    """What people said while the ticket was being filed: the start of the next one."""
    unread: list[Reply] = Field(default_factory=list)
    """What people said while the model did not answer, and the guided interview could not read."""
    missed: int = 0
    """How many such messages were too many to keep."""
    pointed: str = ""
    """The card whose button people were pointed to, who said that they approve without speaking to the agent."""
    spent: int = 0
    """Tokens that the model has taken for this conversation."""
    spent_told: bool = False
    """People were told that nothing is left to spend."""
    calls: list[ModelCall] = Field(default_factory=list)
    """The model calls of this event."""

    @property
    def over(self) -> bool:
        """Whether this ticket has come to its end."""
        return bool(self.closed) or (self.outcome is not None and self.outcome.status in ("filed", "left"))


def to_message(reply: Reply) -> HumanMessage:
    """A reply as the message that `extract` reads; the hand-made edits travel with it."""
    extra = reply.model_dump(mode="json", exclude={"type", "text", "event_id"}, exclude_defaults=True)
    return HumanMessage(reply.text, id=reply.event_id or None, additional_kwargs=extra)


def to_reply(message: HumanMessage) -> Reply:
    """The reply that a message carries, also one that a user interface put into the state itself."""
    known = {name: value for name, value in message.additional_kwargs.items() if name in Reply.model_fields}
    return Reply.model_validate({**known, "text": str(message.text), "event_id": message.id or ""})
