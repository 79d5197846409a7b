"""Does all that `docs/reliability.md` is written from, two things at a time, and writes it: see `scripts/reliability`."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from persistence import embedded
from tests.measures import measured
from tests.reliability.page import page

ROOT = Path(__file__).parents[2]
PYTEST = ("pytest", "-q", "--no-cov")


@dataclass(frozen=True)
class Part:
    """One thing that is done: a module of Python's, its arguments, and a variable of its environment unless that is set."""

    name: str
    command: tuple[str, ...]
    variable: str = ""
    value: str = ""

    def run(self) -> bool:
        """Does it, and puts on record how it ended; whether it ended well. What it printed is shown if not."""
        began = time.monotonic()
        environ = {self.variable: self.value, **os.environ} if self.variable else dict(os.environ)
        with tempfile.TemporaryFile() as output:
            command = [sys.executable, "-m", *self.command]
            done = subprocess.run(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT, check=False)
            output.seek(0)
            said = output.read().decode(errors="replace")
        seconds = time.monotonic() - began
        measured("part", part=self.name, status=done.returncode, seconds=seconds)
        print(f"{self.name}: {'failed' if done.returncode else 'nothing wrong'}, {seconds:.0f} s", flush=True)
        if done.returncode:
            print(said, flush=True)
        return done.returncode == 0


def parts(*, quick: bool) -> list[Part]:
    """Those that take longest first."""
    folder = "tests/reliability"
    return [
        Part("sweep", (*PYTEST, f"{folder}/test_sweep.py"), "SIGNOFF_SWEEP", "" if quick else "all"),
        Part("protocol", ("tests.protocol", "--quick" if quick else "--mutants")),
        Part("kills", (*PYTEST, f"{folder}/test_random_kills.py"), "SIGNOFF_SEEDS", "1-4" if quick else "1-40"),
        Part("stories", (*PYTEST, "tests/stateful"), "SIGNOFF_STORIES", "60" if quick else "1000"),
        Part("cuts", (*PYTEST, f"{folder}/test_cut.py"), "SIGNOFF_CUTS", "connections,fast,immediate,killed"),
        Part("fuzz", ("tests.fuzz", "40" if quick else "300")),
    ]


def about_the_machine(*, quick: bool) -> None:
    """Puts on record when and on what it is measured."""
    binary = embedded._find_binaries() / "bin" / "postgres"
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    measured(
        "machine",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        python=platform.python_version(),
        postgresql=version,
        cores=len(os.sched_getaffinity(0)),
        quick=quick,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Does all of it; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="reliability", description="Kills, cuts, explores, and writes docs/reliability.md.")
    parser.add_argument("--quick", action="store_true", help="as much as five minutes allow")
    quick = parser.parse_args(arguments).quick
    with tempfile.NamedTemporaryFile(mode="r", suffix=".jsonl") as measures:
        os.environ["SIGNOFF_MEASURES"] = measures.name
        about_the_machine(quick=quick)
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(Part.run, parts(quick=quick)))
        (ROOT / "docs" / "reliability.md").write_text(page([json.loads(line) for line in measures]))
    return int(not all(ended))


if __name__ == "__main__":
    sys.exit(main())
