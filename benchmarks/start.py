"""How soon `signoff chat` asks for the first line, beside bare imports: `python -m benchmarks.start [--json]`.

- chat: from the start of the process to the prompt on a pseudo-terminal; the data directory is warm, the server not running;
- imports: `python -c "import langgraph.graph, psycopg, sqlalchemy"`, with the same interpreter;
- help: `signoff --help`.

In turns, on the same machine; medians of seconds.
"""

import argparse
import contextlib
import os
import pty
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._measure import report
from persistence import keeper

ROUNDS = 5
SIGNOFF = Path(sys.executable).parent / "signoff"
IMPORTS = "import langgraph.graph, psycopg, sqlalchemy"
PROMPT = "›".encode()


@contextlib.contextmanager
def data_directory() -> Iterator[Path]:
    """A data directory that the server's user can reach, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="signoff-benchmark-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def chat(directory: Path) -> float:
    """Seconds to the prompt; then the conversation is left, and its server has stopped."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "SIGNOFF_DATA": str(directory), "TERM": "xterm"}
    environment.pop("DATABASE_URL", None)
    started = time.perf_counter()
    with subprocess.Popen([SIGNOFF, "chat"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        seen = b""
        while PROMPT not in seen:
            seen += os.read(ours, 65536)
        seconds = time.perf_counter() - started
        os.write(ours, b"/quit\r")
        with contextlib.suppress(OSError):  # the terminal is closed
            while os.read(ours, 65536):
                pass
    os.close(ours)
    while (stopped := keeper.try_lock(directory / keeper.KEEPER_LOCK)) is None:
        time.sleep(0.05)
    os.close(stopped)
    return seconds


def command(*words: str | Path) -> float:
    """Seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    times: dict[str, list[float]] = {"chat": [], "imports": [], "help": []}
    with data_directory() as directory:
        chat(directory)  # makes the cluster, and warms the disk's cache for all three
        for _ in range(ROUNDS):
            times["imports"].append(command(sys.executable, "-c", IMPORTS))
            times["chat"].append(chat(directory))
            times["help"].append(command(SIGNOFF, "--help"))
    seconds = {name: statistics.median(samples) for name, samples in times.items()}
    figures = {
        "start_ratio": seconds["chat"] / seconds["imports"],
        "help_ratio": seconds["help"] / seconds["imports"],
        **{f"{name}_seconds": value for name, value in seconds.items()},
    }
    rows = [
        ("", "seconds", "of imports"),
        *((name, f"{value:.3f}", f"{value / seconds['imports']:.3f}") for name, value in seconds.items()),
    ]
    report("Start", rows, figures, as_json=as_json)


if __name__ == "__main__":
    main()
