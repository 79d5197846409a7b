"""The model's own skill: changing the draft. It is the only tool a model is given; no gate is in its reach.

Each change is held to its quote before it is applied: one whose quote is not in the message that it names is thrown away.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from langchain_core.tools import InjectedToolArg, tool

from agent.draft import CUSTOM, TicketDraft, clean
from agent.listening import Intent, Patch
from agent.operations import Operation, Source, apply
from agent.quotes import find

NEEDED = ("title", "problem")
"""Fields that no ticket can do without, so that a model cannot leave them open."""


_LEAVES_OPEN = re.compile(
    r"\b(skip\w*|(do not|don'?t) (know|care)|no idea|dunno|not sure|no clue|unknown|n/?a|none|whatever|leave (it|that)"
    r"|you (can )?(decide|choose|pick)|up to you|keine ahnung|wei(ß|ss) (ich )?nicht|egal|je ne sais|aucune idée"
    r"|no (lo )?sé|ni idea)\b|わからない|分からない|不知道|모르",
    re.IGNORECASE,
)
"""Words that leave open what was not asked for."""


@dataclass(frozen=True)
class Changed:
    """The draft after a call, a sentence for each change that could not be made, and how many were thrown away."""

    draft: TicketDraft
    problems: list[str]
    dropped: int


@dataclass(frozen=True)
class Ground:
    """What the patches are held to."""

    sources: Mapping[str, Source]
    """The messages that may be quoted, by id."""
    asked: Collection[str] = ()
    """The fields that people were asked for last."""
    answers: Collection[str] = ()
    """The ids of the messages that may answer that."""
    custom: Collection[str] = ()
    """The names of the custom fields there are."""
    contested: bool = False
    """What others said is not overwritten, as for a model."""


@tool
def update_draft(
    intent: Intent,
    operations: list[Patch],
    draft: Annotated[TicketDraft, InjectedToolArg],
    ground: Annotated[Ground, InjectedToolArg],
    reply: str = "",
) -> Changed:
    """Takes new messages in: what the newest is meant as, and the changes to the ticket's draft that they ask for, each with
    the quote that says so; and a reply, if a question to you wants one."""
    proposed = [patch for patch in operations if patch.op != "nothing"]
    asked_for = [one for patch in proposed if _stands(patch, ground) and (one := _operation(patch, ground))]
    after, problems = apply(draft, asked_for, ground.sources, contested=ground.contested)
    dropped = len(proposed) - len(asked_for)
    if ground.contested:  # a model's mistakes are counted: people cannot mend them, and its words would be in the sentence
        return Changed(after, [], dropped + len(problems))
    return Changed(after, problems, dropped)


def _stands(patch: Patch, ground: Ground) -> bool:
    """Whether the patch is about a field there is, and its words are in its message.

    Only what adds something may do without words: then the value is looked for itself.
    """
    if patch.field.startswith(CUSTOM) and patch.field.removeprefix(CUSTOM) not in ground.custom:
        return False
    if ground.contested and patch.how and patch.field in NEEDED:
        return False
    source = ground.sources.get(patch.message)
    if source is None or patch.quote.strip():
        return source is not None and find(source.text, patch.quote) is not None
    holds = any(clean(value)[0].strip() for value in patch.value)
    return patch.op not in ("remove", "replace") and holds and not patch.how


def _operation(patch: Patch, ground: Ground) -> Operation | None:
    """The patch as a change; only an answer to what was asked leaves it open, or decides between what people said."""
    known: dict[str, Any] = {"field": patch.field, "quote": patch.quote, "message": patch.message}
    answers = patch.op == "answer" and patch.field in ground.asked and patch.message in ground.answers
    match patch.op:
        case "nothing":
            return None
        case "answer" if patch.how and not (patch.how == "you_decide" and patch.value):
            return Operation(op="skip", **known) if answers or _LEAVES_OPEN.search(patch.quote) else None
        case "answer":
            return Operation(value=patch.value, decides=answers, **known)
    return Operation(op=patch.op, value=patch.value, old=patch.old, **known)


def named(patches: Sequence[Patch], only: str) -> list[Patch]:
    """The patches, those that name no message as of the only one there is."""
    return [patch if patch.message else patch.model_copy(update={"message": only}) for patch in patches]
