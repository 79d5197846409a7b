"""A GitHub that only takes issues, as fast as it can: `python -m benchmarks._github` prints its port, and serves until its
input ends."""

import asyncio
import json
import sys
from itertools import count

from aiohttp import web

_numbers = count(1)
_REPOSITORY = {"has_issues": True, "full_name": "acme/web", "permissions": {"push": True, "admin": True}}


async def _repository(_: web.Request) -> web.Response:
    return web.json_response(_REPOSITORY)


async def _user(_: web.Request) -> web.Response:
    return web.json_response({"login": "bot", "id": 1})


async def _create(request: web.Request) -> web.Response:
    number = next(_numbers)
    sent = json.loads(await request.read())
    issue = {"number": number, "html_url": f"http://localhost/acme/web/issues/{number}", "title": sent["title"]}
    return web.json_response(issue, status=201)


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/repos/acme/web", _repository)
    app.router.add_get("/user", _user)
    app.router.add_post("/repos/acme/web/issues", _create)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
