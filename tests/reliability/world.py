"""A world for one conversation that is killed: a database, trackers, Slack, and one process that somebody starts again.

People act as people do: what was not acknowledged they do again, and what was they leave to Signoff.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from slack_adapter.inbound import ATTEMPT
from tests.invariants import AT_REST, broken_on
from tests.processes import Forker, Signoff
from tests.slack.channel import buttons, words
from tests.slack_sim import Message, Slack, running_slack
from tests.trackers_sim.github import GitHub, running_github
from tests.trackers_sim.proxy import FaultProxy, fault_proxy

COMPLETE = "Title: Export fails\nProblem: It answers 500.\nAcceptance criteria:\n- it finishes\n- it is logged"
PATIENCE = 90.0
"""Seconds after which something that does not come is lost."""

ACTS = "SELECT count(*) AS n FROM inbox WHERE kind <> 'outcome'"


@dataclass
class Outcome:
    """What is wrong with a conversation that is over, and how many processes died in it."""

    deaths: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Other invariants that do not hold."""

    @property
    def wrong(self) -> str:
        """All of it in words; empty if nothing is wrong."""
        return "; ".join([*self.lost, *self.doubled, *self.broken])


class World:
    """Everything of one case. `fault` is what the next process is armed with: the first one."""

    def __init__(self, forker: Forker, dsn: str, fault: str, github: GitHub | None, proxy: FaultProxy | None) -> None:
        self.forker, self.dsn, self.fault, self._github, self._proxy = forker, dsn, fault, github, proxy
        self.environ = {"TEST_HURRIED": "2", "SIGNOFF_MODEL": ""}
        if github and proxy:
            self.environ |= {
                "GITHUB_TOKEN": github.token,
                "GITHUB_API_URL": proxy.url,
                "SIGNOFF_DESTINATION": "github:acme/web",
            }
        self.processes: list[Signoff] = []
        self.kills = 0
        self.may_end: tuple[int, ...] = (-9,)
        """How a process may end, and be started again."""
        self._settled = 0
        self.acknowledged = 0
        """Acts that Signoff has taken."""

    @property
    def github(self) -> GitHub:
        """The tracker outside."""
        assert self._github
        return self._github

    @property
    def proxy(self) -> FaultProxy:
        """The way there."""
        assert self._proxy
        return self._proxy

    @property
    def process(self) -> Signoff:
        """The one that runs now."""
        return self.processes[-1]

    def asked(self, ask: Callable[[psycopg.Connection[dict[str, Any]]], Any]) -> Any:
        """What the database says, once it is there."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
                    return ask(connection)
            except psycopg.OperationalError:  # it was cut
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query."""
        found: list[dict[str, Any]] = self.asked(lambda connection: connection.execute(query.encode()).fetchall())
        return found

    def acts(self) -> int:
        """How many acts of people are on record."""
        return int(self.rows(ACTS)[0]["n"])

    def armed(self) -> dict[str, str]:
        """What arms a process with the fault, and no other after it."""
        fault, self.fault = self.fault, ""
        return {"SIGNOFF_FAULT": fault}

    async def start(self) -> None:
        """A process: the first one with the fault."""
        raise NotImplementedError

    async def tend(self) -> bool:
        """Starts another process if the last one was killed; whether it was."""
        if self.process.runs():
            return False
        assert self.process.status in self.may_end, f"it ended with {self.process.status}: {self.process.stderr}"
        self.kills += 1
        await self.start()
        return True

    async def until(self, found: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Waits for something, and keeps a process running meanwhile."""
        end = asyncio.get_running_loop().time() + seconds
        while not (seen := found()):
            await self.tend()
            assert asyncio.get_running_loop().time() < end, f"{what} did not come: {self.state()}"
            await asyncio.sleep(0.03)
        return seen

    def in_doubt(self) -> int:
        """The attempt of which people are asked what came of it, if nobody has said so yet."""
        asked = self.rows("SELECT attempt FROM filings WHERE status = 'unknown' AND asked_at IS NOT NULL")
        return int(asked[0]["attempt"]) if asked and asked[0]["attempt"] > self._settled else 0

    async def files(self) -> None:
        """Waits until the ticket is filed; if Signoff asks what came of it, somebody looks, and says so."""
        while (seen := await self.until(lambda: "told" if self.told() else self.in_doubt(), "the ticket")) != "told":
            await self.settle(seen)
            self._settled = seen

    def told(self) -> bool:
        """Whether people see that the ticket is filed."""
        raise NotImplementedError

    async def settle(self, attempt: int) -> None:
        """Somebody who looked says what came of the attempt."""
        raise NotImplementedError

    def state(self) -> str:
        """What can be said of what hangs."""
        asked = {name: self.rows(query) for name, query in AT_REST.items()}
        return str({name: rows for name, rows in asked.items() if rows}) + self.process.stderr[-6000:]

    def judged(self, tickets: int) -> Outcome:
        """What is wrong now that all is over, and so many tickets should be there."""
        outcome = Outcome(self.kills)
        for name, rows in self.asked(lambda connection: broken_on(connection, at_rest=True)).items():
            doubles = name.startswith(("I2:", "I3:"))
            kind = outcome.lost if name in AT_REST else outcome.doubled if doubles else outcome.broken
            kind.append(f"{name}: {rows}")
        if self.acts() < self.acknowledged:
            outcome.lost.append(f"{self.acknowledged} acts were acknowledged, and {self.acts()} are there")
        there = len(self.github.issues) if self._github else self.rows("SELECT count(*) AS n FROM tickets")[0]["n"]
        if there != tickets:
            (outcome.lost if there < tickets else outcome.doubled).append(f"{there} tickets, not {tickets}")
        return outcome

    async def rest(self) -> None:
        """Until nothing more will come."""
        await self.until(lambda: not any(self.rows(query) for query in AT_REST.values()), "rest")

    async def close(self) -> None:
        """Ends what runs."""
        for process in self.processes:
            if process.runs():
                process.kill()
            process.close()


class Terminal(World):
    """A conversation in a terminal."""

    session = "one"

    async def start(self) -> None:
        """A terminal in the session."""
        environ = self.environ | self.armed()
        chat = ("chat", "--json", "--as", "ann", "--session", self.session)
        if self.processes:
            self.processes[-1].close()
        self.processes.append(self.forker.start(self.dsn, *chat, environ=environ))

    async def types(self, line: str, needs: str = "", unless: Callable[[], bool] = lambda: False) -> None:
        """Types a line once this terminal shows what it is about; again in the next one if that was not taken.

        `unless`: what makes it needless, should it come first.
        """
        before, typed = self.acts(), None
        while self.acts() == before:
            await self.tend()
            if unless():
                return
            if typed is not self.process and (not needs or self.process.of_kind(needs)):
                typed = self.process
                with suppress(BrokenPipeError):
                    self.process.send(line.replace("\n", "\\n"))
            await asyncio.sleep(0.03)
        self.acknowledged += 1

    def shown(self, kind: str) -> list[dict[str, Any]]:
        """What any terminal of the conversation has shown."""
        return [show for process in self.processes for show in process.of_kind(kind)]

    def told(self) -> bool:
        """Whether a terminal printed it."""
        return bool(self.shown("filed"))

    async def settle(self, attempt: int) -> None:
        """It is there, or it is filed again."""
        issues = self.github.issues
        word = f"/there acme/web#{issues[0].number}" if issues else "/again"
        await self.types(word, "unsettled", unless=lambda: self.in_doubt() != attempt)

    async def sees(self, kind: str) -> None:
        """Waits until that was shown."""
        await self.until(lambda: self.shown(kind), kind)

    async def finish(self) -> None:
        """Leaves; the last terminal ends by itself, once it has printed what its session is owed."""
        if self.process.status == 0:
            return
        await self.rest()
        self.process.close()
        while self.process.runs():
            await asyncio.sleep(0.03)
        if self.process.status:
            await self.tend()
            await self.finish()

    def judged(self, tickets: int) -> Outcome:
        """Also what was never printed."""
        outcome = super().judged(tickets)
        if owed := self.rows("SELECT key FROM effects WHERE done_at IS NULL"):
            outcome.lost.append(f"never printed: {owed}")
        return outcome


class Workspace(World):
    """A conversation in Slack, with one server."""

    slack: Slack
    channel = "C1OPS"
    thread = ""

    async def start(self) -> None:
        """A server, which Slack is told of."""
        environ = self.environ | self.armed()
        environ |= {
            "SLACK_API_URL": self.slack.api_url,
            "SLACK_BOT_TOKEN": self.slack.bot_token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
        }
        process = self.forker.start(self.dsn, "serve", "--port", "0", script="", environ=environ)
        self.processes.append(process)
        while not (found := re.search(r"http://[^;\s]+", process.stdout)):
            if not process.runs():
                await self.tend()
                return
            await asyncio.sleep(0.03)
        self.slack.deliver_to(found[0])

    async def does(self, act: Callable[[], Any]) -> Any:
        """Does something until it is acknowledged."""
        while True:
            acting = asyncio.ensure_future(act())
            while not acting.done():
                await self.tend()
                await asyncio.sleep(0.03)
            done = acting.result()
            answer = getattr(done, "answer", done)
            if answer is None or answer.status == 200:
                return done
            await asyncio.sleep(0.05)

    async def says(self, text: str, by: str = "U1ANN", files: Sequence[str] = ()) -> Message:
        """A message, in the conversation's thread if there is one."""
        thread, mention = self.thread or None, not self.channel.startswith("D")
        message: Message = await self.does(lambda: self.slack.say(by, self.channel, text, thread, files, mention=mention))
        self.acknowledged += 1
        self.thread = self.thread or message.ts
        return message

    async def clicks(self, message: Message, action: str, by: str = "U2BOB") -> None:
        """A click on a button."""
        await self.does(lambda: self.slack.click(by, message, action))

    async def decides(self, message: Message, action: str, by: str = "U2BOB") -> None:
        """A click that is an act of its own."""
        await self.clicks(message, action, by)
        self.acknowledged += 1

    async def form(self, open_it: Callable[[], Any], values: dict[str, Any], by: str = "U2BOB") -> None:
        """Opens a form and submits it, as often as it takes; one whose opening was lost with a process is opened anew."""
        while True:
            await self.does(open_it)
            opened = None
            for _ in range(100):
                if opened := next(iter(self.slack.views(by)), None):
                    break
                if await self.tend():
                    break
                await asyncio.sleep(0.03)
            if opened is None:
                continue
            submitting = asyncio.ensure_future(self.slack.submit(by, opened, values))
            while not submitting.done():
                await self.tend()
                await asyncio.sleep(0.03)
            if submitting.result().ok:
                return
            self.slack.close_views(by)

    def told(self) -> bool:
        """Whether the conversation reads so."""
        return any("Filed as" in words(one.blocks) for one in self.said())

    async def settle(self, attempt: int) -> None:
        """It is filed again, by somebody who is there."""
        message = await self.sees("", "file_again", block=f"{ATTEMPT}{attempt}")
        await self.decides(message, "file_again", "U1ANN" if self.channel.startswith("D") else "U2BOB")

    def said(self, thread: str = "") -> list[Message]:
        """What Signoff said in the thread."""
        return [one for one in self.slack.thread(self.channel, thread or self.thread) if one.user == self.slack.bot_user]

    async def sees(self, text: str, button: str = "", thread: str = "", block: str = "") -> Message:
        """The message with that text, button and block, once it is there."""

        def found() -> Message | None:
            seen = [
                one
                for one in self.said(thread)
                if text in words(one.blocks)
                and (not button or button in buttons(one))
                and (not block or any(part.get("block_id") == block for part in one.blocks))
            ]
            return seen[-1] if seen else None

        message: Message = await self.until(found, f"{text} {button}")
        return message

    async def finish(self) -> None:
        """Until nothing more will come; the server then ends as it is told to."""
        await self.rest()
        await asyncio.sleep(0.1)
        await self.tend()
        await self.rest()
        self.process.end()
        while self.process.runs():
            await asyncio.sleep(0.03)
        if self.process.status == -9:
            await self.tend()
            await self.finish()
            return
        assert self.process.status in (0, -15), f"{self.process.status} {self.process.stderr}"

    def judged(self, tickets: int) -> Outcome:
        """Also what was posted twice."""
        outcome = super().judged(tickets)
        posted = [message for place in self.slack.channels for message in self.slack.channel_messages(place)]
        keys = Counter(one.metadata["event_payload"]["key"] for one in posted if one.metadata)
        outcome.doubled += [f"posted twice: {key}" for key, times in keys.items() if times > 1]
        return outcome


@asynccontextmanager
async def world(kind: type[World], forkers: dict[str, Forker], dsn: str, fault: str, *, outside: bool) -> AsyncIterator[Any]:
    """A world with a process in it; `outside`: with GitHub, behind a proxy."""
    async with AsyncExitStack() as stack:
        github = proxy = None
        if outside:
            github = await stack.enter_async_context(running_github())
            github.add_repository("acme/web")
            proxy = await stack.enter_async_context(fault_proxy(github.url))
        forker = forkers["serve" if kind is Workspace else "chat"]
        here = kind(forker, dsn, fault, github, proxy)
        if isinstance(here, Workspace):
            here.slack = await stack.enter_async_context(running_slack())
            here.slack.retry_waits = (0.2,) * 100
            for user, name in (("U1ANN", "ann"), ("U2BOB", "bob")):
                here.slack.add_user(user, name)
            here.slack.add_user("U0ADA", "ada", admin=True)
            here.slack.add_channel("C1OPS", "ops", ["U1ANN", "U2BOB", "U0ADA"])
        try:
            yield here
        finally:
            await here.close()


def notes(path: Path) -> Counter[str]:
    """The points that a conversation came by, and how often."""
    return Counter(path.read_text().split()) if path.exists() else Counter()
