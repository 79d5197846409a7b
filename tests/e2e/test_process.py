"""The program itself, started as people start it: how it ends, and what it says if it cannot begin."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIGNOFF = Path(sys.executable).parent / "signoff"


def start(dsn: str, *args: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "DATABASE_URL": dsn, "COVERAGE_PROCESS_START": ""}
    pipe = subprocess.PIPE
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored by what runs in the background
    try:
        return subprocess.Popen([SIGNOFF, *args], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
    finally:
        signal.signal(signal.SIGINT, heard)


@pytest.mark.parametrize(("end", "status"), [("/quit", 0), ("SIGINT", 130)])
def test_it_ends_while_its_input_stays_open(dsn: str, end: str, status: int) -> None:
    with start(dsn, "chat", "--json") as chat:
        assert chat.stdin
        assert chat.stdout
        chat.stdin.write("Export fails\n")
        chat.stdin.flush()
        while '"question"' not in chat.stdout.readline():
            pass
        time.sleep(0.3)
        if end == "SIGINT":
            chat.send_signal(signal.SIGINT)
        else:
            chat.stdin.write(end + "\n")
            chat.stdin.flush()
        assert chat.wait(60) == status
        assert chat.stderr
        assert chat.stderr.read() == ""


def test_without_input_or_output(dsn: str) -> None:
    closed = subprocess.run(
        ["sh", "-c", f"{SIGNOFF} chat <&-"], env={**os.environ, "DATABASE_URL": dsn}, capture_output=True, text=True, timeout=60
    )
    assert closed.returncode == 2
    assert closed.stderr.startswith("signoff: chat needs standard input")
    full = subprocess.run(
        ["sh", "-c", f"echo Export fails | {SIGNOFF} chat --json > /dev/full"],
        env={**os.environ, "DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert full.returncode == 2
    assert "the disk is full" in full.stderr
    assert "Traceback" not in full.stderr


def test_an_encoding_that_lacks_a_letter_ends_nothing(dsn: str) -> None:
    environment = {**os.environ, "DATABASE_URL": dsn, "PYTHONIOENCODING": "ascii"}
    script = "Title: \u00dcberschrift\nType: bug\nProblem: \u65e5\u672c\n".replace("\n", "\\n", 2)
    chat = subprocess.run([SIGNOFF, "chat"], env=environment, input=script.encode(), capture_output=True, timeout=60)
    assert (chat.returncode, chat.stderr) == (0, b"")
    assert b"?berschrift" in chat.stdout
