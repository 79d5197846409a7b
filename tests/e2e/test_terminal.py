"""`signoff chat` on a terminal: a real one, as far as a pseudo-terminal goes."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIGNOFF = Path(sys.executable).parent / "signoff"


class Terminal:
    """What a person types and sees."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def see(self, words: str, seconds: float = 60) -> str:
        """What came up to these words, without the terminal's own codes."""
        until = time.monotonic() + seconds
        while words not in (text := self._text()):
            ready, _, _ = select.select([self._descriptor], [], [], 0.5)
            try:
                chunk = os.read(self._descriptor, 65536) if ready else b""
            except OSError:  # the process is gone
                chunk = b""
                until = 0
            self._seen += chunk
            if not chunk and time.monotonic() > until:
                raise AssertionError(f"{words!r} never came: {self._text()}")
        self._seen = b""
        return text

    def _text(self) -> str:
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()][A-Z0-9]|[=>])|\r", "", self._seen.decode(errors="replace"))


@contextmanager
def chatting(dsn: str, data: Path, *args: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DATABASE_URL": dsn, "SIGNOFF_DATA": str(data), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([SIGNOFF, "chat", *args], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def test_a_ticket_typed_by_a_person(dsn: str, tmp_path: Path) -> None:
    with chatting(dsn, tmp_path, "--as", "ann", "--session", "typed") as (terminal, process):
        terminal.see("Say what the ticket is about")
        terminal.see("ann › ")
        terminal.type("Export fails\r")
        terminal.see("What must be true when this is done?")
        terminal.see("ann › ")
        terminal.type("\x1b[200~it finishes\nit is logged\x1b[201~")  # pasted as one block
        terminal.see("it is logged")
        terminal.type("\r")
        card = terminal.see("version 1")
        assert "• it finishes" in card
        assert "• it is logged" in card
        terminal.see("ann › ")
        with chatting(dsn, tmp_path, "--as", "bob", "--session", "typed") as (other, _):
            other.see("version 1")
            other.see("bob › ")
            other.type("/edit title=Changed by bob\r")
            other.see("version 2 by bob")
            terminal.see("Title: added    Changed by bob")  # above ann's prompt, without a word of hers
            other.see("bob › ")
            other.type("\x04")
            other.see("signoff chat --session typed")
        terminal.type("/approve\r")  # a line begun before bob's card came up does not mean that one
        terminal.see("Nothing was decided")
        terminal.see("ann › ")
        terminal.type("/approve\r")
        terminal.see("Filed as LOCAL-1")
        terminal.see("ann › ")
        terminal.type("\x04")
        terminal.see("signoff chat --session typed")
        assert process.wait(30) == 0
    with chatting(dsn, tmp_path, "--as", "ann", "--session", "typed") as (terminal, process):
        terminal.see("Filed as LOCAL-1")
        terminal.see("ann › ")
        terminal.type("\x1b[A")  # history: the line before
        terminal.see("/approve")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
