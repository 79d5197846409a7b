"""The guided interview: what reads messages when no model is configured.

It parses labelled lines, takes answers to its questions verbatim, and understands nothing else; it says so. It is a chat
model, so that the graph has one path: it gets the request that any model gets (`agent.listening`) and answers with calls
of `update_draft`. It never invents: each value is a piece of the message it came from.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from agent.draft import CUSTOM, LISTS, LONG, first_line

NAME = "guided-interview"
"""How the record of calls names it."""

INTRODUCTION = (
    "This is a guided interview: no model is configured, so I read labelled lines such as `Title: ...`, `Problem: ...` or "
    "bullets under `Acceptance criteria:`, take your answers word for word, and ask for one missing thing at a time."
)
HINT = (
    "I changed nothing: in a guided interview I only read labelled lines, such as `Title: ...`, `Problem: ...` or "
    "`Acceptance criteria: ...` (`Also acceptance criteria: ...` adds to the list)."
)
NO_APPROVAL = "Words never approve a ticket: press the card's button, or type /approve in the terminal."
WHAT_TO_SAY = "Tell me what the ticket is about: what is wrong, or what you need, in a sentence or two."
NO_TEXT = "There is nothing behind the label for {field}, so it changed nothing: /edit {field}= empties it."
UNPLACED = "I could not place this, and left it out: “{text}”. Put a label before it, such as `Problem:`."
NO_TITLE = "A ticket needs a title, so that one cannot be skipped."

LABELS = {
    "title": "title",
    "summary": "title",
    "problem": "problem",
    "description": "problem",
    "steps": "steps",
    "steps to reproduce": "steps",
    "expected": "expected",
    "expected result": "expected",
    "expected behavior": "expected",
    "expected behaviour": "expected",
    "actual": "actual",
    "actual result": "actual",
    "actual behavior": "actual",
    "actual behaviour": "actual",
    "environment": "environment",
    "who": "who",
    "what": "what",
    "why": "why",
    "proposed solution": "proposed_solution",
    "solution": "proposed_solution",
    "acceptance criteria": "acceptance_criteria",
    "acceptance criterion": "acceptance_criteria",
    "ac": "acceptance_criteria",
    "constraints": "constraints",
    "constraint": "constraints",
    "dependencies": "dependencies",
    "dependency": "dependencies",
    "risks": "risks",
    "risk": "risks",
    "open questions": "open_questions",
    "open question": "open_questions",
    "type": "issue_type",
    "issue type": "issue_type",
    "priority": "priority",
    "labels": "labels",
    "label": "labels",
    "assignee": "assignee",
    "epic": "epic_id",
}


@lru_cache(maxsize=64)
def _label(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds where a line names one of these fields."""
    known = "|".join(re.escape(name).replace("\\ ", "[ _]") for name in sorted(names, key=len, reverse=True))
    return re.compile(
        rf"""^(?:
            [ \t#*_]*(?P<add>(?:also|add)[ \t]+)?(?P<colon>{known})[*_ \t]*[:：][*_ \t]*                  # Problem: ...
            | [ \t]*\#+[ \t]*(?P<heading>{known})[ \t]*$                                              # ## Problem
            | [ \t]*(?P<bullets>{known})[ \t]*$(?=\n[ \t]*(?:[-*•–]|\d{{1,2}}[.)])[ \t])               # Risks, bullets below
        )""",
        re.IGNORECASE | re.MULTILINE | re.VERBOSE,
    )


_BULLET = re.compile(r"^[ \t]*(?:[-*•–]|\d{1,2}[.)])[ \t]+", re.MULTILINE)
_INLINE_BULLET = re.compile(r"(?:^|\s)[-*•–]\s+")
_APPROVAL = re.compile(r"^(i )?(hereby )?(approve[ds]?|lgtm|ship it|ok(ay)?|yes|go ahead|file it|create it|do it)\b", re.I)
_GREETING = re.compile(r"(hi|hello|hey|help|start|test|ping|thanks?|thank you|what can you do|who are you)[\s!?.]*", re.I)
_SKIP = re.compile(r"^[\"'`*]*skip[\"'`*]*[.!]?$", re.IGNORECASE)
_OPEN = re.compile(
    r"((sorry,? )?i (really )?(don'?t|do not) know|don'?t know|no idea|dunno|not sure|no clue)(?P<unknown>)"
    r"|(you (can )?(decide|choose|pick)|up to you|your (call|choice)|whatever you (think|like)|as you like)",
    re.IGNORECASE,
)
"""Answers that leave a question open: people do not know, or leave it to the agent, which invents nothing."""


class GuidedInterview(BaseChatModel):
    """A chat model without a model: deterministic, offline, in microseconds."""

    @property
    def _llm_type(self) -> str:
        return NAME

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The interview knows the one tool it calls."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = json.loads(str(messages[-1].content))
        said, operations = listen(request)
        heard = {"intent": "information", "operations": operations, "reply": "\n".join(said)}
        answer = AIMessage("", tool_calls=[{"name": "update_draft", "args": heard, "id": "interview"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)  # microseconds: not worth the thread that the base class would take


def listen(request: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """What to say to a message, and the operations it comes to."""
    draft, asked, [new] = request["draft"], request["asked"], request["new"]
    text: str = new["text"]
    begun = draft["title"] or draft["problem"] or any(past["text"].strip() for past in request["earlier"])
    said = [] if begun else [INTRODUCTION]
    operations: list[dict[str, Any]] = []

    def change(field: str, value: Sequence[str], op: str = "set", **more: str) -> None:
        operations.append({"op": op, "field": field, "value": list(value), "message": new["id"], **more})

    custom = {name.lower().replace("_", " "): f"{CUSTOM}{name}" for name in request.get("custom", [])}
    sections = list(_sections(text, {**custom, **LABELS}))
    labelled = {field for _, field, _ in sections if field}
    seen: set[str] = set()
    unplaced: list[str] = []
    for op, field, value in sections:
        if not field and new.get("quoted"):
            continue  # what is passed on answers nothing
        if field and not value:
            said.append(NO_TEXT.format(field=field))
        elif field in LISTS:
            change(field, _items(field, value), "add" if field in seen else op)
        elif field and (field in seen or op == "add"):
            unplaced.append(value)  # a text is set once in a message: neither the first nor the second may be lost unsaid
        elif field:
            first, _, rest = (value, "", "") if field in LONG else value.partition("\n")
            change(field, [first])
            unplaced += [rest.strip()] if rest.strip() else []
        elif not (asked or labelled or draft["problem"]) and _GREETING.fullmatch(value):
            said.append(WHAT_TO_SAY)
        elif asked and asked[0]["field"] and asked[0]["field"] not in labelled:
            said += _answered(asked[0]["field"], value, change)
            if asked[0]["field"] == "problem" and not draft["title"] and "title" not in labelled and operations[-1]["value"]:
                change("title", [first_line(value)])
        elif not draft["problem"] and "problem" not in labelled and not _SKIP.match(value):
            change("problem", [value])
            if not draft["title"] and "title" not in labelled:
                change("title", [first_line(value)])
        elif labelled:
            unplaced.append(value)
        else:
            said.append(NO_APPROVAL if _APPROVAL.match(value) else HINT)
        seen.add(field)
    return said + [UNPLACED.format(text=text if len(text) <= 200 else f"{text[:200]} …") for text in unplaced], operations


def _answered(field: str, value: str, change: Callable[..., None]) -> list[str]:
    """Takes an answer word for word, or as leave to leave the field open; gives what is to be said to that."""
    if left := _OPEN.fullmatch(value.replace("’", "'").rstrip(" .!")):
        change(field, [], "answer", how="unknown" if left["unknown"] is not None else "you_decide", quote=value)
    elif not _SKIP.match(value):
        change(field, _items(field, value), "answer")
    elif field == "title":
        return [NO_TITLE]
    else:
        change(field, [], "answer", how="skip", quote=value)
    return []


def _sections(text: str, labels: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The message's parts in order as (`set` or `add`, field or empty, text); a list's items may follow its label."""
    marks = list(_label(tuple(labels)).finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    if preamble := text[: marks[0].start() if marks else len(text)].strip():
        yield "set", "", preamble
    for mark, end in zip(marks, ends, strict=False):
        name = mark["colon"] or mark["heading"] or mark["bullets"]
        field = labels.get(name.lower().replace("_", " "), "")  # a letter may have other forms than its small one
        yield "add" if mark["add"] else "set", field, text[mark.end() : end].strip()


def _items(field: str, text: str) -> list[str]:
    """A field's value as pieces of the text: for a list its bullets, its lines, or the bullets within its only line."""
    if field not in LISTS:
        return [text]
    if field == "labels":
        return [item.strip() for item in re.split(r"[,،、，\n]|(?:^|\s)[-*•–]\s+", text) if item.strip()]
    if "\n" not in text and _INLINE_BULLET.match(text):
        return [item.strip() for item in _INLINE_BULLET.split(text) if item.strip()]
    if _BULLET.match(text):
        return [item.strip() for item in _BULLET.split(text) if item.strip()]
    return [item for line in text.splitlines() if (item := _BULLET.sub("", line).strip())]
