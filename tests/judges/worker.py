"""A process that serves the terminal's queue until it is killed: WORKER SECONDS, the time that the tracker has to answer."""

import asyncio
import os
import sys

import httpx

from persistence.database import open_database
from skills.trackers import connected, http
from tests.support import make_shell


async def serve(seconds: float) -> None:
    http.TIMEOUT = httpx.Timeout(seconds)
    tracker, _, project = os.environ["SIGNOFF_DESTINATION"].partition(":")
    async with open_database(os.environ["DATABASE_URL"]) as database:
        async with database.queue.working(make_shell(database, connected(os.environ)[tracker], project)):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
