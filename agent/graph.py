"""The graph: extract what was said, decide what is next, and wait at one of four gates.

It touches nothing outside. Whatever needs the world is a typed request that a gate interrupts with, and the answer that
it is resumed with; so the same graph runs in Slack, in a terminal, in LangGraph Studio and in a test.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode

from agent.draft import CUSTOM, Conflict, TicketDraft, Unsaid, first_line
from agent.extract import Extract
from agent.orders import NO, YES
from agent.projects import Project
from agent.protocol import PreviewRequest, Question
from agent.quotes import said_at
from agent.reading import Listener
from agent.rules import DECISIONS, Situation, first
from agent.sealing import Destination, SealedTicket, diff, seal
from agent.state import State
from agent.trackers import Renderer
from skills.ask_user import ask_user
from skills.file_ticket import file_ticket
from skills.find_similar import find_similar
from skills.preview_ticket import preview_ticket

STEPS = 10
"""Nodes that one turn may run through; more is a loop, and an error."""

ABOUT = 2_000
"""Characters of a problem by which it is looked for tickets that are like it."""

RE_ASKS = 2
"""How often a question is asked again before the preview shows it as unanswered."""

ASK = {
    "title": "What should the title be? One line.",
    "problem": "What is the problem, or what do you need?",
    "acceptance_criteria": "What must be true when this is done? One criterion a line, or *skip*.",
}
ASK_FOR_CHANGE = "What should change? Say it, or ask to *show* the card again as it was."
NOTHING_YET = "There is nothing to preview yet: tell me what the problem is, in a sentence."
BEING_FILED = "The ticket is being filed, as it was approved; what you said is kept for the next one."
NOT_TAKEN = "The tracker did not take the {field}: {said}. What should it be?"
NOT_DESCRIBED = "I cannot tell yet what {where} takes ({problem}), so there is no card: say *show* to try again."
LEFT = "It is left as it is: say *new* to start another ticket, and what it is about."
KEPT = "What was said meanwhile is kept: say *new* to start a ticket with it."
FORGOTTEN = "Forgotten: nothing is filed. Say *new* to start another, and what it is about."
LINKED = "It is {key}, which is linked to this conversation; nothing new is filed. Say *new* for another, and what it is about."
SURE = {
    "start over": "Start over? What the draft holds so far is dropped.",
    "forget": "Forget this ticket? Its draft is dropped, and nothing is filed.",
}
CONFLICT = "Different things were said of the {field}: which one holds?"

Graph = CompiledStateGraph[State, None, State, State]


def build(
    listener: Listener,
    renderers: Mapping[str, Renderer],
    destination: Destination,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    *,
    looks: bool = False,
) -> Graph:
    """The compiled graph, over the trackers by name. `destination` is for sessions whose place has settled none.

    Studio brings its own checkpointer; the shell gives one that holds a single turn. `looks`: whoever runs the graph can look
    for tickets that may be the same, which it asks for before a ticket is shown first.
    """
    nodes = _Nodes(listener, renderers, destination, looks)
    graph = StateGraph(State)
    graph.add_node("extract", Extract(listener))
    graph.add_node("decide", nodes.decide)
    graph.add_edge(START, "extract")
    graph.add_edge("extract", "decide")
    gates = [ask_user, find_similar, preview_ticket, file_ticket]
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
    """The node that decides, with what it needs: who listens, and where tickets go."""

    def __init__(self, listener: Listener, renderers: Mapping[str, Renderer], destination: Destination, looks: bool) -> None:
        self._listener, self._renderers, self._destination, self._looks = listener, renderers, destination, looks

    async def decide(self, state: State) -> dict[str, Any]:
        """Says by the rows of `agent.rules.DECISIONS` what is next; the only way to a gate."""
        draft, questions = state.draft, self._questions(state)
        if not draft.title and not questions:  # asked in vain: the problem's first line stands in
            draft = _titled(draft)
        destination = state.destination or self._destination
        renderer, project = self._renderers[destination.tracker], state.project or Project(key=destination.project)
        if draft.title:
            questions += _of_tracker(state, destination) or renderer.questions(draft, project)
        questions = [_named(one, state) for one in questions[: self._listener.questions]]
        sealed = None if questions or not draft.title else seal(destination, renderer.render(draft, project))
        row = first(
            DECISIONS,
            Situation(
                outcome=state.outcome.status if state.outcome else "none",
                closed=state.closed,
                wish=state.wish,
                approved=state.approval is not None,
                to_ask=bool(questions),
                previewable=bool(draft.title),
                rejected_same=sealed is not None and sealed.draft_hash == state.rejected_hash,
                asked_to_show=state.show,
                looked=state.looked or not self._looks,
            ),
        )
        update: dict[str, Any] = {"draft": draft, "asking": [], "card_open": "open" in row.effects}
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
                if row.name == "sure":
                    sure = Question(text=SURE[state.wish], about=state.wish, options=[YES, NO])
                    questions = [_named(sure, state)]
                counts = {name: state.asked.get(name, 0) for q in questions if (name := _counted(q))}
                again = state.unheard and not state.quiet
                asked = state.asked | {name: n + 1 if again or not n else n for name, n in counts.items()}
                call = _call(state, "ask_user", {"questions": [question.model_dump() for question in questions]})
                return update | {"asking": questions, "asked": asked} | call
            case "find_similar":
                about = {"destination": destination.model_dump(), "title": draft.title, "problem": draft.problem[:ABOUT]}
                return update | _call(state, "find_similar", about)
        assert sealed
        preview = self._preview(state, draft, sealed)
        return update | {"preview": preview, "rejected_hash": ""} | _call(state, "preview_ticket", preview.model_dump())

    def _questions(self, state: State) -> list[Question]:
        """What is missing or was not taken, as far as it is to be asked for (again)."""
        missing = [_which(conflict) for conflict in state.draft.conflicts]
        wanted = state.draft.missing()
        askable = "problem" not in state.draft.skipped and state.asked.get("problem", 0) <= RE_ASKS
        if "problem" in wanted and askable:  # until that is known nothing else is to the point
            wanted = ["problem"]
        missing += [Question(field=field, text=ASK[field]) for field in wanted]
        missing += [
            Question(field=one.field, text=NOT_TAKEN.format(field=one.field.removeprefix(CUSTOM), said=one.said.rstrip(". ")))
            for one in state.refused
            if one.digest == state.draft.digest(one.field)
        ]
        return [
            question
            for question in missing
            if question.field not in state.draft.skipped and state.asked.get(_counted(question), 0) <= RE_ASKS
        ]

    def _preview(self, state: State, draft: TicketDraft, sealed: SealedTicket) -> PreviewRequest:
        last = state.preview
        known: dict[str, Any] = {
            "unanswered": draft.missing(),
            "not_said": draft.not_said(),
            "unsaid": draft.unsaid,
            "conflicts": draft.conflicts,
            "unread": len(state.unread) + state.missed,
        }
        if last and state.card_open and last.draft_hash == sealed.draft_hash:
            return last.model_copy(update=known)  # nothing that would be filed has changed: the card stands
        return PreviewRequest(
            preview_id=hashlib.sha256(f"preview {state.event_id}".encode()).hexdigest()[:16],
            draft_hash=sealed.draft_hash,
            version=last.version + 1 if last else 1,
            sealed=sealed.payload,
            diff=diff(last.sealed if last else None, sealed.payload),
            **known,
        )


def _of_tracker(state: State, destination: Destination) -> list[Question]:
    """The question that is left where a tracker has to be asked what it takes, and could not be."""
    if state.project or not state.undescribed:
        return []
    where = f"{destination.tracker} {destination.project}"
    return [Question(text=NOT_DESCRIBED.format(where=where, problem=state.undescribed))]


def _which(conflict: Conflict) -> Question:
    sides: dict[str, list[str]] = {}
    for side in conflict.sides:
        sides.setdefault(side.value, []).append(side.author)
    text = CONFLICT.format(field=conflict.field.removeprefix(CUSTOM).replace("_", " "))
    by = [", ".join(dict.fromkeys(authors)) for authors in sides.values()]
    return Question(field=conflict.field, text=text, about="conflict", options=[*sides], by=by)


def _named(question: Question, state: State) -> Question:
    """The question with an id, if it has options: by that a button of an older one is told apart.

    One that is still open keeps its id: its buttons stay where they are while people talk on.
    """
    if not question.options:
        return question
    if open_now := next((one for one in state.asking if one.model_copy(update={"id": ""}) == question), None):
        return open_now
    text = f"{state.event_id} {question.about} {question.field}"
    return question.model_copy(update={"id": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]})


def _counted(question: Question) -> str:
    """Under which name it is counted how often a question was asked."""
    return f"{question.about} {question.field}" if question.about == "conflict" else question.field


def _titled(draft: TicketDraft) -> TicketDraft:
    """The draft with its problem's first line as the title, said by who said the problem; or marked, if nobody did."""
    line = first_line(draft.problem)
    for one in draft.evidence:
        if one.field == "problem" and (place := said_at(one.quote, line)):
            words = one.quote[slice(*place)]
            said = {"value": "" if words == line else line, "quote": words, "start": one.start + place[0]}
            title = one.model_copy(update={"field": "title", **said})
            return draft.model_copy(update={"title": line, "evidence": [*draft.evidence, title]})
    unsaid = [Unsaid(field="title", value=line)] if any(one.field == "problem" for one in draft.unsaid) else []
    return draft.model_copy(update={"title": line, "unsaid": [*draft.unsaid, *unsaid]})


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
    if row == "forgotten":
        return FORGOTTEN
    if row == "linked" and state.linked:
        return LINKED.format(key=state.linked.key)
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
    return {"messages": [AIMessage(text, tool_calls=[call], id=f"{state.event_id}:call:{name}")]}
