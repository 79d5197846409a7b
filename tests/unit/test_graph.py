from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.types import Command
from pydantic import Field

from agent.graph import STEPS, Graph, build
from agent.interview import GuidedInterview
from agent.projects import Project
from agent.reading import Listener
from agent.sealing import Destination
from agent.state import WINDOW, WINDOW_CHARACTERS, State, window
from skills.preview_ticket import PreviewResult, compute_draft_hash, preview_ticket
from skills.trackers.local import LocalRenderer

COMPLETE = "Title: Export fails\nProblem: It answers 500.\nAcceptance criteria: it finishes"


class Scripted(BaseChatModel):
    """Answers what it is told to, and remembers the tools it was given."""

    answer: AIMessage
    tools: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Scripted":
        self.tools.extend(tools)
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer.model_copy(deep=True))])


def make(model: BaseChatModel) -> Graph:
    return build(Listener(model, questions=1), {"local": LocalRenderer()}, Destination(), InMemorySaver())


async def run(graph: Graph, given: Any) -> tuple[State, list[Any]]:
    result = await graph.ainvoke(given, {"configurable": {"thread_id": "t"}}, version="v2")
    return result.value, [interrupt.value["action_requests"][0] for interrupt in result.interrupts]


async def said(graph: Graph, text: str) -> tuple[State, list[Any]]:
    return await run(graph, {"messages": [HumanMessage(text)]})


GATES = ["ask_user", "find_similar", "preview_ticket", "file_ticket"]


@pytest.mark.parametrize("gate", [*GATES, "update_draft", "approve", "create_issue"])
@pytest.mark.parametrize("args", [{}, {"preview_id": "p", "draft_hash": "0" * 64, "approved_by": "ann"}, {"operations": "all"}])
async def test_a_model_that_calls_for_a_gate_does_not_reach_it(gate: str, args: dict[str, Any]) -> None:
    call = {"name": gate, "args": args, "id": "c1"}
    model = Scripted(answer=AIMessage("Approved and filed.", tool_calls=[call, {**call, "id": "c2"}]))
    graph = make(model)
    assert [tool.name for tool in model.tools] == ["update_draft"]
    state, [waiting] = await said(graph, COMPLETE)
    assert waiting["name"] == "preview_ticket", "the interview reads what the model does not, and a person has to decide"
    assert state.approval is None
    for _ in range(8):
        state, _ = await run(graph, Command(resume="approve it, file it"))
        assert state.approval is None
        assert not any(
            isinstance(one, AIMessage) and one.tool_calls and one.tool_calls[0]["id"] == "c1" for one in state.messages
        )


async def test_each_gate_is_alone_and_called_alone() -> None:
    graph = make(GuidedInterview())
    assert {*graph.nodes} == {"__start__", "extract", "decide", *GATES}
    for gate in GATES:
        node: Any = graph.nodes[gate].bound
        assert list(node.tools_by_name) == [gate]
    state, _ = await said(graph, COMPLETE)
    [call] = [one for one in state.messages if isinstance(one, AIMessage) and one.tool_calls]
    assert len(call.tool_calls) == 1


async def test_the_call_of_a_preview_carries_what_was_sealed_and_a_resume_renders_nothing_anew() -> None:
    graph = make(GuidedInterview())
    state, [first] = await said(graph, COMPLETE)
    assert first["args"]["draft_hash"] == compute_draft_hash(state.draft, Destination(), LocalRenderer(), Project(key="LOCAL"))
    state, [same] = await run(graph, Command(resume="thanks"))
    assert same["args"] == first["args"]
    assert preview_ticket.name == "preview_ticket"
    assert PreviewResult(status="approved", draft_hash="h").by == ""


async def test_an_outcome_of_another_filing_is_not_taken() -> None:
    graph = make(GuidedInterview())
    await said(graph, COMPLETE)
    await run(graph, Command(resume={"type": "approve", "by": "ann"}))
    state, [waiting] = await run(graph, Command(resume={"status": "filed", "key": "X-1", "draft_hash": "0" * 64}))
    assert waiting["name"] == "file_ticket"
    assert state.outcome is None


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_a_filing_that_is_not_done_waits_on(status: str) -> None:
    graph = make(GuidedInterview())
    await said(graph, COMPLETE)
    await run(graph, Command(resume={"type": "approve", "by": "ann"}))
    state, [waiting] = await run(graph, Command(resume={"status": status}))
    assert waiting["name"] == "file_ticket"
    state, waiting = await run(graph, Command(resume={"status": "filed", "key": "X-1"}))
    assert waiting == []
    assert state.outcome
    assert state.outcome.key == "X-1"


async def test_a_loop_ends_after_ten_steps() -> None:
    graph = make(GuidedInterview())
    assert graph.config
    assert graph.config["recursion_limit"] == STEPS == 10
    builder = graph.builder
    builder.edges.discard(("extract", "decide"))
    builder.add_edge("extract", "extract")
    looping = builder.compile()
    looping.config = graph.config
    with pytest.raises(GraphRecursionError):
        await looping.ainvoke({"messages": [HumanMessage("x")]})  # type: ignore[arg-type]


def human(number: int, text: str = "x") -> HumanMessage:
    return HumanMessage(text, id=f"h{number}")


def call(number: int) -> AIMessage:
    return AIMessage("", id=f"c{number}", tool_calls=[{"name": "ask_user", "args": {}, "id": f"t{number}"}])


def test_the_window_keeps_the_newest_and_whole_pairs() -> None:
    messages: list[Any] = []
    for number in range(30):
        messages = window(messages, [human(number), call(number)])
        messages = window(messages, [ToolMessage("a", tool_call_id=f"t{number}", id=f"r{number}")])
    kept = [message.id for message in messages]
    assert kept == [*(f"h{number}" for number in range(22, 30)), "c29", "r29"]
    assert len([one for one in kept if one and one.startswith("h")]) == WINDOW


def test_the_window_is_bounded_in_characters_but_keeps_the_newest_message() -> None:
    long = "x" * (WINDOW_CHARACTERS // 2)
    assert [one.id for one in window([human(1, long), human(2, long)], [human(3, "y")])] == ["h2", "h3"]
    assert [one.id for one in window([human(1)], [human(2, "y" * 2 * WINDOW_CHARACTERS)])] == ["h2"]
