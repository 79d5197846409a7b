"""Every conversation in tests/conversations goes today as it went when it was written down."""

from pathlib import Path

import pytest

from agent.conversation import load
from agent.replay import replay
from skills.trackers import renderers

FILES = sorted((Path(__file__).parent / "conversations").glob("*.jsonl"))


def test_there_are_conversations() -> None:
    assert len(FILES) >= 12


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_conversation(file: Path) -> None:
    conversation = load(file)
    assert any(step.shows for step in conversation.steps), "a file that shows nothing would pass whatever the graph did"
    assert await replay(conversation, renderers()) is None
