"""Bodies against the real app over HTTP: with the right signature, and with wrong ones."""

import copy
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlencode

from tests.fuzz import seeds
from tests.fuzz.mutating import as_bytes, edited, mutated, places
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
    data = _known(ops, thread, as_bytes(payload, rng))
    if rng.random() < 0.5 or b'"event_callback"' in data:
        return "application/json", data
    return FORM, urlencode({"payload": data}).encode()


def _known(ops: Channel, thread: str, data: bytes) -> bytes:
    """The payload with the names of this channel."""
    session = f"T1:{ops.id}:{thread}"
    known = {"UBOT": ops.slack.bot_user, '"C1"': f'"{ops.id}"', '"U1"': '"U1ANN"', '"1.2"': f'"{thread}"'}
    known |= {seeds.SESSION: session, f"T1:C1:1.2:{'0' * 64}": f"{session}:{seeds.FORGED}"}
    for old, new in known.items():
        data = data.replace(old.encode(), new.encode())
    return data


INSTEAD = (None, 7, True, -1.5, [], [None], {}, {"id": 1}, "", "x" * 70_000, "\ud800", "\x00", "a\x00b", "٣.٣")
"""What stands in each place in turn, when all are tried one after the other."""


def in_every_place(ops: Channel, thread: str) -> Iterator[Body]:
    """Every body with every value in it, one at a time, replaced by a value of every kind."""
    numbers = count()
    for payload in (*seeds.payloads(), seeds.COMMAND):
        for path in [path for path in places(payload) if path]:
            for value in INSTEAD:
                changed = copy.deepcopy(payload)
                holder = changed
                for step in path[:-1]:
                    holder = holder[step]
                holder[path[-1]] = value
                if payload is not seeds.COMMAND:
                    data = _known(ops, thread, json.dumps(changed).encode())
                    number = next(numbers)  # so that none is a repeat of another
                    data = re.sub(rb'("(?:action_|event_)?ts": ?)"[\d.]+"', rb'\1"1795000001.%06d"' % number, data)
                    yield ("application/json", data) if "event" in payload else (FORM, urlencode({"payload": data}).encode())
                elif isinstance(value, str):
                    yield FORM, urlencode(changed, errors="surrogatepass").encode()


async def posted(ops: Channel, given: Body, **headers: str) -> Answer:
    """Sends it, signed unless told."""
    kind, data = given
    return await ops.slack.raw_post(data, {"Content-Type": kind, **ops.slack.sign(data), **headers})


async def one(ops: Channel, thread: str, rng: random.Random, refused: Refusals) -> None:
    """One body, with the right signature."""
    await taken(ops, body(ops, thread, rng), refused)


async def taken(ops: Channel, given: Body, refused: Refusals) -> None:
    """It is answered, soon, and by no 5xx."""
    began = time.monotonic()
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
