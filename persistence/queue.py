"""The queue: procrastinate's jobs, which only wake a session, file an approval or deliver, and the worker that runs them.

A job is deferred on the caller's connection, so that it commits with the rows that it is about. Procrastinate keeps order
(one lock a subject), retries and polls; what it lacks is here: a worker that died is noticed by the advisory lock that its
connection held, and its jobs are put back at once.
"""

import asyncio
import contextlib
import logging
import re
import select
from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol

import procrastinate
import psycopg
from procrastinate.worker import Worker
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.faults import point
from agent.ports import NotYet

POLL = 0.25
"""Seconds between two looks for jobs whose lock became free; new jobs are announced."""

CARE = 1.0
"""Seconds between two looks for dead workers' jobs and for sessions that nothing would wake."""

RECONNECT = 4.0
"""Seconds in which the pauses between attempts to connect may grow; then they are short again."""

ALIVE = 5_960_740
"""The class of the advisory locks that workers hold; the other half of the key is the worker's id."""

DEAD_WORKERS_JOBS = f"""
SELECT job.id FROM procrastinate_jobs job LEFT JOIN procrastinate_workers worker ON worker.id = job.worker_id
WHERE job.status = 'doing'
  AND (worker.id IS NULL OR worker.last_heartbeat < now() - interval '1 second')  -- a new one may not hold its lock yet
  AND (worker.last_heartbeat < now() - interval '30 seconds' OR NOT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = {ALIVE} AND objid = job.worker_id
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  ))
"""

Surface = Literal["terminal", "slack"]
"""Who serves a session, and so the queue of its jobs: only a process that is connected to Slack can serve Slack."""


def surface_of(session_id: str) -> Surface:
    """The surface of a session; those of Slack are named TEAM:CHANNEL:THREAD, and a team's id begins with T or E."""
    return "slack" if re.match(r"[TE][A-Z0-9]*:[A-Z0-9]+:", session_id) else "terminal"


SLEEPING_SESSIONS = """
SELECT DISTINCT 'wake', session_id FROM inbox
WHERE processed_at IS NULL AND at < clock_timestamp() - interval '5 seconds' AND NOT EXISTS (
  SELECT FROM procrastinate_jobs WHERE lock = 'session:' || session_id AND status IN ('todo', 'doing')
)
"""

BEHIND_A_FAILURE = """EXISTS (
    SELECT FROM effects earlier WHERE earlier.session_id = effect.session_id AND earlier.id < effect.id
    AND earlier.done_at IS NULL AND earlier.attempts > 0 AND earlier.due_at > clock_timestamp()
)"""
"""An effect before it in its session failed and waits to be tried again: they stay in order."""

UNDELIVERED_SESSIONS = f"""
SELECT DISTINCT 'deliver', session_id FROM effects effect
WHERE done_at IS NULL AND due_at < clock_timestamp() - interval '5 seconds' AND session_id ~ '^[TE][A-Z0-9]*:[A-Z0-9]+:'
AND NOT {BEHIND_A_FAILURE} AND NOT EXISTS (
  SELECT FROM procrastinate_jobs WHERE lock = 'say:' || session_id AND status IN ('todo', 'doing')
)
"""

DUE_FILINGS = """
SELECT session_id, draft_hash FROM filings
WHERE ((status IN ('intended', 'unknown', 'filed') AND due_at <= clock_timestamp())
       OR (status = 'sent' AND at < clock_timestamp() - interval '5 seconds'))
AND NOT EXISTS (
  SELECT FROM procrastinate_jobs
  WHERE lock = 'file:' || session_id || ':' || draft_hash AND status IN ('todo', 'doing')
)
"""
"""Filings whose next step is due and that no job is about: those that had to wait, and those whose job was lost."""

DEFER_WAKE = """
procrastinate_defer_jobs_v1(ARRAY[ROW(
    CAST(%(queue)s AS text), 'wake', 0, 'session:' || CAST(%(session_id)s AS text), NULL,
    jsonb_build_object('session_id', CAST(%(session_id)s AS text)), NULL
)::procrastinate_job_to_defer_v1])
"""
"""A job that takes the session's turns, as an expression of the statement that accepts an event: one round trip for both."""

DEFER_DELIVER = """
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
    'slack', 'deliver', 0, 'say:' || CAST(%(session_id)s AS text), NULL,
    jsonb_build_object('session_id', CAST(%(session_id)s AS text)), NULL
)::procrastinate_job_to_defer_v1])
"""
"""A job that takes a session's effects outside."""

log = logging.getLogger(__name__)


class _Retry(procrastinate.BaseRetryStrategy):
    """Tries a job again after a second, or after the pause that the outside wants."""

    def get_retry_decision(self, *, exception: BaseException, job: procrastinate.jobs.Job) -> procrastinate.RetryDecision:
        seconds = exception.seconds if isinstance(exception, NotYet) else 1.0
        return procrastinate.RetryDecision(retry_in={"milliseconds": int(1000 * seconds)})


class Handlers(Protocol):
    """What the jobs call; each call may be made again."""

    async def wake(self, session_id: str, tries: int) -> None:
        """Takes all turns the session has waiting; `tries` calls failed before."""
        ...

    async def file(self, session_id: str, draft_hash: str) -> None:
        """Does what is next for an approval on its way to the tracker."""
        ...

    async def deliver(self, session_id: str) -> float | None:
        """Takes what people are to see to the surface; gives the seconds after which to look again, if need be."""
        ...


class _Worker(Worker):
    """A worker that misses no occasion to look for jobs, where procrastinate's own waits for its next poll.

    A job that ends may free its lock for the next one, which was announced too early; and what is announced while a look
    is under way is forgotten when that look ends.
    """

    _occasions = 0

    async def _persist_job_status(self, *args: Any, **options: Any) -> None:
        await super()._persist_job_status(*args, **options)
        self._occasions += 1
        self._new_job_event.set()

    async def _handle_notification(self, **options: Any) -> None:
        self._occasions += 1
        await super()._handle_notification(**options)

    async def _fetch_and_process_jobs(self) -> None:
        before = -1
        while before != self._occasions and not self._stop_event.is_set():
            before = self._occasions
            await super()._fetch_and_process_jobs()  # type: ignore[no-untyped-call]


class Queue:
    """The jobs of one database. Opened it can defer; `working` runs them in this process."""

    def __init__(self, dsn: str, *, concurrency: int) -> None:
        self._dsn, self._concurrency = dsn, concurrency
        self.ready = False
        """A worker of this process runs jobs."""
        self._handlers: Handlers | None = None
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=dsn, min_size=1, max_size=max(2, concurrency // 2), configure=_autocommit, pool_factory=pool
            )
        )
        retry = _Retry()  # the shell gives up on a bug; only the database fails for longer
        self._wake = self._app.task(name="wake", retry=retry, pass_context=True)(self._on_wake)
        self._file = self._app.task(name="file", retry=retry)(self._on_file)
        self._deliver = self._app.task(name="deliver", retry=retry)(self._on_deliver)
        self._nudge = self._app.task(name="nudge", retry=retry)(self._on_nudge)

    async def _on_wake(self, context: procrastinate.JobContext, session_id: str) -> None:
        assert self._handlers
        await self._handlers.wake(session_id, context.job.attempts)

    async def _on_file(self, session_id: str, draft_hash: str) -> None:
        assert self._handlers
        await self._handlers.file(session_id, draft_hash)

    async def _on_deliver(self, session_id: str) -> None:
        assert self._handlers
        if (seconds := await self._handlers.deliver(session_id)) is not None:
            delay: Any = {"milliseconds": int(1000 * seconds)}
            delayed = self._nudge.configure(queue="slack", schedule_in=delay, queueing_lock=f"nudge:{session_id}")
            with contextlib.suppress(procrastinate.exceptions.AlreadyEnqueued):  # the other one, or the sweeper, will do
                await delayed.defer_async(session_id=session_id)

    async def _on_nudge(self, session_id: str) -> None:
        """A delayed job with the session's lock would hold up those that are not delayed."""
        await self._defer("deliver", session_id)

    async def _defer(self, task: str, session_id: str) -> None:
        chosen, lock = (self._wake, "session") if task == "wake" else (self._deliver, "say")
        job = chosen.configure(lock=f"{lock}:{session_id}", queue=surface_of(session_id))
        await job.defer_async(session_id=session_id)

    async def open(self) -> None:
        """Connects."""
        await self._app.open_async()

    async def close(self) -> None:
        """Disconnects."""
        await self._app.close_async()

    async def defer_file(self, session_id: str, draft_hash: str, connection: AsyncConnection) -> None:
        """A job that files an approval, once the caller's transaction commits."""
        job = self._filing_job(session_id, draft_hash, connection=await raw(connection))
        await job.defer_async(session_id=session_id, draft_hash=draft_hash)

    def _filing_job(self, session_id: str, draft_hash: str, **options: Any) -> procrastinate.jobs.JobDeferrer:
        lock, queue = f"file:{session_id}:{draft_hash}", surface_of(session_id)
        return self._file.configure(lock=lock, queue=queue, **options)

    @contextlib.asynccontextmanager
    async def working(self, handlers: Handlers, surface: Surface = "terminal") -> AsyncIterator[None]:
        """Runs the surface's jobs in the background, and puts back those of workers that died."""
        self._handlers, self._surface = handlers, surface
        tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._care())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        """Keeps a worker running: a cut connection ends it, and then it is started again."""
        pause = POLL
        while True:
            try:
                await self._run_worker()
                pause = POLL
            except Exception as error:  # a worker that is not started again serves nobody
                if _told_to_end():
                    return
                log.warning("the queue's worker stopped (%s); starting it again", error)
                pause = min(2 * pause, 10.0)
            await asyncio.sleep(pause)

    async def _run_worker(self) -> None:
        worker = _Worker(
            app=self._app,
            queues=[self._surface],
            concurrency=self._concurrency,
            fetch_job_polling_interval=POLL,
            delete_jobs="successful",
            install_signal_handlers=False,
            shutdown_graceful_timeout=10,
        )
        running = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]
        try:
            async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as alive:
                while worker.worker_id is None and not running.done():
                    await asyncio.sleep(0.002)
                await alive.execute("SELECT pg_advisory_lock(%s, %s::int)", (ALIVE, worker.worker_id))
                self.ready = True
                held = asyncio.create_task(_held(alive))
                try:
                    await asyncio.wait({running, held}, return_when=asyncio.FIRST_COMPLETED)
                    if held.done():
                        worker.shutdown_graceful_timeout = 0.0  # others are about to take its jobs over
                finally:
                    held.cancel()
                    await asyncio.gather(held, return_exceptions=True)
        finally:
            self.ready = False
            worker.stop()  # type: ignore[no-untyped-call]
            await running

    async def _care(self) -> None:
        while True:
            try:
                await self._recover()
            except Exception as error:  # whatever it was: without this nothing that was lost is ever found
                if _told_to_end():
                    return
                log.warning("could not look after the queue: %s", error, exc_info=True)
            await asyncio.sleep(CARE)

    async def _recover(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn) as connection:
            while True:
                dead = await (await connection.execute(DEAD_WORKERS_JOBS)).fetchall()
                for (job_id,) in dead:
                    with contextlib.suppress(procrastinate.exceptions.ConnectorException):  # a peer was faster
                        await self._app.job_manager.retry_job_by_id_async(job_id, retry_at=_now())
                        point("job-put-back")
                for sleeping in (SLEEPING_SESSIONS, UNDELIVERED_SESSIONS):
                    for task, session_id in await (await connection.execute(sleeping)).fetchall():
                        await self._defer(task, session_id)
                for session_id, draft_hash in await (await connection.execute(DUE_FILINGS)).fetchall():
                    await self._filing_job(session_id, draft_hash).defer_async(session_id=session_id, draft_hash=draft_hash)
                await connection.rollback()
                await asyncio.sleep(CARE)


def _told_to_end() -> bool:
    """Whether this task is being cancelled: an error of the database may come instead of the cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _held(alive: psycopg.AsyncConnection[Any]) -> None:
    """Returns once the connection that holds the worker's lock is cut: from then on others take it for dead."""
    with contextlib.suppress(psycopg.Error):
        while True:
            await alive.execute("SELECT 1")
            async for _ in alive.notifies(timeout=CARE):  # nobody notifies; a cut connection raises at once
                pass


async def _autocommit(connection: psycopg.AsyncConnection[Any]) -> None:
    """Each of procrastinate's statements is a transaction of its own: no need to say BEGIN and COMMIT around it."""
    await connection.set_autocommit(True)


async def check(connection: psycopg.AsyncConnection[Any]) -> None:
    """Asks the server only where something came in on its own accord, as a closing server's word does."""
    unasked = select.poll()
    unasked.register(connection.fileno(), select.POLLIN)
    if unasked.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def pool(conninfo: str, **options: Any) -> AsyncConnectionPool[Any]:
    """Connections that are soon there again after the database was away; the library's own pauses grow to minutes."""
    begin_anew = AsyncConnectionPool[Any].check
    return AsyncConnectionPool(
        conninfo, **{**options, "check": check, "reconnect_timeout": RECONNECT, "reconnect_failed": begin_anew}
    )


def _now() -> Any:
    from procrastinate.utils import utcnow

    return utcnow()


async def raw(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection under SQLAlchemy's, in the same transaction."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver
