"""Answers of a model's server, changed on their way: whatever comes, the message is read, and what comes of it can be kept."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from agent import asking
from agent.model import configured_listener
from agent.protocol import Reply
from agent.reading import Listener
from persistence.database import Database
from tests.fuzz import seeds
from tests.fuzz.mutating import as_bytes, mutated
from tests.fuzz.trackers import CODES, HEADERS
from tests.model_sim import Item, Raw, Status, running_model
from tests.support import Talk, make_shell

MESSAGE = "Title: Export fails\nProblem: It answers `500`.\nAcceptance criteria: it finishes"
KINDS = ("application/json", "text/event-stream", "text/html", "application/octet-stream")


class Answers:
    """A model's server that answers anything at all, and a database that is to hold what is made of it."""

    def __init__(self, database: Database, listener: Listener) -> None:
        self.database, self.listener = database, listener
        self.shell = make_shell(database, listener=listener)
        self.rng = random.Random(0)

    async def one(self, rng: random.Random) -> None:
        """A conversation of two messages."""
        self.rng = rng
        self.listener.asker._failures, self.listener.asker._rests_until = 0, 0.0
        talk = Talk(self.database, f"terminal:{uuid4().hex}")
        for text in (MESSAGE, "Priority: high"):
            await talk.store.accept(talk.event(Reply(text=text, by="ann")))
            await self.shell.wake(talk.session_id, 0)
        async with self.database.turns.connection() as driver:
            query = "SELECT outcome FROM inbox WHERE session_id = %s ORDER BY seq"
            outcomes = [row["outcome"] for row in await (await driver.execute(query, (talk.session_id,))).fetchall()]
            made = await (await driver.execute("SELECT 1 FROM approvals WHERE session_id = %s", (talk.session_id,))).fetchall()
        assert outcomes == ["replied", "replied"], outcomes
        assert not made, "nothing that a model says decides"

    def item(self, _: Any) -> Item:
        """The next answer."""
        rng = self.rng
        body = mutated(rng.choice(seeds.model_answers()), rng, seeds.model_answers()) if rng.random() < 0.5 else self._called()
        text = as_bytes(body, rng).decode("utf-8", "replace")
        if rng.random() < 0.15:
            return Status(rng.choice(CODES[3:]), text, rng.choice(HEADERS[:6]))
        return Raw(text, rng.choice(KINDS) if rng.random() < 0.1 else KINDS[0])

    def _called(self) -> Any:
        """An answer whose form is right, and whose call is changed."""
        answer = json.loads(json.dumps(self.rng.choice(seeds.model_answers())))
        function = answer["choices"][0]["message"]["tool_calls"][0]["function"]
        changed = as_bytes(mutated(json.loads(function["arguments"]), self.rng), self.rng)
        function["arguments"] = changed.decode("utf-8", "replace")
        return answer


@asynccontextmanager
async def answers(database: Database) -> AsyncIterator[Answers]:
    """Such a server, and who listens to it."""
    pauses, asking.PAUSES = asking.PAUSES, (0.01,)  # type: ignore[assignment]
    try:
        async with running_model(lambda given: found.item(given)) as server:
            known = {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": server.url, "SIGNOFF_MODEL_TIMEOUT": "5"}
            found = Answers(database, configured_listener(known))
            yield found
    finally:
        asking.PAUSES = pauses
