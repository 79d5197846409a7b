"""What a model is sent at turn 5, 50 and 200 of a thread: `python -m benchmarks.tokens [--json]`.

Several people talk in threads of messages of 20 to 400 characters, from a printed seed. By turn 4 the ticket is complete; later
messages have a value replaced by one of as many words, are at odds with what somebody else said, or change nothing. Counted are
the characters of all messages that the model is sent, means of three turns; a new message counts as long as all are on average.
"""

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from agent.conversation import Head, Step
from agent.ports import Event
from agent.protocol import Reply
from agent.reading import Listener
from agent.rerun import Run
from benchmarks._measure import report
from skills.trackers import renderers

TURNS = (5, 50, 200)
THREADS = 10
SEED = 5
PEOPLE = ("ann", "bob", "cat", "dan")
_TALK = """
the export of the big account runs into a timeout again and nobody saw it before the customer called us this morning we looked
at the queue and it is full of retries while the worker waits for a lock that another job holds since midnight
"""
_FIELDS = {"title": 5, "problem": 40, "acceptance_criteria": 12, "environment": 4}
"""Fields of the ticket, and of how many words their values are."""


class _Listens(BaseChatModel):
    """Takes the first words of a message for the field of its turn, each field in its turn, and keeps what it was sent."""

    sent: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "listens"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "_Listens":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.sent.append(sum(len(str(message.content)) for message in messages))
        [new] = json.loads(str(messages[-1].content))["new"]
        field, words = list(_FIELDS.items())[(len(self.sent) - 1) % len(_FIELDS)]
        said = new["text"].split()
        operations = []
        if len(said) >= words:
            value = " ".join(said[:words])
            operations = [{"op": "answer", "field": field, "value": [value], "quote": value, "message": new["id"]}]
        arguments = {"intent": "information", "operations": operations}
        answer = AIMessage("", tool_calls=[{"name": "update_draft", "args": arguments, "id": "call"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def _message(chance: random.Random, least: int) -> str:
    text, length, words = "", chance.randint(20, 400), _TALK.split()
    while len(text) < length or len(text.split()) < least:
        text += chance.choice(words) + " "
    return text.strip()


async def _thread(number: int) -> list[float]:
    chance, model = random.Random(f"{SEED}:{number}"), _Listens()
    run, lengths = Run(Head(), renderers(), Listener(model, budget=10**9)), []
    for turn in range(1, max(TURNS) + 4):
        text = _message(chance, list(_FIELDS.values())[turn - 1] if turn <= len(_FIELDS) else 0)
        lengths.append(len(text))
        said = Reply(text=text, by=PEOPLE[0] if turn <= len(_FIELDS) else chance.choice(PEOPLE))
        await run.take(Step(event=Event(event_id=f"m{turn:03}", session_id="benchmark:tokens", answer=said)))
    mean = statistics.mean(lengths)
    return [sent - length + mean for sent, length in zip(model.sent, lengths, strict=True)]


async def measure() -> dict[str, float]:
    """The characters at those turns, and each beside the first."""
    threads = [await _thread(number) for number in range(THREADS)]
    around = {turn: [sent for thread in threads for sent in thread[turn - 1 : turn + 2]] for turn in TURNS}
    figures = {f"characters_{turn}": statistics.mean(sent) for turn, sent in around.items()}
    first = figures[f"characters_{TURNS[0]}"]
    return {f"tokens_ratio_{turn}": figures[f"characters_{turn}"] / first for turn in TURNS[1:]} | figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    figures = asyncio.run(measure())
    rows: list[list[object]] = [["turn", "characters sent", f"beside turn {TURNS[0]}"]]
    rows += [[turn, figures[f"characters_{turn}"], figures.get(f"tokens_ratio_{turn}", 1.0)] for turn in TURNS]
    report(f"{THREADS} threads, seed {SEED}", rows, figures, as_json=options.json)


if __name__ == "__main__":
    main()
