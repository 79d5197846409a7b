"""Real `signoff` processes, quickly: each is forked from one process that has imported everything already.

Importing takes seconds, and the tests that kill want many processes. A forked one is as real: it has its own connections,
locks and worker, and kill -9 ends it like any other.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

RUNS = 1000
"""What stands in for the exit status of a process that has not ended."""

FORKER = (
    f"RUNS = {RUNS}"
    + """
import json, os, sys, traceback
import agent.cli, agent.cli.chat, agent.cli.wiring, agent.graph, agent.model, agent.turn, agent.shell
import agent.cli.tickets, agent.cli.filings, agent.cli.conversations, persistence.store, persistence.tickets
import skills.trackers, agent.faults, agent.ladder
if "serve" in sys.argv:
    import agent.cli.serve, slack_adapter.cards
skills.trackers.renderers()
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        ended, status = os.waitpid(order["wait"], os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if ended else RUNS, flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    code = 1
    try:
        os.setsid()
        for number, (path, flags) in enumerate([
            (order["stdin"], os.O_RDONLY),
            (order["stdout"], os.O_WRONLY | os.O_CREAT),
            (order["stderr"], os.O_WRONLY | os.O_CREAT),
        ]):
            os.dup2(os.open(path, flags, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        os.environ.update(order["env"])
        agent.faults.arm()
        if hurried := os.environ.get("TEST_HURRIED"):  # nobody wants to wait half a minute before people are asked
            agent.ladder.LOOKS, agent.ladder.ASKED_AFTER = (0.1,) * 35, int(hurried)
            if "serve" in order["args"]:
                slack_adapter.cards.SETTLE = 0.0
        code = agent.cli.main(order["args"])
    except SystemExit as exit:
        code = exit.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            import coverage
            if running := coverage.Coverage.current():
                running.stop(), running.save()
        except ImportError:
            pass
        os._exit(code)
"""
)


class Forker:
    """The process that all others are forked from."""

    def __init__(self, directory: Path, *, serves: bool = False) -> None:
        self.directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKER, *["serve"] * serves], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._started = 0
        self._lock = threading.Lock()

    def order(self, **order: Any) -> int:
        """Gives an order, and its one number of an answer."""
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def start(self, dsn: str, *args: str, script: str | None = None, environ: Mapping[str, str] | None = None) -> "Signoff":
        """A signoff process on a database; with a script its input is that and ends."""
        with self._lock:
            self._started += 1
            base = self.directory / str(self._started)
        if script is None:
            os.mkfifo(f"{base}.in")
        else:
            Path(f"{base}.in").write_bytes(script.encode())
        paths = {"stdin": f"{base}.in", "stdout": f"{base}.out", "stderr": f"{base}.err"}
        pid = self.order(args=args, env={"DATABASE_URL": dsn, **(environ or {})}, **paths)
        return Signoff(self, pid, base, interactive=script is None)

    def run(self, dsn: str, *args: str, script: str = "") -> "Signoff":
        """A process that ran to its end."""
        process = self.start(dsn, *args, script=script)
        process.wait()
        return process

    def close(self) -> None:
        """Ends the forker; what it started must have ended before."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout
        self._process.stdout.close()


class Signoff:
    """One process: what goes in, what came out, and its end."""

    def __init__(self, forker: Forker, pid: int, base: Path, *, interactive: bool) -> None:
        self._forker, self.pid, self._base = forker, pid, base
        self.status: int | None = None
        self._input: IO[str] | None = Path(f"{base}.in").open("w") if interactive else None  # noqa: SIM115

    def send(self, line: str) -> None:
        """Types a line."""
        assert self._input
        self._input.write(line + "\n")
        self._input.flush()

    @property
    def stdout(self) -> str:
        """Everything printed so far."""
        path = Path(f"{self._base}.out")
        return path.read_text() if path.exists() else ""

    @property
    def stderr(self) -> str:
        """Everything complained of so far."""
        return Path(f"{self._base}.err").read_text()

    @property
    def shows(self) -> list[dict[str, Any]]:
        """The whole lines of a JSON chat so far."""
        return [json.loads(line) for line in self.stdout.splitlines(keepends=True) if line.endswith("\n")]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The shows of one kind."""
        return [show for show in self.shows if show["kind"] == kind]

    def wait_for(self, kind: str, number: int = 1, seconds: float = 60) -> dict[str, Any]:
        """The show of that kind with that number, once it is there."""
        until = time.monotonic() + seconds
        while len(found := self.of_kind(kind)) < number:
            assert time.monotonic() < until, f"no {kind} number {number} came: {self.stdout}{self.stderr}"
            time.sleep(0.01)
        return found[number - 1]

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """SIGTERM, which ends a server."""
        os.kill(self.pid, signal.SIGTERM)

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        if self.status is None and (status := self._forker.order(wait=self.pid)) != RUNS:
            self.status = status
        return self.status is None

    def close(self) -> None:
        """Ends the input."""
        if self._input:
            with suppress(BrokenPipeError):
                self._input.close()
            self._input = None

    def wait(self) -> int:
        """Ends the input, and waits for the exit status."""
        self.close()
        while self.runs():
            time.sleep(0.01)
        assert self.status is not None
        return self.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            self.kill()


@contextmanager
def forking(directory: Path, *, serves: bool = False) -> Iterator[Forker]:
    """A forker for as long as tests need it; `serves`: of processes that are in Slack."""
    forker = Forker(directory, serves=serves)
    try:
        yield forker
    finally:
        forker.close()
