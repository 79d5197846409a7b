"""A model that listens as a test wants: what it makes of a message stands in that message."""

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from agent.draft import FIELDS, LISTS

_LINE = re.compile(r"(guess )?(\w+): (.+)")


class Scribe(BaseChatModel):
    """Takes each line `field: value` for what it says; of `guess field: value` it quotes the first word alone.

    `heard` is what it was sent as new, call by call.
    """

    heard: list[list[dict[str, Any]]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scribe"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Scribe":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        request = json.loads(str(messages[1].content))
        new = request["new"]
        if request["draft"]:  # else it is only asked whether it is there
            self.heard.append(new)
        operations = [
            {
                "op": "add" if found[2] in LISTS else "set",
                "field": found[2],
                "value": [found[3]],
                "quote": "guess" if found[1] else found[3],
                "message": message["id"],
            }
            for message in new
            for found in map(_LINE.fullmatch, message["text"].split("\n"))
            if found and found[2] in FIELDS
        ]
        call = {"name": "update_draft", "args": {"intent": "information", "operations": operations}, "id": "c1"}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=[call]))])

    @property
    def texts(self) -> list[str]:
        """The texts that it was sent as new, in order."""
        return [message["text"] for new in self.heard for message in new]
