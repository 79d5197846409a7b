"""`signoff chat`: a conversation in the terminal, or a script of one through a pipe."""

import asyncio
import os
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import DBAPIError

from agent import shows
from agent.cli import Usage, wiring
from agent.cli.acts import Mark, Quit, Say, on_marks, parse
from agent.cli.screen import JsonScreen, RichScreen, Screen
from agent.draft import clean
from agent.faults import point
from agent.ports import Event
from agent.protocol import Decision, Reply, Settlement
from persistence.database import Database
from persistence.feed import Feed, Shown
from persistence.store import PostgresStore

if TYPE_CHECKING:
    from agent.catalogue import Catalogue

POLL = 0.02
"""Seconds between two looks for what a turn led to."""

WELCOME = "Say what the ticket is about, in your own words. Nothing is filed before you approve it; /help lists the acts."

NAME_LIMIT = 100
"""Characters in a speaker's or a session's name."""


def run(*, session: str | None, speaker: str | None, as_json: bool) -> int:
    """Holds the conversation until its input ends or it is left; gives the exit status."""
    name = _name("--session", secrets.token_hex(4) if session is None else session.removeprefix("terminal:"))
    speaker = _name("--as", wiring.login() if speaker is None else speaker)
    if sys.stdin is None or sys.stdout is None:
        raise Usage("chat needs standard input and output: open both.")
    people = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    screen: Screen = JsonScreen() if as_json else RichScreen()
    with ExitStack() as stack:
        with screen.working():
            dsn = stack.enter_context(wiring.database_dsn())
        try:
            asyncio.run(_Chat(screen, name, speaker, people).run(dsn))
        except (DBAPIError, psycopg.Error, PoolTimeout) as error:
            reason = wiring.first_line(getattr(error, "orig", None) or error)
            raise Usage(
                f"The database went away ({reason}). What was acknowledged is kept: continue with --session {name}."
            ) from None
    return 0


def _name(option: str, given: str) -> str:
    name = clean(given)[0].strip()
    if not name or len(name) > NAME_LIMIT or "\n" in name:
        raise Usage(f"{option} takes a name of 1 to {NAME_LIMIT} characters in one line.")
    return name


class _Chat:
    """One terminal in one session."""

    def __init__(self, screen: Screen, name: str, speaker: str, people: bool) -> None:
        self._screen, self._name, self._speaker, self._people = screen, name, speaker, people
        self._session_id = f"terminal:{name}"
        self._card: Mapping[str, Any] | None = None  # the card this terminal showed last
        self._unsettled: Mapping[str, Any] | None = None  # the filing in doubt that it showed last
        self._numbers = count(1)
        self._delivering = asyncio.Lock()

    async def run(self, dsn: str) -> None:
        async with AsyncExitStack() as stack:
            with self._screen.working():
                database = await stack.enter_async_context(wiring.database(dsn))
                self._feed = Feed(database.engine, self._session_id)
                await stack.enter_async_context(self._feed.present(dsn))
            self._store = PostgresStore(database)
            catalogue = wiring.catalogue(database)
            wiring.destination(catalogue.trackers)
            self._worker = asyncio.create_task(_work(database, catalogue, self._warn))
            stack.push_async_callback(_stopped, self._worker)
            await self._come_back()
            await self._converse(self._typed() if self._people else self._piped())
            if self._people:
                self._screen.show(shows.say(f"To continue: signoff chat --session {self._name}"))

    async def _converse(self, lines: AsyncIterator[str]) -> None:
        card = self._card  # what this terminal showed before the line was begun, whatever came up meanwhile
        async for line in lines:
            act = parse(line, self._speaker)
            if isinstance(act, Mark):
                act = on_marks(act, card, self._speaker)
            if isinstance(act, Quit):
                return
            if isinstance(act, Say):
                self._screen.show(shows.say(act.text))
            else:
                await self._send(act, card)
                await self._settle(to_the_end=False)
            card = self._card
        if not self._people:
            await self._settle()

    async def _send(self, act: Reply | Decision | Settlement, card: Mapping[str, Any] | None) -> None:
        if isinstance(act, Settlement) and self._unsettled:
            act = act.model_copy(update={name: self._unsettled[name] for name in ("draft_hash", "attempt")})
        if isinstance(act, Decision) and act.draft_hash is None and card:
            act = act.model_copy(update={name: card[name] for name in ("draft_hash", "preview_id")})
        event_id = f"{self._feed.origin}:{next(self._numbers)}"
        await self._store.accept(Event(event_id=event_id, session_id=self._session_id, origin=self._feed.origin, answer=act))

    async def _settle(self, *, to_the_end: bool = True) -> set[str]:
        """Shows what comes, until nothing more will, or only after a long pause; gives the kinds that were shown."""
        kinds: set[str] = set()
        with self._screen.working():
            while True:
                settled = await self._feed.settled(to_the_end=to_the_end)
                kinds |= await self._deliver()
                if settled:
                    return kinds
                if self._worker.done():
                    self._worker.result()
                await asyncio.sleep(POLL)

    async def _deliver(self) -> set[str]:
        async with self._delivering:
            shown = [adapted for one in await self._feed.read() if (adapted := _adapted(one))]
            for one in shown:
                self._show(one.body)
            if shown:
                point("terminal-shown")
            await self._feed.printed(shown)
            if shown:
                point("terminal-recorded")
        return {one.body["kind"] for one in shown}

    def _show(self, show: Mapping[str, Any]) -> None:
        if show["kind"] == "preview":
            self._card = show
        if show["kind"] == "marks" and self._card:
            self._card = {**self._card, **show, "kind": "preview"}
        if show["kind"] == "unsettled":
            self._unsettled = show
        self._screen.show(show)

    async def _come_back(self) -> None:
        """Finishes what was left undone in this session, and shows where it stands."""
        shown = await self._settle(to_the_end=False)
        standing = await self._feed.standing()
        waiting = shows.waiting(self._session_id, standing.pending)
        if standing.unsettled and not waiting:
            waiting = [standing.unsettled]
        if standing.pending is None and standing.filed:
            waiting = [standing.filed]
        current = self._card["preview_id"] if self._card else None
        if waiting and waiting[0]["kind"] in shown and waiting[0].get("preview_id") in (None, current):
            return  # it was among what was still to be printed
        if not waiting and self._people:
            waiting = [shows.say(WELCOME)]
        for show in waiting:
            self._show(show)

    def _warn(self, text: str) -> None:
        if self._people:
            self._screen.show(shows.say(text))
        else:
            print(f"signoff: {text}", file=sys.stderr)

    async def _typed(self) -> AsyncIterator[str]:
        """What a person types; a pasted block is one message. Meanwhile others' doings appear above the prompt."""
        from agent.cli.typing import Prompt

        prompt = Prompt(self._speaker, self._name)
        while True:
            watching = asyncio.create_task(self._watch())
            try:
                line = await prompt.line()
            finally:
                watching.cancel()
            if line is None:
                break
            if line.strip():
                yield line.replace("\\n", "\n") if line.startswith("/") else line

    async def _piped(self) -> AsyncIterator[str]:
        """The lines of standard input; what happens while none comes is shown meanwhile."""
        lines = _read_lines()
        while True:
            watching = asyncio.create_task(self._watch())
            try:
                line = await lines.get()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            if line is None:
                break
            yield line.replace("\\n", "\n")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(25 * POLL)
            await self._deliver()


def _adapted(one: Shown) -> Shown | None:
    """What somebody else was answered: their decisions are news, told in a sentence; their refusals are their own affair."""
    if not one.mine and one.body["kind"] == "private":
        return None
    if one.mine or one.body["kind"] != "decision":
        return one
    news = one.body["status"] in ("approved", "rejected")
    return replace(one, body=shows.say(one.body["text"])) if news else None


async def _work(database: Database, catalogue: "Catalogue", warn: Callable[[str], None]) -> None:
    """Runs turns in this process. Importing the graph takes seconds, in which events are accepted and kept already."""
    listener = await asyncio.to_thread(wiring.listener)
    shell = await asyncio.to_thread(wiring.shell, database, listener, catalogue)
    async with database.queue.working(shell), wiring.probing(listener, warn):
        await asyncio.Event().wait()


async def _stopped(worker: asyncio.Task[None]) -> None:
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


def _read_lines() -> asyncio.Queue[str | None]:
    """The lines of standard input as they come, and None at its end."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        # a daemon thread, so that the end need not wait for the next line; and no buffered reader, whose lock a thread
        # that is still reading would hold when the interpreter ends
        begun = b""
        with suppress(RuntimeError):  # the loop is gone, and nobody listens any more
            while chunk := os.read(sys.stdin.fileno(), 65_536):
                *whole, begun = (begun + chunk).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, _decoded(line))
            if begun:
                loop.call_soon_threadsafe(lines.put_nowait, _decoded(begun))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _decoded(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
