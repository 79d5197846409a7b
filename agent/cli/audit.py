"""`signoff audit`: whether the audit log is whole, an export that can be verified elsewhere, and a session's story."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.audit import NOTHING, BadExport, Chain, Head, Row, read
from agent.cli import Usage, wiring
from agent.draft import clean
from agent.sealing import SHORT
from persistence.audit import PostgresAudit
from persistence.database import Database

PATIENCE = 1.0
"""Seconds after which it is shown how far it is."""

OFTEN = 500
"""Rows between two looks at the clock."""


class _Progress:
    """A sign on standard error of how many rows were read, once that takes a while."""

    def __init__(self) -> None:
        self._status, self._shown = Console(stderr=True).status(""), ExitStack()
        self._rows, self._due = 0, time.monotonic() + PATIENCE

    def row(self) -> None:
        """Another one was read."""
        self._rows += 1
        if self._rows % OFTEN == 0 and time.monotonic() > self._due:
            self._shown.enter_context(self._status)
            self._status.update(f"{self._rows:,} rows …")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()


def verify(file: str | None, *, anchor: str) -> int:
    """Says whether the log, or an export of it, is as it was written; 1 if it is not, with what is wrong."""
    if anchor and not (len(anchor) == len(NOTHING) and set(anchor) <= set("0123456789abcdef")):
        raise Usage(f"--head takes the {len(NOTHING)} characters that signoff audit verify printed, and {anchor} is not that.")
    chain = Chain(anchor)
    with _Progress() as progress:
        head, others = (_read_file(file, chain, progress), []) if file else (None, _read_log(chain, progress))
    found, console = chain.findings(head), Console(highlight=False, soft_wrap=True)
    if others and not chain.rows:
        others = ["All of them: its rows were deleted, or nothing has happened since there is a log."]
    for what, findings in (("is not as it was written", found), ("does not have what other tables say", others)):
        if findings:
            console.print(Text(f"✘ {file or 'The audit log'} {what}:", style="red"))
        for finding in findings:
            console.print(Text(f"  {clean(finding)[0]}"))
    if found or others:
        return 1
    if not chain.rows:
        console.print(f"{file or 'The audit log'} is empty.", markup=False)
        return 0
    many = f"{chain.rows:,} rows, from {_time(chain.begun)} to {_time(chain.ended)}"
    if chain.rows == 1:
        many = f"1 row, of {_time(chain.begun)}"
    console.print(Text(f"✔ {many}: one unbroken chain.", style="green"))
    if head and head.before != NOTHING:
        console.print(f"  It goes on from {head.before}", markup=False)
    console.print(f"  Its head: {chain.head}", markup=False)
    if not anchor:
        console.print(
            Text(
                "  Kept elsewhere, and given to --head later, that proves that nothing up to here was cut or written anew.",
                "dim",
            )
        )
    return 0


def _read_file(file: str, chain: Chain, progress: _Progress) -> Head:
    try:
        with Path(file).open(encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            lines = (line.removesuffix("\n") for line in stream)
            head = Head.of(next(lines, ""))
            for _ in read(lines, chain):
                progress.row()
    except BadExport as error:
        raise Usage(f"{file} cannot be verified, {error}: name a file that signoff audit export wrote.") from None
    except OSError as error:
        raise Usage(f"{file} cannot be read ({error.strerror}): name a file that signoff audit export wrote.") from None
    return head


def _read_log(chain: Chain, progress: _Progress) -> list[str]:
    """What the other tables say that is not in it; of itself it is to be whole, wherever it ends."""

    async def reading(database: Database) -> list[str]:
        audit = PostgresAudit(database)
        async with audit.rows() as (_, rows):
            async for row in rows:
                chain.add(row)
                progress.row()
        return await audit.disagreements()

    return wiring.read_from_database(reading)


def export(file: str | None, *, since: str | None) -> int:
    """Writes the log as JSON lines, the rows from a time on or all, to a file or to standard output."""
    begin = _moment(since).isoformat() if since else None

    async def writing(database: Database) -> Head:
        async with PostgresAudit(database).rows(begin) as (head, rows):
            print(head.line(), file=stream)
            async for row in rows:
                print(row.line(), file=stream)
                progress.row()
        return head

    with _output(file) as stream, _Progress() as progress:
        head = wiring.read_from_database(writing)
    rows = f"{head.count:,} row{'s' * (head.count != 1)}"
    print(f"{rows} written. Keep the head elsewhere, for verify --head: {head.head}", file=sys.stderr)
    return 0


@contextmanager
def _output(file: str | None) -> Iterator[TextIO]:
    """Where an export goes. A file that is there already stays as it is until the export is whole."""
    if file is None:
        yield sys.stdout
        return
    target = part = Path(file)
    if target.is_file() or not target.exists():  # and no pipe or device
        target = target.resolve()
        part = target.with_name(f"{target.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        if part != target:
            part.replace(target)
    except OSError as error:
        raise Usage(f"{file} cannot be written ({error.strerror}): name another file.") from None
    finally:
        if part != target:
            part.unlink(missing_ok=True)


def _moment(given: str) -> datetime:
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Usage(f"--since takes a date such as 2026-11-28, or a time such as 2026-11-28T14:30, and not {given}.") from None


def show(session: str, *, as_json: bool) -> int:
    """Tells what happened in a session: who said what, what was shown, who decided, what was filed."""
    session = clean(session)[0]

    async def reading(database: Database) -> list[Row]:
        for session_id in (f"terminal:{session}", session):
            if rows := await PostgresAudit(database).of_session(session_id):
                return rows
        return []

    if not (rows := wiring.read_from_database(reading)):
        raise Usage(
            f"The audit log has no session {session}: give the name that chat was started with, or TEAM:CHANNEL:THREAD."
        )
    if as_json:
        for row in rows:
            print(row.line())
        return 0
    story = Table.grid(padding=(0, 2, 0, 0))
    story.add_column(style="dim", no_wrap=True)
    story.add_column(overflow="fold")
    for row in rows:
        told = Text(_told(row))
        if row.digest() != row.hash:
            told = Text(f"! Row {row.seq} was edited since: ", style="red") + told
        story.add_row(Text(_time(row.at)), told)
    Console(highlight=False).print(story)
    return 0


def _time(at: str) -> str:
    try:
        return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):  # somebody edited it
        return at


def _told(row: Row) -> str:
    """A row as a sentence."""
    try:
        return clean(_sentence(row.kind, json.loads(row.body)))[0]
    except (ValueError, TypeError, KeyError, AttributeError):  # somebody edited it
        return clean(f"{row.kind} {row.body}")[0]


def _sentence(kind: str, body: dict[str, Any]) -> str:
    who = body.get("name") or body.get("by") or "somebody"
    card = body.get("draft_hash", "")[:SHORT]
    why = f": {body['reason']}" if body.get("reason") else ""
    match kind:
        case "said" | "amended":
            words = body.get("words", "")
            if body.get("characters", 0) > len(words):
                words += f" … ({body['characters']:,} characters)"
            files = ", ".join(file["name"] or file["id"] for file in body.get("files", []))
            acts = {"amended": "changed a message", "new": "asks for the next ticket", "show": "asks for the card"}
            act = acts.get(kind) or acts.get(body.get("asks", ""), "")
            act = act or ("passed on" if body.get("quoted") else "says nothing" if not words and not files else "")
            said = f"{who} {act}: {words}" if act else f"{who}: {words}"
            return said.rstrip(": ") + (f" [{files}]" if files else "")
        case "deleted":
            return f"{who} deleted a message."
        case "set":
            where = body.get("destination", {})
            return f"Tickets from here go to {where.get('tracker', '')} {where.get('project', '')}."
        case "configured" if "home" in body["setting"]:
            return f"{who} settled where direct messages belong: {body['setting']['home'] or 'nowhere'}."
        case "configured":
            setting, rule = body["setting"], body["setting"].get("approvers", {})
            members = {"members": ["members of the channel"], "workspace": ["members of the workspace"]}
            may = [*members.get(rule.get("who", "members"), []), *rule.get("people", []), *rule.get("groups", [])]
            where = f"{setting.get('tracker', '')} {setting.get('project', '')}".strip()
            return f"{who} settled that tickets go to {where or 'where they went'}, and who may approve: {', '.join(may)}."
        case "model":
            number, model = body.get("dropped") or 0, body.get("model", "A model")
            match body.get("unread"):
                case "unusable":
                    return f"{model} answered, and its answer could not be used."
                case "spent":
                    return f"{model} was not asked: this conversation has used up what it may take."
            dropped = f", and {number} change{'s were' if number > 1 else ' was'} thrown away" if number else ""
            return f"{model} did not answer: {body['error']}" if "error" in body else f"{model} answered{dropped}."
        case "previewed":
            return f"Card {card} is shown, version {body['version']}, for {body['tracker']} {body['project']}: {body['title']}"
        case "superseded":
            return f"Card {card} is no longer current."
        case "expired":
            return f"Card {card} has expired."
        case "decided" if body["status"] == "linked":
            return f"{who} says that card {card} is {body['same_as']}."
        case "decided":
            return f"{who} {body['status']} card {card}{why}"
        case "refused":
            return f"{who} was refused: {body['why']}"
        case "settled":
            acts = {
                "there": f"says that it is there as {body.get('key')}",
                "again": "lets it be filed again",
                "leave": "leaves it",
            }
            return f"{who} {acts[body['act']]}, card {card}{', as an operator' * body.get('operator', False)}."
        case "sent":
            again = f", attempt {body['attempt']}" if body.get("attempt", 1) > 1 else ""
            return f"Card {card} is sent to {body['where']}{again}."
        case "not sent":
            return f"Card {card} could not be sent, and is sent later{why}"
        case "filed":
            return f"Filed as {body['key']}, card {card}  {body.get('url', '')}".rstrip()
        case "made twice":
            return f"{body['key']} was made for card {card}, too, by an attempt whose answer came late  {body.get('url', '')}"
        case "failed":
            return f"Card {card} was not filed{why}"
        case "unknown":
            return f"Nobody can tell whether card {card} was filed{why}"
        case "left":
            return f"Card {card} is left in doubt."
        case "withdrawn":
            return f"The approval of card {card} is withdrawn{why}"
        case "unprocessed":
            return f"What {who} did could not be processed."
    raise ValueError(kind)
