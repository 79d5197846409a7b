"""Any JSON at all resumes the graph: nothing raises, and what is filed was shown."""

import random
from collections import Counter

from tests.fuzz.gates import one
from tests.fuzz.mutating import within

CONVERSATIONS = 80


async def test_answers_of_any_form_resume_the_graph() -> None:
    came_to = Counter[str]()
    for seed in range(CONVERSATIONS):
        try:
            with within(10):
                came_to.update(await one(random.Random(seed)))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert set(came_to) == {"ask_user", "find_similar", "preview_ticket", "file_ticket"}
