import asyncio
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from agent.ports import Event, Snapshot, Turn
from agent.protocol import Reply
from persistence import queue
from persistence.database import Database
from persistence.queue import ALIVE
from persistence.store import PostgresStore
from tests.support import COMPLETE, Talk, make_shell, of_kind, talk_on

STUCK = """
import asyncio, sys
from persistence.database import open_database

class Stuck:
    async def wake(self, session_id, tries):
        print("started", flush=True)
        await asyncio.sleep(60)

async def main():
    async with open_database(sys.argv[1]) as database:
        async with database.queue.working(Stuck()):
            await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_dead_workers_job_is_taken_over_at_once(dsn: str, database: Database) -> None:
    one = Talk(database, "terminal:orphan")
    await one.store.accept(one.event(Reply(text=COMPLETE, by="ann")))
    with subprocess.Popen([sys.executable, "-c", STUCK, dsn], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == "started\n"
        await asyncio.sleep(1.2)  # a worker that registered a moment ago counts as alive
        process.send_signal(signal.SIGKILL)
    started = time.monotonic()
    async with talk_on(database):
        assert of_kind(await one.settled(), "preview")
    assert time.monotonic() - started < 8, "procrastinate's own recovery takes more than 10 seconds"


async def test_a_pool_that_gave_up_connecting_begins_anew(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "RECONNECT", 0.0)
    refused = 0

    class Late(psycopg.AsyncConnection[tuple[object, ...]]):
        @classmethod
        async def connect(cls, *args: object, **given: object) -> "Late":  # type: ignore[override]
            nonlocal refused
            if refused < 12:
                refused += 1
                raise psycopg.OperationalError("the database system is starting up")
            return await super().connect(*args, **given)  # type: ignore[return-value, arg-type]

    async with queue.pool(dsn, connection_class=Late, min_size=1, max_size=2, open=False) as connections:
        async with connections.connection(timeout=10) as connection:
            await connection.execute("SELECT 1")
    assert refused == 12


@pytest.mark.parametrize("task", ["_run_worker", "_recover"])
async def test_what_ends_ends_although_the_database_fails_at_that_moment(
    database: Database, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    begun = asyncio.Event()

    async def fails() -> None:
        if begun.is_set():
            await asyncio.Event().wait()
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise psycopg.OperationalError("it is away") from None

    monkeypatch.setattr(database.queue, task, fails)
    async with asyncio.timeout(10):
        async with database.queue.working(make_shell(database)):
            await begun.wait()


async def test_a_living_workers_job_is_left_alone(dsn: str, database: Database) -> None:
    one = Talk(database, "terminal:busy")
    await one.store.accept(one.event(Reply(text=COMPLETE, by="ann")))
    with subprocess.Popen([sys.executable, "-c", STUCK, dsn], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == "started\n"
        async with talk_on(database):
            await asyncio.sleep(3.5)
            assert not await one.feed.settled()
        process.kill()


async def test_a_session_that_nothing_would_wake_is_woken(dsn: str, database: Database) -> None:
    one = Talk(database, "terminal:asleep")
    await one.store.accept(one.event(Reply(text=COMPLETE, by="ann")))
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
        connection.execute("UPDATE inbox SET at = at - interval '1 minute'")
    async with talk_on(database):
        assert of_kind(await one.settled(), "preview")


@pytest.mark.parametrize("times", [1, 3])
async def test_the_worker_outlives_cut_connections(dsn: str, database: Database, times: int) -> None:
    one = Talk(database, "terminal:cut")
    async with database.queue.working(make_shell(database)):
        assert of_kind(await one.say(COMPLETE), "preview")
        for number in range(times):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            await asyncio.sleep(0.5)
            await database.engine.dispose()
            assert of_kind(await one.say(f"Title: After cut {number}"), "preview")


class Eager(PostgresStore):
    """Accepts the next event as soon as a turn is committed, while its job still holds the session's lock."""

    def __init__(self, database: Database, events: list[Event]) -> None:
        super().__init__(database)
        self.events = events

    async def commit(self, snapshot: Snapshot, turn: Turn) -> bool:
        more = await super().commit(snapshot, turn)
        if self.events:
            await self.accept(self.events.pop())
        return more


async def test_an_event_that_came_while_its_session_was_locked_is_not_left_to_the_next_poll(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.queue.POLL", 3600.0)
    one = Talk(database, "terminal:eager")
    shell = make_shell(database)
    events = [one.event(Reply(text=f"Title: Turn {number}\nType: bug\nProblem: p", by="ann")) for number in range(10)]
    shell._store = Eager(database, events)
    async with database.queue.working(shell):
        await one.store.accept(events.pop())
        async with asyncio.timeout(30):
            while events or not await one.feed.settled():
                await asyncio.sleep(0.02)


async def test_a_worker_whose_lock_is_gone_starts_again(dsn: str, database: Database) -> None:
    """Others take it for dead, and its jobs for abandoned: it must not go on with them as if nothing had happened."""
    holders = f"""
        SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {ALIVE} AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
    async with database.queue.working(make_shell(database)):
        with psycopg.connect(dsn, autocommit=True) as connection:

            async def holder(other_than: int) -> int:
                async with asyncio.timeout(20):
                    while not (found := connection.execute(holders).fetchone()) or found[0] == other_than:
                        await asyncio.sleep(0.02)
                return int(found[0])

            first = await holder(0)
            connection.execute("SELECT pg_terminate_backend(%s)", [first])
            assert await holder(first)
        assert of_kind(await Talk(database, "terminal:again").say(COMPLETE), "preview")


async def test_whatever_ends_the_look_after_the_queue_it_is_begun_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, recover = list[str](), database.queue._recover

    async def failing() -> None:
        looks.append("look")
        if len(looks) == 1:
            raise RuntimeError("nobody thought of this")
        await recover()

    monkeypatch.setattr(database.queue, "_recover", failing)
    monkeypatch.setattr(queue, "CARE", 0.01)
    async with database.queue.working(make_shell(database)):
        async with asyncio.timeout(10):
            while len(looks) < 2:
                await asyncio.sleep(0.01)
