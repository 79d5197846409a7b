"""Parsers of what comes from outside: they raise what they say they do, soon, and in little memory."""

import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol import read_answer
from tests.fuzz import seeds
from tests.fuzz.mutating import DEEP, within
from tests.fuzz.parsers import PARSERS, Parser

INPUTS = 600
SECONDS = 2.0
"""For one input; all but a few take a thousandth of that."""


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_mutations_of_real_inputs(parser: Parser) -> None:
    taken = 0
    for seed in range(INPUTS):
        given = parser.make(random.Random(seed))
        try:
            with within(SECONDS):
                taken += parser.takes(given)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {given!r:.2000}") from error
    assert 0 < taken <= INPUTS, "the mutations leave some of them as they are"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "args", "text", "decisions", "edits", "tickets", "sealed", "custom"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(4)), ANYTHING)
def test_any_answer_at_all_is_read(gate: int, raw: Any) -> None:
    assert read_answer(raw, seeds.requests()[gate]).event_id


HUGE: dict[str, Callable[[], str]] = {
    "a megabyte of text": lambda: json.dumps({"type": "reply", "text": "x" * 1_000_000}),
    "a megabyte of braces": lambda: json.dumps({"type": "reply", "text": "{" * 1_000_000}),
    "a megabyte of one key": lambda: json.dumps({"x" * 1_000_000: 1, "type": "reply"}),
    "a hundred thousand keys": lambda: json.dumps({"type": "reply", **{str(n): n for n in range(100_000)}}),
    "the same key again and again": lambda: '{"type": "reply", ' + '"text": "a", ' * 50_000 + '"text": "b"}',
    "nested lists": lambda: "[" * DEEP + "]" * DEEP,
    "nested objects": lambda: '{"type":' * DEEP + "1" + "}" * DEEP,
    "nested in a field": lambda: '{"type": "reply", "edits": ' + "[" * 900 + "]" * 900 + "}",
    "a number of a million digits": lambda: '{"type": ' + "9" * 1_000_000 + "}",
    "no number": lambda: '{"type": NaN, "attempt": Infinity, "at": -Infinity, "n": 1e999999}',
    "surrogates": lambda: '{"type": "reply", "text": "' + "\\ud800" * 100_000 + '"}',
    "nothing but NUL": lambda: '{"type": "reply", "text": "' + "\\u0000" * 100_000 + '"}',
    "turned round": lambda: json.dumps({"type": "reply", "text": "\u202e\u2066" * 100_000}),
}


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@pytest.mark.parametrize("huge", HUGE)
def test_huge_inputs_take_little(parser: Parser, huge: str) -> None:
    text = HUGE[huge]()
    given: Any = text
    match parser.name:
        case "Slack bodies":
            given = ("application/json", text.encode())
        case "replay files":
            given = [json.dumps({"conversation": 1}), text]
        case "answers to gates":
            given = (seeds.requests()[2], _loaded(text))
        case "modal values" | "calls of a model":
            given = {**seeds.views()[0], "private_metadata": text, "more": text} if parser.name[0] == "m" else _loaded(text)
    with within(5):
        parser.takes(given)
    tracemalloc.start()
    try:
        parser.takes(given)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(text) + 20_000_000


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
