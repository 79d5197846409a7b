"""The model's own skill: changing the draft. It is the only tool a model is given; no gate is in its reach.

Each change is held to its quote before it is applied: one whose quote is not in the message that it names is thrown away.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from langchain_core.tools import InjectedToolArg, tool

from agent.draft import TicketDraft
from agent.listening import Intent, Patch
from agent.operations import Operation, Source, apply
from agent.quotes import find


@dataclass(frozen=True)
class Changed:
    """The draft after a call, a sentence for each change that could not be made, and how many were thrown away."""

    draft: TicketDraft
    problems: list[str]
    dropped: int


@tool
def update_draft(
    intent: Intent,
    operations: list[Patch],
    draft: Annotated[TicketDraft, InjectedToolArg],
    sources: Annotated[dict[str, Source], InjectedToolArg],
    asked: Annotated[set[str], InjectedToolArg],
    contested: Annotated[bool, InjectedToolArg],
    reply: str = "",
) -> Changed:
    """Takes new messages in: what the newest is meant as, and the changes to the ticket's draft that they ask for, each with
    the quote that says so; and a reply, if a question to you wants one."""
    quoted = [patch for patch in operations if _stands(patch, sources)]
    asked_for = [one for patch in quoted if (one := _operation(patch, asked))]
    after, problems = apply(draft, asked_for, sources, contested=contested)
    return Changed(after, problems, len(operations) - len(quoted))


def _stands(patch: Patch, sources: Mapping[str, Source]) -> bool:
    """Whether the patch's words are in its message. Only what adds something may do without: then it is looked for itself."""
    source = sources.get(patch.message)
    if patch.op == "nothing":
        return True
    if source is None or patch.quote:
        return source is not None and find(source.text, patch.quote) is not None
    return patch.op not in ("remove", "replace") and bool(patch.value) and not patch.how


def _operation(patch: Patch, asked: Collection[str]) -> Operation | None:
    """The patch as a change; only an answer to what was asked decides between what people said."""
    known: dict[str, Any] = {"field": patch.field, "quote": patch.quote, "message": patch.message}
    match patch.op:
        case "nothing":
            return None
        case "answer" if patch.how and not (patch.how == "you_decide" and patch.value):
            return Operation(op="skip", **known)
        case "answer":
            return Operation(value=patch.value, decides=patch.field in asked, **known)
    return Operation(op=patch.op, value=patch.value, old=patch.old, **known)


def named(patches: Sequence[Patch], only: str) -> list[Patch]:
    """The patches, those that name no message as of the only one there is."""
    return [patch if patch.message else patch.model_copy(update={"message": only}) for patch in patches]
