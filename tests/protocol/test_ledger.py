"""That the ledger's statements, which are made of the rows of `MOVES`, do what the rows say: each read by SQLite, in memory."""

import sqlite3
from contextlib import closing
from typing import Any, get_args, get_type_hints

import pytest

from agent.rules import MOVES, FilingStatus, Moving, first
from persistence.filings import _has, _may, _to

TOLD = {"file": ("tell",), "fail": ("tell",), "ask": ("doubt", "tell"), "lose": ("doubt",)}
"""The effects that a move's statement, or what goes with it, has."""


@pytest.mark.parametrize("move", get_args(get_type_hints(Moving)["move"]))
def test_a_filing_moves_as_the_first_row_that_fits_says(move: Any) -> None:
    this = {"session_id": "s", "draft_hash": "h", "attempt": 1}
    statement = f"SELECT {_to(move)} FROM filings WHERE {_may(move)}".replace("%(", ":").replace(")s", "")
    for status in get_args(FilingStatus):
        for attempt in (1, 2):
            with closing(sqlite3.connect(":memory:")) as database:
                database.execute("CREATE TABLE filings (session_id, draft_hash, status, attempt)")
                database.execute("INSERT INTO filings VALUES ('s', 'h', ?, ?)", (status, attempt))
                moved = database.execute(statement, this).fetchone()
            row = first(MOVES, Moving(move, status, current=attempt == 1))
            assert (moved[0] if moved else "") == row.then, (status, attempt)
            for effect in TOLD.get(move, ()) if row.then else ():
                assert _has(move, effect) == (effect in row.effects)  # type: ignore[arg-type]
