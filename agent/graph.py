"""The graph: extract what was said, decide what is next, and wait at one of three gates.

It touches nothing outside. Whatever needs the world is a typed request that a gate interrupts with, and the answer that
it is resumed with; so the same graph runs in Slack, in a terminal, in LangGraph Studio and in a test.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from pydantic import ValidationError

from agent.draft import CUSTOM, TEXT_LIMIT, Operation, TicketDraft, apply, clean, first_line
from agent.listening import order_in, record, request_for, sources_for
from agent.projects import Project
from agent.protocol import (
    DECISIONS,
    PreviewRequest,
    Question,
    Reply,
    Situation,
    first,
)
from agent.sealing import Destination, SealedTicket, diff, seal
from agent.state import State, to_message, to_reply, window
from agent.trackers import Renderer
from skills.ask_user import ask_user
from skills.file_ticket import file_ticket
from skills.preview_ticket import preview_ticket
from skills.update_draft import update_draft

STEPS = 10
"""Nodes that one turn may run through; more is a loop, and an error."""

QUESTIONS = 3
"""Questions asked at a time, where the listener can match several answers."""

RE_ASKS = 2
"""How often a question is asked again before the preview shows it as unanswered."""

ASK = {
    "title": "What should the title be? One line.",
    "problem": "What is the problem, or what do you need?",
    "acceptance_criteria": "What must be true when this is done? One criterion a line, or *skip*.",
}
ASK_FOR_CHANGE = "What should change? Say it, or ask to *show* the card again as it was."
NOTHING_YET = "There is nothing to preview yet: tell me what the problem is, in a sentence."
EMPTY = "That message was empty, so nothing changed: say what the ticket is about."
AS_IT_WAS = "Nothing changed: it said that already."
BEING_FILED = "The ticket is being filed, as it was approved; what you said is kept for the next one."
NOT_TAKEN = "The tracker did not take the {field}: {said}. What should it be?"
NOT_DESCRIBED = "I cannot tell yet what {where} takes ({problem}), so there is no card: say *show* to try again."
LEFT = "It is left as it is: say *new* to start another ticket, and what it is about."
KEPT = "What was said meanwhile is kept: say *new* to start a ticket with it."

Graph = CompiledStateGraph[State, None, State, State]

_RESET = {
    name: field.get_default(call_default_factory=True)
    for name, field in State.model_fields.items()
    if name not in ("messages", "event_id", "show", "calls", "quiet", "unheard", "destination", "project", "undescribed")
}
"""The state's fields as they are at the start of a ticket."""


@dataclass(frozen=True)
class Listener:
    """Who reads the messages: a chat model, and what it is capable of."""

    model: BaseChatModel
    questions: int = QUESTIONS
    """How many questions at a time it can match answers to."""
    overhears: bool = True
    """It can make sense of what people say to each other; else only the requester and who speaks to it are read."""


def build(
    listener: Listener,
    renderers: Mapping[str, Renderer],
    destination: Destination,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Graph:
    """The compiled graph, over the trackers by name. `destination` is for sessions whose place has settled none.

    Studio brings its own checkpointer; the shell gives one that holds a single turn.
    """
    nodes = _Nodes(listener, renderers, destination)
    graph = StateGraph(State)
    graph.add_node("extract", nodes.extract)
    graph.add_node("decide", nodes.decide)
    graph.add_edge(START, "extract")
    graph.add_edge("extract", "decide")
    gates = [ask_user, preview_ticket, file_ticket]
    for gate in gates:
        graph.add_node(gate.name, ToolNode([gate], handle_tool_errors=False))
        graph.add_conditional_edges(gate.name, _after_gate, ["extract", "decide"])
    graph.add_conditional_edges("decide", _after_decide, [*(gate.name for gate in gates), END])
    compiled = graph.compile(checkpointer=checkpointer)
    compiled.config = {"recursion_limit": STEPS}  # with_config() would copy it without its output mapper and allow-list
    return compiled


async def _after_gate(state: State) -> str:
    return "extract" if isinstance(state.messages[-1], HumanMessage) else "decide"


async def _after_decide(state: State) -> str:
    last = state.messages[-1] if state.messages else None
    return last.tool_calls[0]["name"] if isinstance(last, AIMessage) and last.tool_calls else END


class _Nodes:
    """The two nodes of ours, with what they need: the listener, and where tickets go."""

    def __init__(self, listener: Listener, renderers: Mapping[str, Renderer], destination: Destination) -> None:
        self._listener, self._renderers, self._destination = listener, renderers, destination
        self._model = listener.model.bind_tools([update_draft])

    async def extract(self, state: State) -> dict[str, Any]:
        """Takes in the newest message: cleans it, has it read, and applies what it changes."""
        if not (said_last := [message for message in state.messages if isinstance(message, HumanMessage)]):
            return {"calls": []}  # started without a message: only `decide` has something to do
        reply = to_reply(said_last[-1])
        update: dict[str, Any] = {"event_id": reply.event_id, "show": False, "calls": [], "unheard": True, "quiet": False}
        if reply.amends:
            return update | {"quiet": True, "draft": _amended(state.draft, reply)}
        replies = [*reply.thread, reply.model_copy(update={"thread": []})]
        if state.outcome and state.outcome.status in ("filed", "left"):
            if (started := _started(state, reply)) is None:
                return update | {"quiet": not (reply.addressed or order_in(reply))}
            replies, update = started, update | _RESET | {"unheard": False}
        requester = state.model_copy(update=update).requester or reply.by
        update |= {"requester": requester, **_settled(state.model_copy(update=update), reply)}
        said: list[str] = []
        before = [message for message in state.messages if message.id != reply.event_id]
        messages: list[AnyMessage] = []
        for one in replies:  # more than one where a ticket starts with what was said before
            now = state.model_copy(update={**update, "messages": window(before, messages)})
            read = await self._read(now, one, reply.event_id, said)
            messages.append(read.pop("message"))
            read["unheard"] = read.get("unheard", False) and update["unheard"]
            update |= read
        update["quiet"] = update["unheard"] and not (update["show"] or reply.addressed)
        if said:
            messages.append(AIMessage("\n".join(said), id=f"{reply.event_id}:say"))
        return {**update, "messages": messages}

    async def _read(self, state: State, reply: Reply, event_id: str, told: list[str]) -> dict[str, Any]:
        """What one reply changes in the state, and the message that is kept of it; `told` gets what is to be said to it."""
        text, removed = clean(reply.text)
        said: list[str] = []
        if removed:
            said.append(f"I took {removed} invisible character{'s' * (removed > 1)} out of that message; the rest is kept.")
        reply = reply.model_copy(update={"text": text})
        update: dict[str, Any] = {}
        if reply.edits:
            update["draft"], problems = apply(state.draft, reply.edits, sources_for([], reply))
            said += problems or ([AS_IT_WAS] if update["draft"] is state.draft else [])
            reply = reply.model_copy(update={"text": text[:TEXT_LIMIT]})
        elif len(text) > TEXT_LIMIT:
            said.append(
                f"That message has {len(text):,} characters and I read {TEXT_LIMIT:,} at a time, so it changed nothing: "
                "send the essentials, or send it in parts."
            )
            reply = reply.model_copy(update={"text": text[:200] + " …"})
        elif order_in(reply):  # *new* too: the next ticket is begun already
            update["show"] = True
        elif text.strip():
            update |= await self._listen(state, reply, event_id, said)
        else:
            said += [] if reply.files or reply.setting else [EMPTY]
            update["unheard"] = True
        if reply.files:
            draft = update.get("draft", state.draft)
            known = {file.id for file in draft.attachments}
            new = [file for file in reply.files if file.id not in known]
            version = draft.version + (draft is state.draft)
            update["draft"] = draft.model_copy(update={"attachments": [*draft.attachments, *new], "version": version})
            update["unheard"] = False
        if reply.addressed or not update.get("unheard"):
            told += said
        return {**update, "message": to_message(Reply(text=reply.text, **_carried(reply)))}

    async def _listen(self, state: State, reply: Reply, event_id: str, said: list[str]) -> dict[str, Any]:
        request = request_for(state, reply)
        answer = await self._model.ainvoke(request)
        draft, sources, told = state.draft, sources_for(state.messages, reply), len(said)
        if answer.text:
            said.append(str(answer.text))
        for call in answer.tool_calls:
            if call["name"] != update_draft.name:
                continue  # a model has no other tool, whatever it calls for
            try:
                given = {"operations": call["args"].get("operations"), "draft": draft, "sources": sources}
                draft, problems = update_draft.invoke(given)
                said += problems
            except ValidationError:
                said.append("Part of that could not be read as a change to the draft; say it again in other words.")
        unheard = draft.content() == state.draft.content() and draft.skipped == state.draft.skipped
        if unheard and answer.tool_calls and len(said) == told:
            said.append(AS_IT_WAS)
        calls = [*state.calls, record(request, answer, event_id, len(state.calls))]
        return {"draft": draft, "unheard": unheard, "calls": calls}

    async def decide(self, state: State) -> dict[str, Any]:
        """Says by the rows of `agent.protocol.DECISIONS` what is next; the only way to a gate."""
        draft, questions = state.draft, self._questions(state)
        if not draft.title and not questions:  # asked in vain: the problem's first line stands in
            draft = _titled(draft)
        destination = state.destination or self._destination
        renderer, project = self._renderers[destination.tracker], state.project or Project(key=destination.project)
        if draft.title:
            questions += _of_tracker(state, destination) or renderer.questions(draft, project)
        questions = questions[: self._listener.questions]
        sealed = None if questions or not draft.title else seal(destination, renderer.render(draft, project))
        row = first(
            DECISIONS,
            Situation(
                outcome=state.outcome.status if state.outcome else "none",
                approved=state.approval is not None,
                to_ask=bool(questions),
                previewable=bool(draft.title),
                rejected_same=sealed is not None and sealed.draft_hash == state.rejected_hash,
                asked_to_show=state.show,
            ),
        )
        update: dict[str, Any] = {"draft": draft, "asking": [], "card_open": row.then == "preview_ticket"}
        match row.then:
            case "end":
                return update | _say(state, _closing(state, row.name))
            case "file_ticket":
                assert state.approval
                approval = state.approval
                args = {
                    "preview_id": approval.preview_id,
                    "draft_hash": approval.draft_hash,
                    "approved_by": approval.by,
                }
                late = bool(state.parked) and state.parked[-1].event_id == state.event_id
                return update | _call(state, "file_ticket", args, _meanwhile(state) if late else "")
            case "ask_user":
                if row.name == "rejected":
                    questions = [Question(text=ASK_FOR_CHANGE)]
                counts = {q.field: state.asked.get(q.field, 0) for q in questions if q.field}
                again = state.unheard and not state.quiet
                asked = state.asked | {name: n + 1 if again or not n else n for name, n in counts.items()}
                call = _call(state, "ask_user", {"questions": [question.model_dump() for question in questions]})
                return update | {"asking": questions, "asked": asked} | call
        assert sealed
        preview = self._preview(state, draft, sealed)
        return update | {"preview": preview, "rejected_hash": ""} | _call(state, "preview_ticket", preview.model_dump())

    def _questions(self, state: State) -> list[Question]:
        """What is missing or was not taken, as far as it is to be asked for (again)."""
        missing = [Question(field=field, text=ASK[field]) for field in state.draft.missing()]
        missing += [
            Question(field=one.field, text=NOT_TAKEN.format(field=one.field.removeprefix(CUSTOM), said=one.said.rstrip(". ")))
            for one in state.refused
            if one.digest == state.draft.digest(one.field)
        ]
        return [
            question
            for question in missing
            if question.field not in state.draft.skipped and state.asked.get(question.field, 0) <= RE_ASKS
        ]

    def _preview(self, state: State, draft: TicketDraft, sealed: SealedTicket) -> PreviewRequest:
        last = state.preview
        if last and state.card_open and last.draft_hash == sealed.draft_hash:
            return last  # nothing that would be filed has changed: the card stands
        return PreviewRequest(
            preview_id=hashlib.sha256(f"preview {state.event_id}".encode()).hexdigest()[:16],
            draft_hash=sealed.draft_hash,
            version=last.version + 1 if last else 1,
            sealed=sealed.payload,
            diff=diff(last.sealed if last else None, sealed.payload),
            unanswered=draft.missing(),
        )


def _of_tracker(state: State, destination: Destination) -> list[Question]:
    """The question that is left where a tracker has to be asked what it takes, and could not be."""
    if state.project or not state.undescribed:
        return []
    where = f"{destination.tracker} {destination.project}"
    return [Question(text=NOT_DESCRIBED.format(where=where, problem=state.undescribed))]


def _carried(reply: Reply) -> dict[str, Any]:
    """What the window remembers of a reply beside its text: who said it, and where it stands."""
    return reply.model_dump(include={"by", "event_id", "permalink", "addressed", "show"})


def _amended(draft: TicketDraft, reply: Reply) -> TicketDraft:
    """The draft with a mark on the evidence that rests on a message which is no longer what it was."""
    marked = [
        evidence.model_copy(update={"changed": reply.amends}) if evidence.message == reply.about else evidence
        for evidence in draft.evidence
    ]
    return draft if marked == draft.evidence else draft.model_copy(update={"evidence": marked})


def _settled(state: State, reply: Reply) -> dict[str, Any]:
    """Where the ticket goes, and for a new one what it starts with, as the place has settled it."""
    if reply.setting is None:
        return {}
    setting = reply.setting
    known = state.project if setting.destination == state.destination else None
    update: dict[str, Any] = {"destination": setting.destination, "project": setting.project or known}
    update["undescribed"] = setting.problem
    if state.draft == TicketDraft():
        given = {field: [*value] if isinstance(value, list) else [value] for field in ("issue_type", "labels", "assignee")
                 if (value := getattr(reply.setting, field))}  # fmt: skip
        update["draft"], _ = apply(state.draft, [Operation(field=field, value=value) for field, value in given.items()], {})
    return update


def _started(state: State, reply: Reply) -> list[Reply] | None:
    """What the next ticket starts with, if the reply asks for one with *new*: what was kept, and the rest of the reply."""
    word, *rest = reply.text.split(maxsplit=1) or [""]
    if order_in(reply) != "new" and word.lower().rstrip(":.!,") != "new":
        return None
    left = reply.model_copy(update={"text": "".join(rest), "anew": False})
    return [*state.parked, *([left] if left.text or left.files else [])]


def _titled(draft: TicketDraft) -> TicketDraft:
    line = first_line(draft.problem)
    evidence = next((one for one in draft.evidence if one.field == "problem"), None)
    if not line or not evidence:
        return draft.model_copy(update={"title": line})
    quoted = evidence.model_copy(update={"field": "title", "quote": line})
    return draft.model_copy(update={"title": line, "evidence": [*draft.evidence, quoted]})


def _meanwhile(state: State) -> str:
    """What somebody is told who says something before the ticket exists."""
    match state.outcome.status if state.outcome else "none":
        case "failed":
            return "The ticket was not filed, and its approval stands: settle that first; what you said is kept."
        case "unknown":
            return "Nobody knows yet whether the ticket was filed: settle that first; what you said is kept."
    return BEING_FILED


def _closing(state: State, row: str) -> str:
    if row == "nothing":
        return NOTHING_YET
    assert state.outcome
    if not isinstance(state.messages[-1], HumanMessage | AIMessage):  # the outcome itself just came in
        return LEFT if row == "left" else KEPT if state.parked else ""
    if row == "left":
        return LEFT
    return f"{state.outcome.key} is filed; say *new* for another, and what it is about."


def _say(state: State, text: str) -> dict[str, Any]:
    return {"messages": [AIMessage(text, id=f"{state.event_id}:end")] if text else []}


def _call(state: State, name: str, args: dict[str, Any], text: str = "") -> dict[str, Any]:
    call = {"name": name, "args": args, "id": f"{state.event_id}:{name}"}
    return {"messages": [AIMessage(text, tool_calls=[call], id=f"{state.event_id}:call")]}
