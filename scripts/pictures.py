"""Draws the pictures of the docs from the program itself: `PYTHONPATH=. .venv/bin/python scripts/pictures.py`."""

import asyncio
import io
import re
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from agent.cli.screen import render
from agent.conversation import load
from agent.replay import run
from agent.studio import graph
from skills.trackers import renderers
from tests.protocol import drawing

ROOT = Path(__file__).parents[1]
TALK = ROOT / "tests" / "conversations" / "stale-approve.jsonl"


async def transcript() -> str:
    """The conversation as the terminal shows it, as an SVG that loads nothing from elsewhere."""
    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True, highlight=False)
    async for step, shows in run(load(TALK), renderers()):
        answer = step.event.answer
        if answer.type != "outcome":
            typed = answer.text if answer.type == "reply" else f"/{answer.type} {answer.draft_hash}"
            console.print(Text.assemble("\n", (f"{answer.by} › ", "bold cyan"), typed))
        for show in shows:
            console.print(render(show))
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="signoff chat", code_format=form)


if __name__ == "__main__":
    (ROOT / "docs" / "chat.svg").write_text(asyncio.run(transcript()))
    (ROOT / "docs" / "graph.mmd").write_text(graph.get_graph().draw_mermaid())
    drawing.DOCUMENT.write_text(drawing.with_drawing(drawing.DOCUMENT.read_text()))
