"""How a conversation looks: as JSON lines for programs, and as rich text for people."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.receipt import FORM
from agent.sealing import SHORT

LABELS = {"title": "Title", "type": "Type", "epic_id": "Epic"}
BODY_ORDER = (
    "who",
    "what",
    "why",
    "problem",
    "steps",
    "expected",
    "actual",
    "environment",
    "proposed_solution",
    "acceptance_criteria",
    "constraints",
    "dependencies",
    "risks",
    "open_questions",
)


class Screen(Protocol):
    """Where a conversation is shown."""

    def show(self, show: Mapping[str, Any]) -> None:
        """Shows one object of `agent.shows`."""
        ...

    def working(self) -> AbstractContextManager[object]:
        """A sign, for as long as it is entered, that something is going on."""
        ...


class JsonScreen:
    """One object a line on standard output."""

    def show(self, show: Mapping[str, Any]) -> None:
        """Prints it at once: a reader may be waiting for the line."""
        sys.stdout.write(json.dumps(show, ensure_ascii=True) + "\n")
        sys.stdout.flush()

    def working(self) -> AbstractContextManager[object]:
        """Programs need no sign."""
        return nullcontext()


class RichScreen:
    """Rich text on standard output; plain where that is no terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def show(self, show: Mapping[str, Any]) -> None:
        """Prints it, with a line between one thing and the next."""
        self.console.print(render(show))

    def working(self) -> AbstractContextManager[object]:
        """A spinner on a terminal."""
        return self.console.status("working …") if self.console.is_terminal else nullcontext()


def render(show: Mapping[str, Any]) -> RenderableType:
    """A show as something that rich can print."""
    match show["kind"]:
        case "say" | "private":
            return Padding(_inline(show["text"]), (0, 0, 0, 2))
        case "question":
            return Group(*(line for one in show["questions"] for line in _question(one)))
        case "similar":
            lines = [
                Text("  ") + Text(one["key"], style="bold") + Text(f"  {one['title']}  ({one['why']})")
                for one in show["tickets"]
            ]
            told = Text("! There may be such a ticket already: /same KEY if it is one of these.", style="yellow")
            return Group(told, *lines)
        case "marks":
            said = Text(f"✔ {show['by']} says so: {', '.join(map(_label, show['said']))}", style="green")
            return Group(*([said] if show["said"] else []), *_marks(show))
        case "preview":
            return card(show)
        case "decision":
            mark = {"approved": "✔ ", "rejected": "✘ "}.get(show["status"], "! ")
            style = {"approved": "green", "rejected": "red"}.get(show["status"], "yellow")
            return Group(Text(mark + show["text"], style=style), *_changes(show["diff"]))
        case "filed":
            return Text(f"✔ Filed as {show['key']}  ", style="bold green") + Text(show["url"], style="dim")
        case "unsettled":
            acts = "/again files it again   /leave withdraws the approval"
            if show["status"] == "unknown":
                acts = "/there KEY if you find it   /again files it again   /leave leaves it"
            return Group(Text(f"! {show['text']}", style="yellow"), Text(f"  {acts}", style="cyan"))
    raise ValueError(f"nothing is known of a {show['kind']}")


def _inline(text: str) -> Text:
    """A sentence with `code` and *word* marked as chat does; what people wrote is never read as rich's markup."""
    rendered = Text()
    for part in re.split(r"(`[^`\n]+`|\*\w+\*)", text):
        marked = len(part) > 2 and part[0] == part[-1] and part[0] in "`*"
        rendered.append(part[1:-1] if marked else part, style="bold" if marked else "")
    return rendered


def card(preview: Mapping[str, Any]) -> RenderableType:
    """The preview: everything that would be filed, where it goes, and what changed since the last card."""
    sealed = preview["sealed"]
    fields: Mapping[str, Any] = sealed["fields"]
    facts = _grid(padding=2)
    for name, value in fields.items():
        if name == "custom":
            for own, text in value.items():
                facts.add_row(Text(own, style="dim"), Text(text))
        elif name not in BODY_ORDER:
            for n, item in enumerate(value if isinstance(value, list) else [value]):
                facts.add_row(Text("" if n else _label(name), style="dim"), Text(_value(item)))
    parts: list[RenderableType] = [Text(sealed["title"], style="bold"), Text()]
    parts += [Padding(_body(sealed["fields"]), (0, 0, 1, 0))]
    if facts.row_count:
        parts.append(Padding(facts, (0, 0, 1, 0)))
    if preview["diff"]:
        parts += [Text("Changed since the last card", style="bold"), *_changes(preview["diff"]), Text()]
    parts += _marks(preview)
    parts += [Text(f"Filed with {FORM}.", style="dim"), Text()]
    short = preview["draft_hash"][:SHORT]
    parts.append(Text(f"/approve {short}   /reject   /edit field=value   or say what to change", style="cyan"))
    by = f" by {preview['by']}" if preview.get("by") else ""
    where = f"{sealed['tracker']} · {sealed['project']} · {sealed['type']}"
    return Panel(
        Group(*parts), title=Text(where), subtitle=Text(f"version {preview['version']}{by} · {short}"),
        title_align="left", subtitle_align="right", border_style="cyan", padding=(1, 2),
    )  # fmt: skip


def _question(question: Mapping[str, Any]) -> list[Text]:
    lines = [Text("? ", style="bold cyan") + _inline(question["text"])]
    by = question.get("by") or []
    for n, option in enumerate(question.get("options", []), 1):
        lines.append(
            Text(f"  {n}. " if by else "  ", style="cyan") + Text(option) + Text(f"  ({by[n - 1]})" if by else "", style="dim")
        )
    return lines


def _marks(preview: Mapping[str, Any]) -> list[RenderableType]:
    """What somebody should know before they approve, beside the ticket itself."""
    lines: list[RenderableType] = []
    if unsaid := preview.get("unsaid"):
        lines.append(Text("Nobody said this: /confirm N if it is so, /drop N takes it out", style="yellow"))
        lines += [Text(f"  {n}. {_label(one['field'])}: {one['value']}", style="yellow") for n, one in enumerate(unsaid, 1)]
    for one in preview.get("conflicts") or []:
        sides = " / ".join(f"{side['value']} ({side['author']})" for side in one["sides"])
        settle = f"/edit {one['field']}=... settles it"
        lines.append(Text(f"In conflict: {_label(one['field'])}: {sides}  ({settle})", style="yellow"))
    if left := preview.get("unanswered"):
        lines.append(Text(f"Left open: {', '.join(map(_label, left))}", style="yellow"))
    if unread := preview.get("unread"):
        lines.append(Text(f"{unread} newer message{'s' * (unread > 1)} not considered", style="yellow"))
    if open_ones := preview.get("not_said"):
        lines.append(Text(f"Could be added: {', '.join(map(_label, open_ones))}", style="dim"))
    return [*lines, Text()] if lines else []


def _body(fields: Mapping[str, Any]) -> RenderableType:
    parts: list[RenderableType] = []
    for name in (name for name in BODY_ORDER if name in fields):
        value = fields[name]
        parts.append(Text(_label(name), style="dim"))
        lines: RenderableType = Text(_value(value), overflow="fold")
        if isinstance(value, list):
            lines = _items(value)
        parts.append(Padding(lines, (0, 0, 0, 2)))
    return Group(*parts)


def _items(items: Sequence[Any]) -> Table:
    """A list whose items' further lines stand under their first, so that no text passes for another item."""
    grid = _grid(padding=1)
    for item in items:
        grid.add_row(Text("•"), Text(_value(item)))
    return grid


def _grid(padding: int) -> Table:
    """Two columns that fold what is too long: nothing that would be filed is cut."""
    grid = Table.grid(padding=(0, padding))
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    return grid


def _changes(changes: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for change in changes:
        name = _label(change["field"])
        lines += [Text(f"  {name}: removed  {_value(value)}", style="red") for value in change["removed"]]
        lines += [Text(f"  {name}: added    {_value(value)}", style="green") for value in change["added"]]
    return lines


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _value(value: Any) -> str:
    match value:
        case list():
            return ", ".join(_value(item) for item in value)
        case dict():
            return ", ".join(f"{key}: {_value(item)}" for key, item in value.items())
    return str(value)
