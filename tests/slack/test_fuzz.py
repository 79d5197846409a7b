"""Bodies of any form, sent to the real app: no 5xx, an answer in time, and what is not valid changes nothing."""

import logging
import os
import random
from itertools import islice

import pytest

from tests.fuzz.slack import DECIDED, Refusals, begin, forged, in_every_place, one, rows, taken
from tests.slack.channel import COMPLETE, Channel, words

EVERY = int(os.environ.get("FUZZ_EVERY", "37"))
"""Of what is tried in each place, every so manieth; 1 tries all, and takes minutes."""

BODIES, FORGERIES = int(os.environ.get("FUZZ_BODIES", "200")), 40


async def test_a_wrong_value_in_any_place(ops: Channel, caplog: pytest.LogCaptureFixture) -> None:
    thread, refused = await begin(ops), Refusals()
    for given in islice(in_every_place(ops, thread), 0, None, EVERY):
        await taken(ops, given, refused)
    await ops.quiet(60)
    assert {name: (await rows(ops))[name] for name in DECIDED} == dict.fromkeys(DECIDED, 0)
    assert await ops.rows("SELECT event_id, body FROM inbox WHERE outcome = 'failed'") == []
    wrong = [one for one in caplog.records if one.levelno >= logging.ERROR and not one.name.startswith("slack_bolt.")]
    assert [one.getMessage() for one in wrong] == []
    said = await ops.mention(COMPLETE.replace("Export", "Import"))
    await ops.slack.click("U2BOB", await ops.card(said.ts), "approve_draft")
    await ops.until(lambda: any("Filed as" in words(one.blocks) for one in ops.said(said.ts)), "filed")


async def test_bodies_of_any_form(ops: Channel, caplog: pytest.LogCaptureFixture) -> None:
    thread = await begin(ops)
    before, refused = await rows(ops), Refusals()
    for seed in range(FORGERIES):
        await forged(ops, thread, random.Random(seed))
    assert await rows(ops) == before
    for seed in range(BODIES):
        await one(ops, thread, random.Random(seed), refused)
    await ops.quiet(60)
    after = await rows(ops)
    assert after["inbox"] - before["inbox"] <= refused.statuses[200]
    assert {name: after[name] for name in DECIDED} == dict.fromkeys(DECIDED, 0)
    assert await ops.rows("SELECT event_id, body FROM inbox WHERE outcome = 'failed'") == []
    for given in refused.bodies:
        await ops.slack.raw_post(given[1], {"Content-Type": given[0], **ops.slack.sign(given[1])})
    assert await rows(ops) == after
    wrong = [one for one in caplog.records if one.levelno >= logging.ERROR and not one.name.startswith("slack_bolt.")]
    assert [one.getMessage() for one in wrong] == []
    said = await ops.mention(COMPLETE)
    card = await ops.card(said.ts)
    await ops.slack.click("U2BOB", card, "approve_draft")
    await ops.until(lambda: "Filed as" in words(ops.slack.latest(card).blocks), "filed")
