"""A model's server that answers anything at all: every message is read, by the model or by the interview."""

import random

from persistence.database import Database
from tests.fuzz.models import answers
from tests.fuzz.mutating import within

CONVERSATIONS = 60


async def test_answers_of_any_form_leave_every_message_read(database: Database) -> None:
    async with answers(database) as model:
        for seed in range(CONVERSATIONS):
            try:
                with within(20):
                    await model.one(random.Random(seed))
            except Exception as error:
                raise AssertionError(f"seed {seed}") from error
