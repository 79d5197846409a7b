"""A chat model that answers as it was told, and a conversation held with it in memory."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from agent.conversation import Head, Step
from agent.draft import TicketDraft
from agent.ports import Event, Turn
from agent.protocol import Decision, Found, Reply
from agent.reading import Listener
from agent.rerun import Run
from skills.trackers import renderers


def patch(
    field: str, value: str | list[str], quote: str = "", message: str = "", op: str = "set", **more: Any
) -> dict[str, Any]:
    """An operation as a model writes it; without a quote the value is one."""
    values = [value] if isinstance(value, str) else value
    return {"op": op, "field": field, "value": values, "quote": quote or values[0], "message": message, **more}


def heard(*operations: dict[str, Any], intent: str = "information", reply: str = "") -> AIMessage:
    """A model's answer in the one form it has."""
    arguments = {"intent": intent, "operations": [*operations], "reply": reply}
    return AIMessage("", tool_calls=[{"name": "update_draft", "args": arguments, "id": "call"}])


class Scripted(BaseChatModel):
    """Answers one request after the other, the last answer again and again; an exception is raised."""

    answers: list[Any]
    requests: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Scripted":
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.requests.append(messages)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, BaseException):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Held:
    """A conversation with a listening model; the messages are m1, m2 and so on."""

    def __init__(self, *answers: Any, **known: Any) -> None:
        self.model = Scripted(answers=list(answers))
        self._run = Run(Head(), renderers(), Listener(self.model, name="scripted", **known))
        self._events = 0
        self.found = Found()
        self.turn = Turn("")

    @property
    def draft(self) -> TicketDraft:
        """The draft as it stands."""
        return self._run.draft

    @property
    def request(self) -> str:
        """What the model was sent last."""
        return "\n".join(str(message.content) for message in self.model.requests[-1])

    async def send(self, answer: Reply | Decision) -> list[dict[str, Any]]:
        """What is shown because of it."""
        self._events += 1
        event = Event(event_id=f"m{self._events}", session_id="terminal:held", answer=answer)
        self.turn = await self._run.take(Step(event=event, found=self.found))
        return self.turn.shows

    async def say(self, text: str, by: str = "ann", **known: Any) -> list[dict[str, Any]]:
        """A message."""
        return await self.send(Reply(text=text, by=by, **known))

    async def told(self, text: str, by: str = "ann", **known: Any) -> str:
        """A message, and the sentences that answer it."""
        return "\n".join(show["text"] for show in await self.say(text, by, **known) if show["kind"] == "say")

    def kinds(self) -> list[str]:
        """What was shown last, by kind."""
        return [show["kind"] for show in self.turn.shows]
