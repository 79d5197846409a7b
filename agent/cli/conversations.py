"""`signoff export` and `signoff replay`: conversations as files, and as tests."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.cli import Usage, wiring
from agent.draft import clean

SHOWN = 2_000
"""Characters of one side of a difference that are printed."""


def export(session: str) -> int:
    """Prints a session's conversation, for `replay`."""
    from agent.conversation import Conversation, Head, Step, dump
    from agent.model import configured_listener
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
    listener = configured_listener()
    head = Head(session_id=session_id, questions=listener.questions, overhears=listener.overhears)
    for line in dump(Conversation(head=head, steps=steps)):
        print(line)
    return 0


def replay(files: Sequence[str]) -> int:
    """Replays conversations through today's graph; 1 if something differs, and the first difference is shown."""
    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"  # a replay talks to nobody
    from agent import conversation
    from skills.trackers import renderers

    console, status = Console(highlight=False, soft_wrap=True), 0
    try:
        loaded = [(file, conversation.load(Path(file))) for file in files]
    except conversation.BadConversation as error:
        raise Usage(str(error)) from None
    for file, talk in loaded:
        try:
            difference = asyncio.run(conversation.replay(talk, renderers()))
        except ValueError as error:
            raise Usage(f"{file} cannot be replayed ({wiring.first_line(error)}): export it again.") from None
        if difference is None:
            console.print(Text(f"✔ {file}", style="green") + Text(f"  {len(talk.steps)} events", style="dim"))
            continue
        status = 1
        answer = talk.steps[difference.step - 1].event.answer.model_dump(mode="json", exclude_defaults=True)
        console.print(Text(f"✘ {file}", style="red") + Text(f"  event {difference.step} differs: {_short(answer)}"))
        recorded, today = difference.recorded, difference.today
        if recorded and today:  # only what differs, and what it is
            same = {key for key, value in recorded.items() if today.get(key) == value} - {"kind"}
            recorded = {key: value for key, value in recorded.items() if key not in same}
            today = {key: today.get(key) for key in recorded}
        console.print(Text("  recorded ", style="dim") + Text(_short(recorded)))
        console.print(Text("  today    ", style="dim") + Text(_short(today)))
    return status


def _short(value: dict[str, Any] | None) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text):,} characters)"
