"""Trackers that answer anything at all: no second ticket, and nothing that a worker falls over."""

import random
from pathlib import Path

import pytest

from persistence.database import Database
from tests.fuzz.mutating import within
from tests.fuzz.trackers import filed, replies
from tests.trackers.places import PLACES

NAMES = ("Jira Cloud", "Jira Data Center", "GitHub", "Linear", "GitLab")
CALLS, FILINGS = 250, 5


@pytest.mark.parametrize("name", NAMES)
async def test_replies_of_any_form_raise_what_the_port_says(name: str, tmp_path: Path) -> None:
    async with replies(name, tmp_path) as tracker:
        for seed in range(CALLS):
            try:
                with within(3):
                    await tracker.one(random.Random(seed))
            except Exception as error:
                raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("name", NAMES)
async def test_a_filing_among_replies_of_any_form_is_one_ticket_at_most(name: str, database: Database, tmp_path: Path) -> None:
    async with PLACES[name](tmp_path) as place:
        for seed in range(FILINGS):
            state, tickets = await filed(place, database, random.Random(seed))
            assert state in ("filed", "failed", "unknown"), f"seed {seed}"
            assert tickets <= 1, f"seed {seed}"
