"""The messages beside the card: questions, news, and what one person alone is told, as Block Kit."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.sealing import FieldChange
from slack_adapter.blocks import changes, is_id, label, listed, settling_row, ticket
from slack_adapter.pieces import BLOCK_CHARACTERS, Block, button, pieces, section
from slack_adapter.text import cut, escape, link


def question_blocks(session_id: str, questions: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Questions, with a button that opens the form."""
    asked = "\n".join(escape(question["text"]) for question in questions)
    form = button("Fill in the rest", "fill_in", session_id)
    return [section(asked), {"type": "actions", "block_id": "question", "elements": [form]}]


def filed(body: Mapping[str, Any]) -> tuple[str, list[Block]]:
    """The news that a ticket is there."""
    text = f":white_check_mark: Filed as *{ticket(body['key'], body['url'])}*."
    return text, [section(text)]


def unsettled(session_id: str, body: Mapping[str, Any]) -> tuple[str, list[Block]]:
    """For who approved it, and whoever may settle it: what is not settled about a filing, and the buttons that do."""
    who = f"<@{body['by']}> " if is_id(body["by"]) else ""
    text = f":warning: {who}*{escape(cut(body['title'], 200))}*: {escape(body['text'])}"
    row = settling_row(session_id, body["draft_hash"], body["attempt"], unknown=body["status"] == "unknown")
    return text, [*(section(piece) for piece in pieces(text)), row]


def contested(session_id: str, body: Mapping[str, Any]) -> tuple[str, list[Block]]:
    """For who was a moment too late with a form: what was not taken, and a way back to what was typed."""
    names = listed([label(field) for field in body["fields"]])
    text = f"Somebody else changed {escape(names)} just before you, so nothing was overwritten. What you entered is kept."
    row = {"type": "actions", "block_id": body["event_id"], "elements": [button("Open the form again", "reopen", session_id)]}
    return text, [section(text), row]


def answer_blocks(text: str, since: Sequence[FieldChange], where: str) -> list[Block]:
    """What a click came to, what changed since its card, and where the card is that counts."""
    blocks = [section(cut(text, BLOCK_CHARACTERS))]
    if since:
        blocks += changes(since)
    if where:
        blocks.append(section(link(where, "Go to the card")))
    return blocks
