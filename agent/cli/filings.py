"""`signoff filings` and `signoff verify`: what became of approvals, for an operator."""

import asyncio
import json
import secrets
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy import text

from agent.cli import Usage, wiring
from agent.draft import clean
from agent.ports import Event, Filing
from agent.protocol import Settlement
from agent.receipt import sentence
from agent.sealing import SHORT, SealedTicket
from agent.trackers import Copy, Later, Missing, Refused
from persistence.database import Database
from persistence.filings import PostgresFilings
from persistence.queue import surface_of
from persistence.store import PostgresStore

OPEN = ("intended", "sent", "unknown", "failed")
"""The states of a filing that are not its end."""

PATIENCE = 20.0
"""Seconds that `resolve` waits for what its word comes to."""

SAID = text("SELECT body FROM effects WHERE starts_with(key, :event_id || ':') ORDER BY id")
PROCESSED = text("SELECT processed_at IS NOT NULL FROM inbox WHERE event_id = :event_id")


def list_filings(*, everything: bool, as_json: bool) -> int:
    """Prints the filings that are not at their end, or all: a table, or one JSON object a line."""

    async def read(database: Database) -> list[dict[str, Any]]:
        return await PostgresFilings(database).listed(None if everything else OPEN)

    rows = wiring.read_from_database(read)
    if as_json:
        for row in rows:
            print(json.dumps(_as_json(row)))
        return 0
    if not rows:
        print("Nothing is open: every approval was filed, or is settled." if not everything else "Nothing was approved yet.")
        return 0
    since = Column("Since", no_wrap=True)
    table = Table("Id", "State", "Ticket", "Where", since, "What is known", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for row in rows:
        sealed = json.loads(row["sealed"])
        where = f"{sealed['tracker']} {sealed['project']}"
        known = row["key"] or row["reason"] or ""
        cells = (_id(row["marker"]), row["status"], sealed["title"], where, f"{row['at'].astimezone():%Y-%m-%d %H:%M}", known)
        table.add_row(*(Text(cell) for cell in cells))
    Console(highlight=False).print(table)
    return 0


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    sealed = json.loads(row["sealed"])
    plain = ("session_id", "draft_hash", "marker", "status", "attempt", "asked", "key", "url", "reason")
    known = {name: row[name] for name in plain} | {name: sealed[name] for name in ("tracker", "project", "title")}
    return {"id": _id(row["marker"]), **known, "approved_by": row["approved_by"], "at": row["at"].isoformat()}


def _id(marker: str) -> str:
    return marker.removeprefix("signoff-")[:SHORT]


def resolve(given: str, *, key: str | None, again: bool) -> int:
    """Settles a filing by an operator's word; 1 if that was not taken."""
    act: Any = "there" if key else "again" if again else "leave"
    with wiring.database_dsn() as dsn:
        return asyncio.run(_resolve(dsn, given, Settlement(act=act, key=key or "", by=wiring.login())))


async def _resolve(dsn: str, given: str, said: Settlement) -> int:
    async with wiring.database(dsn) as database:
        filing = await _named(database, given)
        event = Event(
            event_id=f"operator:{secrets.token_hex(8)}",
            session_id=filing.session_id,
            origin="",
            surface={"kind": "operator"},
            answer=said.model_copy(update={"draft_hash": filing.draft_hash, "attempt": filing.attempt}),
        )
        if surface_of(filing.session_id) == "slack":
            await PostgresStore(database).accept(event)
            return await _told(database, event, filing)
        listener = await asyncio.to_thread(wiring.listener)
        shell = await asyncio.to_thread(wiring.shell, database, listener, wiring.catalogue(database))
        async with database.queue.working(shell):
            await PostgresStore(database).accept(event)
            return await _told(database, event, filing)


async def _named(database: Database, given: str) -> Filing:
    """The filing whose id or marker begins like this. Raises Usage."""
    wanted = given.lower().removeprefix("signoff-")
    found = await PostgresFilings(database).of_marker(f"signoff-{wanted}") if len(wanted) >= SHORT else []
    if len(found) != 1:
        raise Usage(f"{given} names {'no filing' if not found else 'several filings'}: give an id that signoff filings lists.")
    return found[0]


async def _told(database: Database, event: Event, filing: Filing) -> int:
    """Prints what the operator's word came to, and what came of that."""
    with Console(stderr=True).status("settling …"):
        shows, now = await _settled(database, event, filing)
    if shows is None:
        print("That is on record; signoff serve takes it up, and it does not run now.")
        return 0
    for show in shows:
        if told := show.get("text") or (f"Filed as {show['key']}  {show['url']}" if show["kind"] == "filed" else ""):
            print(told)
    refused = any(show["kind"] == "private" for show in shows)
    if now and now.status == "filed" and now.ticket and not refused and all(show["kind"] != "filed" for show in shows):
        print(f"Filed as {now.ticket.key}  {now.ticket.url}")
    return int(refused)


async def _settled(database: Database, event: Event, filing: Filing) -> tuple[list[dict[str, Any]] | None, Filing | None]:
    """What was said to the event, and the filing once it is not under way any more; None if nobody takes the event."""
    ledger, taken = PostgresFilings(database), False
    for _ in range(int(PATIENCE / 0.1)):
        async with database.engine.connect() as connection:
            taken = bool(await connection.scalar(PROCESSED, {"event_id": event.event_id}))
        now = next(iter(await ledger.of_marker(filing.marker)), None)
        if taken and not (now and now.status in ("intended", "sent")):
            break
        await asyncio.sleep(0.1)
    if not taken:
        return None, None
    async with database.engine.connect() as connection:
        shows = [json.loads(body) for body in await connection.scalars(SAID, {"event_id": event.event_id})]
    return shows, now


def verify(key: str, *, as_json: bool) -> int:
    """Says whether a ticket is what was approved; 1 if it was changed since, is gone, or never was."""
    key = clean(key)[0]

    async def read(database: Database) -> list[tuple[Filing, Copy | str]]:
        catalogue, filings = wiring.catalogue(database), await PostgresFilings(database).of_key(key)
        return [(filing, await _read(catalogue, filing)) for filing in filings]

    with Console(stderr=True).status("reading …"):
        found = wiring.read_from_database(read)
    if not found:
        raise Usage(f"No ticket {key} was filed from here: signoff filings --all lists those that were.")
    status = 0
    for filing, copy in found:
        result = _verdict(filing, copy)
        status = status or (0 if result["as_approved"] else 1)
        if as_json:
            print(json.dumps(result))
        else:
            _print_verdict(filing, copy, result)
    return status


async def _read(catalogue: Any, filing: Filing) -> Copy | str:
    """The ticket as its tracker holds it, or why it cannot be read."""
    key = filing.ticket.key if filing.ticket else ""
    try:
        sealed = SealedTicket.of(filing.sealed, filing.draft_hash)
        copy: Copy = await catalogue.of(sealed).read(key, sealed, filing.receipt)
    except Missing:
        return f"{key} is not there any more, or this token may not see it."
    except (Refused, Later) as error:
        return str(error)
    except ValueError as error:
        return f"What is stored of the approval was changed: {error}."
    return copy


def _verdict(filing: Filing, copy: Copy | str) -> dict[str, Any]:
    approved = {"approved_by": filing.receipt.approved_by, "approved_at": filing.receipt.approved_at.isoformat()}
    known = {"key": filing.ticket.key if filing.ticket else "", "draft_hash": filing.draft_hash, **approved}
    if isinstance(copy, str):
        return {**known, "as_approved": False, "problem": copy}
    same = copy.ours and copy.receipt and copy.draft_hash == filing.draft_hash
    changed = [change.model_dump() for change in copy.changed]
    return {
        **known,
        "as_approved": same,
        "now": copy.draft_hash,
        "marker": copy.ours,
        "receipt": copy.receipt,
        "changed": changed,
    }


def _print_verdict(filing: Filing, copy: Copy | str, result: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    key, said = result["key"], "".join(piece.text for piece in sentence(filing.receipt))
    if isinstance(copy, str):
        console.print(Text(f"✘ {copy}", style="red"))
        return
    if result["as_approved"]:
        console.print(Text(f"✔ {key} is what was approved.", style="green"))
        console.print(Text(f"  {said}", style="dim"))
        return
    console.print(Text(f"✘ {key} is not what was approved.", style="red"))
    console.print(Text(f"  {said}", style="dim"))
    if not copy.ours:
        console.print(Text("  It does not carry the approval's marker where Signoff puts it.", style="red"))
    if not copy.receipt:
        console.print(Text("  Its receipt was changed or taken away.", style="red"))
    for change in copy.changed:
        console.print(Text(f"  {change.field}, changed:", style="bold"))
        for style, mark, lines in (("red", "-", change.removed), ("green", "+", change.added)):
            for line in lines:
                console.print(Text(f"    {mark} {line}", style=style))
