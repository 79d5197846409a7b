"""Bodies against the real app over HTTP: with the right signature, and with wrong ones."""

import json
import random
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.fuzz import seeds
from tests.fuzz.mutating import as_bytes, edited, mutated
from tests.fuzz.parsers import FORM
from tests.slack.channel import COMPLETE, Channel
from tests.slack_sim.world import Answer

ANSWERED = 3.0
"""Seconds that Slack waits."""

DECIDED = ("approvals", "approval_history", "filings", "tickets")
"""Tables that no forged hash may write to."""

Body = tuple[str, bytes]


@dataclass
class Refusals:
    """What was refused, to be sent again when nothing else is under way."""

    bodies: list[Body] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


async def begin(ops: Channel) -> str:
    """The session that the inputs are about, with a card that is open; its thread."""
    said = await ops.mention(COMPLETE)
    await ops.card(said.ts)
    await ops.quiet()
    return said.ts


def body(ops: Channel, thread: str, rng: random.Random) -> Body:
    """A body that Slack might have sent, changed."""
    if rng.random() < 0.2:
        fields = mutated(seeds.COMMAND, rng)
        given = {str(name): str(value) for name, value in fields.items()} if isinstance(fields, dict) else {"payload": "x"}
        return FORM, urlencode(given, errors="surrogatepass").encode()
    payload = seeds.payloads()[rng.randrange(len(seeds.payloads()))]
    if rng.random() < 0.2:  # as it is, but for its value
        payload = json.loads(json.dumps(payload))
        for action in payload.get("actions", []):
            action["value"] = edited(action["value"], rng)
    else:
        payload = mutated(payload, rng, seeds.payloads(), most=2)
    data = as_bytes(payload, rng)
    session = f"T1:{ops.id}:{thread}"
    known = {"UBOT": ops.slack.bot_user, '"C1"': f'"{ops.id}"', '"U1"': '"U1ANN"', '"1.2"': f'"{thread}"'}
    known |= {seeds.SESSION: session, f"T1:C1:1.2:{'0' * 64}": f"{session}:{seeds.FORGED}"}
    for old, new in known.items():
        data = data.replace(old.encode(), new.encode())
    if rng.random() < 0.5 or b'"event_callback"' in data:
        return "application/json", data
    return FORM, urlencode({"payload": data}).encode()


async def posted(ops: Channel, given: Body, **headers: str) -> Answer:
    """Sends it, signed unless told."""
    kind, data = given
    return await ops.slack.raw_post(data, {"Content-Type": kind, **ops.slack.sign(data), **headers})


async def one(ops: Channel, thread: str, rng: random.Random, refused: Refusals) -> None:
    """One body, with the right signature."""
    given, began = body(ops, thread, rng), time.monotonic()
    answer = await posted(ops, given)
    assert 200 <= answer.status < 500, f"{answer}: {given!r:.3000}"
    assert time.monotonic() - began < ANSWERED, f"{given!r:.3000}"
    refused.statuses[answer.status] = refused.statuses.get(answer.status, 0) + 1
    if answer.status >= 400:
        refused.bodies.append(given)


async def forged(ops: Channel, thread: str, rng: random.Random) -> None:
    """One body that Slack did not sign."""
    given = body(ops, thread, rng)
    signed = ops.slack.sign(given[1])
    wrong = edited(signed["X-Slack-Signature"], rng)
    if wrong == signed["X-Slack-Signature"] or not wrong.isascii() or not wrong.isprintable():
        wrong = "v0=" + "0" * 64
    answer = await posted(ops, given, **{"X-Slack-Signature": wrong})
    assert answer.status in (400, 401), f"{answer}: {wrong!r}"


async def rows(ops: Channel) -> dict[str, int]:
    """How many rows every table has, but those that the queue writes to on its own accord."""
    found = await ops.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    return {row["name"]: await ops.count(row["name"]) for row in found if row["name"] != "procrastinate_workers"}
