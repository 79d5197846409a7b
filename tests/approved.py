"""A conversation whose ticket is approved, and whose filing is worked on by hand, step by step and as if time had passed."""

from typing import Any

from sqlalchemy import select, text, update

from agent.ladder import ASKED_AFTER
from agent.projects import Project
from agent.protocol import Decision, FilingOutcome, Reply, Settlement
from agent.receipt import Receipt
from agent.sealing import SealedTicket
from agent.shell import Shell
from agent.trackers import Copy, Missing, Ticket
from persistence.database import Database
from persistence.tables import filings
from skills.trackers.local import LocalRenderer
from tests.support import COMPLETE, Talk


class Scripted(LocalRenderer):
    """A tracker that does one thing after the other: raises, or creates and then raises, or creates."""

    repeatable = False

    def __init__(self, *script: Exception | tuple[Exception] | None) -> None:
        self.script = list(script)
        self.sent: list[tuple[SealedTicket, Receipt]] = []
        self.there: dict[str, Copy] = {}
        self.visible = True
        self.links: list[str] = []
        self.unreadable: Exception | None = None

    async def describe(self, project: str) -> Project:
        return Project(key=project)

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        self.sent.append((sealed, receipt))
        does = self.script.pop(0) if self.script else None
        if isinstance(does, Exception):
            raise does
        ticket = Ticket(key=f"OPS-{len(self.there) + 1}", url="https://tracker.test/1")
        self.there[ticket.key] = Copy(ticket=ticket, ours=True, payload=sealed.payload)
        if does:
            raise does[0]
        return ticket

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        if self.unreadable:
            raise self.unreadable
        return next(iter(self.there.values()), None) if self.visible else None

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        if key not in self.there:
            raise Missing(f"There is no {key}.")
        return self.there[key]

    async def search(self, project: str, text: str) -> list[Ticket]:
        return []

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        self.links.append(ticket.key)

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        return None


class Approved:
    """A conversation whose ticket is approved, worked on by hand, step by step."""

    def __init__(self, database: Database, shell: Shell, name: str = "filed") -> None:
        self.database, self.shell = database, shell
        self.talk = Talk(database, f"terminal:{name}")
        self.card: dict[str, Any] = {}

    async def begin(self, said: str = COMPLETE) -> None:
        [*_, self.card] = await self.take(Reply(text=said, by="ann"))
        await self.approve()

    async def approve(self) -> list[dict[str, Any]]:
        return await self.take(Decision(type="approve", draft_hash=self.card["draft_hash"], by="ann"))

    async def take(self, answer: Reply | Decision | Settlement | FilingOutcome) -> list[dict[str, Any]]:
        await self.talk.store.accept(self.talk.event(answer))  # type: ignore[arg-type]
        return await self.wake()

    async def settle(self, act: Any, **more: Any) -> list[dict[str, Any]]:
        return await self.take(Settlement(act=act, by="ann", **more))

    async def wake(self) -> list[dict[str, Any]]:
        await self.shell.wake(self.talk.session_id, 0)
        return [shown.body for shown in await self.talk.feed.read()]

    async def step(self) -> list[dict[str, Any]]:
        """The filing's next step, as if its time had come."""
        async with self.database.engine.begin() as connection:
            due = update(filings).where(filings.c.due_at.is_not(None)).values(due_at=text("clock_timestamp()"))
            await connection.execute(due)
        await self.shell.file(self.talk.session_id, self.card["draft_hash"])
        return await self.wake()

    async def until_asked(self) -> list[dict[str, Any]]:
        for _ in range(ASKED_AFTER):
            shown = await self.step()
        return shown

    async def age(self, seconds: float) -> None:
        async with self.database.engine.begin() as connection:
            await connection.execute(text("UPDATE filings SET since = since - make_interval(secs => :s)"), {"s": seconds})

    async def row(self) -> Any:
        async with self.database.engine.connect() as connection:
            return (await connection.execute(select(filings))).one()
