"""`signoff export` and `signoff replay`: conversations as files, and as tests."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from agent.cli import Usage, wiring
from agent.draft import clean

if TYPE_CHECKING:
    from agent.conversation import Conversation
    from agent.reading import Listener

SHOWN = 2_000
"""Characters of one side of a difference that are printed."""


def export(session: str, *, redact: bool = False) -> int:
    """Prints a session's conversation, for `replay`; `redact`: without what tells who and what it is about."""
    from agent.conversation import Conversation, Head, Step, dump
    from agent.interview import NAME as INTERVIEW
    from agent.reading import QUESTIONS
    from persistence.database import Database
    from persistence.history import read_steps

    async def read(database: Database) -> tuple[str, list[Step]]:
        for session_id in (f"terminal:{session}", session):
            if steps := await read_steps(database.engine, session_id):
                return session_id, steps
        return session, []

    session = clean(session)[0]
    session_id, steps = wiring.read_from_database(read)
    if not steps:
        raise Usage(f"There is no session {session}: give the name that chat was started with, by --session.")
    models = {call.model for step in steps for call in step.calls} - {"", INTERVIEW}
    head = Head(session_id=session_id, questions=QUESTIONS if models else 1, overhears=bool(models))
    talk = Conversation(head=head, steps=steps)
    if redact:
        talk = _redacted(talk)
    for line in dump(talk):
        print(line)
    return 0


def _redacted(talk: "Conversation") -> "Conversation":
    """The conversation to show to others; says on standard error what was replaced."""
    from agent import redaction
    from agent.replacing import COUNTED
    from skills.trackers import renderers

    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"  # it is for nobody before it is redacted
    try:
        result = asyncio.run(redaction.redacted(talk, renderers()))
    except redaction.NotTheSame as error:
        raise Usage(f"Nothing was written. {error}") from None
    except ValueError as error:
        raise Usage(f"Nothing was written: it cannot be replayed ({wiring.first_line(error)}).") from None
    counts = [f"{number:,} {COUNTED[kind][number != 1]}" for kind, number in result.counts.items()]
    print(f"Replaced: {', '.join(counts) or 'nothing'}. It replays as the original does.", file=sys.stderr)
    print("Names that are only said, and never with an @, are not known: read it before you pass it on.", file=sys.stderr)
    return result.conversation


def replay(files: Sequence[str], *, live: bool) -> int:
    """Replays conversations through today's graph; 1 if something differs, which is shown.

    `live`: today's model reads them anew, and what its drafts hold otherwise is shown field by field.
    """
    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"  # a replay talks to nobody else
    from agent import conversation

    listener = wiring.listener() if live else None
    if listener and listener.guided:
        raise Usage("replay --live needs a model: set SIGNOFF_MODEL to provider:model, see docs/listening.md.")
    try:
        loaded = [(file, conversation.load(Path(file))) for file in files]
    except conversation.BadConversation as error:
        raise Usage(str(error)) from None
    console, same = Console(highlight=False, soft_wrap=True), True
    for file, talk in loaded:
        try:
            found = asyncio.run(_read_anew(file, talk, listener) if listener else _replayed(talk))
        except ValueError as error:
            raise Usage(f"{file} cannot be replayed ({wiring.first_line(error)}): export it again.") from None
        sign = Text(f"✘ {file}", style="red") if found else Text(f"✔ {file}", style="green")
        console.print(sign, Text(f" {len(talk.steps)} events", style="dim"))
        for line in found:
            console.print(line)
        same = same and not found
    return int(not same)


async def _replayed(talk: "Conversation") -> list[Text]:
    """The first difference in words; nothing if there is none."""
    from agent.replay import replay
    from skills.trackers import renderers

    if (difference := await replay(talk, renderers())) is None:
        return []
    answer = talk.steps[difference.step - 1].event.answer.model_dump(mode="json", exclude_defaults=True)
    recorded, today = difference.recorded, difference.today
    if recorded and today:  # only what differs, and what it is
        same = {key for key, value in recorded.items() if today.get(key) == value} - {"kind"}
        recorded = {key: value for key, value in recorded.items() if key not in same}
        today = {key: today.get(key) for key in recorded}
    return [Text(f"  event {difference.step} differs: {_cut(_short(answer))}"), *_sides(_short(recorded), _short(today))]


async def _read_anew(file: str, talk: "Conversation", listener: "Listener") -> list[Text]:
    """What the model makes of the conversation otherwise, in words."""
    from agent.replay import reread
    from skills.trackers import renderers

    lines, taken = list[Text](), 0
    with Console(stderr=True).status("") as status:
        async for found in reread(talk, renderers(), listener):
            if found is None:
                taken += 1
                status.update(f"{file}: {taken} of {len(talk.steps)} events read ...")
            elif found.unread:
                lines.append(Text(f"  event {found.step}: the model did not read it: {found.unread}"))
            else:
                lines.append(Text(f"  {found.field}, at event {found.step}"))
                lines += _sides(*("; ".join(side) or "nothing" for side in (found.recorded, found.today)))
    return lines


def _sides(recorded: str, today: str) -> list[Text]:
    return [
        Text("  recorded ", style="dim") + Text(_cut(recorded)),
        Text("  today    ", style="dim") + Text(_cut(today)),
    ]


def _short(value: dict[str, Any] | None) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text):,} characters)"
