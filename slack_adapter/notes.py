"""The messages beside the card: questions, news, and what one person alone is told, as Block Kit."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.sealing import FieldChange
from slack_adapter.blocks import changes, confirm, settling_row, ticket
from slack_adapter.inbound import ANSWER, SAME, button_value
from slack_adapter.naming import is_id, label, listed, person
from slack_adapter.pieces import BLOCK_CHARACTERS, Block, button, context, line, pieces, rich, section, words
from slack_adapter.text import cut, escape, link

OPTIONS = 10
"""Options of a question that have a button; of more, words choose."""

OPTION_CHARACTERS = 2_000
"""Characters of all options of a question together; they are whole where they were said."""


def questions(session_id: str, asked: Sequence[Mapping[str, Any]]) -> tuple[str, list[Block]]:
    """Questions: those with options have a button for each, the others one that opens the form."""
    texts = "\n".join(escape(one["text"]) for one in asked)
    shown: list[Block] = []
    for one in (one for one in asked if one.get("options")):
        shown += [section(escape(one["text"])), *_options(session_id, one)]
    if open_ones := [one for one in asked if not one.get("options")]:
        form = button("Fill in the rest", "fill_in", session_id)
        shown.append(section("\n".join(escape(one["text"]) for one in open_ones)))
        shown.append({"type": "actions", "block_id": "question", "elements": [form]})
    return texts, shown


def _options(session_id: str, question: Mapping[str, Any]) -> list[Block]:
    """A question's options; where people disagree, who says which."""
    options, by = question["options"][:OPTIONS], question.get("by") or []
    shown: list[Block] = []
    if by:
        room = OPTION_CHARACTERS // len(options)
        lines = [line(words(f"{n}. ", bold=True), words(cut(option, room))) for n, option in enumerate(options, 1)]
        people = [f"{n}: {', '.join(map(person, one.split(', ')))}" for n, one in enumerate(by[:OPTIONS], 1)]
        shown = [rich(*lines), context(f"*Said by* {' · '.join(people)}")]
    labels = [f"{n}. {option}" for n, option in enumerate(options, 1)] if by else options
    elements = [button(label, f"{ANSWER}:{n}", session_id) for n, label in enumerate(labels)]
    return [*shown, {"type": "actions", "block_id": question["id"], "elements": elements}]


def similar(session_id: str, body: Mapping[str, Any]) -> tuple[str, list[Block]]:
    """The tickets there are that may be the same as the one on the card that follows, each with a button that says so."""
    told = "There may be such a ticket already:"
    shown, lines = [section(f"*{told}*")], [told]
    for n, one in enumerate(body["tickets"]):
        key, known = one["key"], f"{ticket(one['key'], one['url'])} {escape(cut(one['title'], 200))}"
        same = button("It is this one", f"{SAME}:{n}", button_value(session_id, body["draft_hash"], key))
        same["accessibility_label"] = cut(f"It is {key}: link that, and file nothing", 75)
        text = f"The conversation is linked to {key}, and nothing new is filed."
        same["confirm"] = confirm(cut(f"Is it {key}?", 100), text, "It is", "Go back")
        why = f"\n_{escape(cut(one['why'], 200))}_" if one["why"] else ""
        block_id = f"{body['preview_id']}:{n}"
        shown.append({**section(f"{known}{why}"), "block_id": block_id, "accessory": same})
        lines.append(f"{key} {escape(one['title'])}")
    return "\n".join(lines), shown


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
