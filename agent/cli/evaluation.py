"""`signoff eval`: what is made of conversations whose outcome is known, scored field by field."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.cli import Usage, wiring
from agent.conversation import BadConversation, Conversation, load
from agent.evaluation import NAMES, Counts, Score, score, summed, texts_of, totals
from agent.model import BadModel, configured_listener, probe
from agent.reading import Listener
from agent.replay import drafted
from skills.trackers import renderers

SHOWN = 80
"""Characters of one value that are printed."""

PATIENCE = 1.0
"""Seconds after which it is shown how far it is."""

SAID = {"missed": "missed", "invented": "invented", "evidence": "wrong words quoted for"}


def evaluate(directory: str, *, recorded: bool, as_json: bool) -> int:
    """Scores the conversations in a directory; prints a table and what is not right, or one JSON object."""
    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"  # it talks to the model, and to nobody else
    talks = _loaded(directory)
    try:
        listener = None if recorded else configured_listener()
    except BadModel as error:
        raise Usage(str(error)) from None
    scores, unanswered = asyncio.run(_scored(talks, listener))
    if as_json:
        print(json.dumps(totals([*scores.values()])))
    else:
        _print(scores)
    if unanswered and listener:
        times = f"{unanswered} time{'s' * (unanswered != 1)}"
        print(f"{times} the model did not answer, and the guided interview read in its place.", file=sys.stderr)
    return 0


def _loaded(directory: str) -> dict[str, Conversation]:
    files = sorted(Path(directory).glob("*.jsonl"))
    if not Path(directory).is_dir():
        raise Usage(f"{directory} is no directory: name one that holds conversations, such as tests/conversations.")
    if not files:
        raise Usage(f"{directory} holds no conversation: put files there that signoff export wrote, named *.jsonl.")
    try:
        talks = {file.name: load(file) for file in files}
    except BadConversation as error:
        raise Usage(str(error)) from None
    if not any(talk.head.expected or talk.head.never for talk in talks.values()):
        what = '"expected": {"title": "..."}'
        raise Usage(f"No conversation in {directory} says what is expected: add {what} to the first line of one.")
    return talks


async def _scored(talks: Mapping[str, Conversation], listener: Listener | None) -> tuple[dict[str, Score], int]:
    """The scores by file, and how often a model that was to read did not answer."""
    if listener and (problem := await probe(listener)):
        raise Usage(f"{problem.rstrip('.')}: see signoff doctor, or unset SIGNOFF_MODEL to score the guided interview.")
    scores, unanswered, began = dict[str, Score](), 0, time.monotonic()
    working = Console(stderr=True).status("")
    try:
        for file, talk in talks.items():
            if time.monotonic() - began > PATIENCE:
                working.update(f"{len(scores)} of {len(talks)} conversations …")
                working.start()
            try:
                made = await drafted(talk, renderers(), listener)
            except ValueError as error:
                raise Usage(f"{file} cannot be run ({wiring.first_line(error)}): export it again.") from None
            scores[file] = score(made.draft, texts_of(made.replies), talk.head.expected, talk.head.never)
            unanswered += made.unanswered
    finally:
        working.stop()
    return scores, unanswered


def _print(scores: Mapping[str, Score]) -> None:
    console, together = Console(highlight=False, soft_wrap=True), summed(scores.values())
    columns = [Column(name.replace("_", " ").capitalize(), justify="right") for name in NAMES]
    table = Table("Field", *columns, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name, counts in together.fields.items():
        if counts != Counts():
            table.add_row(Text(name), *_cells(counts))
    table.add_section()
    table.add_row(Text(f"{len(scores)} conversations"), *_cells(together.total), style="bold")
    console.print(table)
    for file, one in scores.items():
        for remark in one.remarks:
            line = " ".join(remark.text.split())
            line = line if len(line) <= SHOWN else f"{line[:SHOWN]} …"
            console.print(Text.assemble((f"{file}  ", "dim"), f"{SAID[remark.kind]} {remark.field}: “{line}”"))


def _cells(counts: Counts) -> list[str]:
    return [f"{number:,}" if number else "–" for number in counts.as_json().values()]
