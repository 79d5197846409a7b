"""`signoff tickets`: what the local tracker holds."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from agent.cli import Usage, wiring
from agent.receipt import Receipt, sentence
from agent.sealing import SHORT
from persistence.database import Database
from persistence.tickets import PostgresTickets, StoredTicket


def list_all(*, as_json: bool) -> int:
    """Prints every ticket: a table, or one JSON object a line."""
    tickets = wiring.read_from_database(_all)
    if as_json:
        for ticket in tickets:
            row = {"key": ticket.key, "draft_hash": ticket.draft_hash, "sealed": json.loads(ticket.sealed)}
            print(json.dumps({**row, "filed_at": ticket.filed_at.isoformat()}))
        return 0
    if not tickets:
        print("No ticket is filed yet: start one with signoff chat.")
        return 0
    filed = Column("Filed", no_wrap=True)
    table = Table("Key", "Title", "Type", "Hash", filed, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for ticket in tickets:
        sealed = json.loads(ticket.sealed)
        filed_at = f"{ticket.filed_at.astimezone():%Y-%m-%d %H:%M}"
        cells = (ticket.key, sealed["title"], sealed["type"], ticket.draft_hash[:SHORT], filed_at)
        table.add_row(*(Text(cell) for cell in cells))
    Console(highlight=False).print(table)
    return 0


def show(key: str) -> int:
    """Prints one ticket as Markdown."""

    async def read(database: Database) -> tuple[StoredTicket | None, list[tuple[str, datetime, str]]]:
        tickets = PostgresTickets(database.engine)
        found = next((ticket for ticket in await tickets.all() if ticket.key.lower() == key.lower()), None)
        return found, await tickets.comments(found.key) if found else []

    ticket, comments = wiring.read_from_database(read)
    if ticket is None:
        raise Usage(f"There is no ticket {key}: see signoff tickets.")
    print(_markdown(ticket))
    for author, at, text in comments:
        print(f"\n{author}, {at.astimezone():%Y-%m-%d %H:%M}:\n{text}")
    return 0


def export(directory: str) -> int:
    """Writes every ticket as KEY.md into a directory."""
    tickets, into = wiring.read_from_database(_all), Path(directory)
    try:
        into.mkdir(parents=True, exist_ok=True)
        for ticket in tickets:
            (into / f"{ticket.key.replace('/', '_')}.md").write_text(_markdown(ticket) + "\n", encoding="utf-8")
    except OSError as error:
        raise Usage(f"{directory} cannot be written to ({error.strerror}): name another directory.") from None
    print(f"{len(tickets)} ticket{'s' * (len(tickets) != 1)} written to {directory}.")
    return 0


async def _all(database: Database) -> list[StoredTicket]:
    return await PostgresTickets(database.engine).all()


def _markdown(ticket: StoredTicket) -> str:
    sealed: Mapping[str, Any] = json.loads(ticket.sealed)
    lines = [f"# {ticket.key}: {sealed['title']}", "", f"Type: {sealed['type']}"]
    inline = ("priority", "labels", "assignee", "epic_id", "custom")
    lines += [
        f"{name.replace('_', ' ').capitalize()}: {_text(sealed['fields'][name])}" for name in inline if name in sealed["fields"]
    ]
    receipt = f"Filed {ticket.filed_at.isoformat(timespec='seconds')} from the approved ticket {ticket.draft_hash}."
    if ticket.receipt:
        receipt = "".join(piece.text for piece in sentence(Receipt.model_validate(ticket.receipt)))
    return "\n".join([*lines, "", sealed["body"], "", "---", receipt])


def _text(value: Any) -> str:
    match value:
        case list():
            return ", ".join(value)
        case dict():
            return ", ".join(f"{key}: {item}" for key, item in value.items())
    return str(value)
