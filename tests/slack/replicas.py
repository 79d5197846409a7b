"""`signoff serve` as a real process."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from tests.slack_sim import Slack

SIGNOFF = Path(sys.executable).parent / "signoff"


class Replica:
    """One process, and the address that Slack's requests go to."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process, self.url = process, url

    async def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def serve(
    slack: Slack, dsn: str, *arguments: str, stderr: IO[bytes] | None = None, **more: str
) -> AsyncIterator[Replica]:
    """A real `signoff serve`; ends with SIGTERM."""
    environment = {
        **os.environ,
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        "DATABASE_URL": dsn,
        **more,
    }
    given = {name: value for name, value in environment.items() if value}
    process = await asyncio.create_subprocess_exec(
        SIGNOFF, "serve", *(arguments or ("--port", "0")), env=given, stdout=asyncio.subprocess.PIPE, stderr=stderr
    )
    try:
        async with asyncio.timeout(60):
            assert process.stdout
            line = (await process.stdout.readline()).decode()
        found = re.search(r"http://[^;]+", line)
        assert found or "Socket Mode" in line, line
        yield Replica(process, found[0] if found else "")
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)
