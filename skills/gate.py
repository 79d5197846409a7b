"""What the three gate skills share: interrupting with a typed request, and passing a typed answer on.

A gate restarts from its first line on every resume, so it only computes before it interrupts, and it is alone in its node.
"""

import json
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.prebuilt import ToolRuntime
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from agent.protocol import Answer, Reply, Request, Unreadable, read_answer, to_hitl
from agent.state import State, to_message

Gate = Command[Any]
"""What a gate returns: an update of the state that answers its own call."""


def wait_for_answer(request: Request) -> Answer:
    """Stops the graph with the request; on resume, gives the answer."""
    return read_answer(interrupt(to_hitl(request)), request)


def answered(
    runtime: ToolRuntime[None, State], answer: Answer, result: BaseModel | None = None, say: str = "", **update: Any
) -> Gate:
    """The state's update once a gate was answered; a reply goes on to `extract` as a message.

    `say` tells people why an answer was not taken. Our shell judges before it resumes, so only others get to hear it.
    """
    said = json.dumps((result or answer).model_dump(mode="json", exclude_defaults=True), separators=(",", ":"))
    call = runtime.tool_call_id
    messages: list[AnyMessage] = [ToolMessage(said, tool_call_id=call, id=f"{answer.event_id}:answer")]
    say = answer.problem if isinstance(answer, Unreadable) else say
    if say:
        messages.append(AIMessage(say, id=f"{answer.event_id}:say"))
    if isinstance(answer, Reply) and "parked" not in update:
        messages.append(to_message(answer))
    quiet = isinstance(answer, Reply) and not answer.addressed
    return Command(update={"messages": messages, "event_id": answer.event_id, "show": False, "quiet": quiet, **update})
