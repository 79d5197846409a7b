"""The chain of the audit log: whatever is done to an export is found, and named."""

import json
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.audit import NOTHING, BadExport, Chain, Entry, Head, Row, verify

ROWS = 12
COLUMNS = [column.name for column in fields(Row)]


def chained(entries: list[Entry], first: int = 1, before: str = NOTHING) -> list[Row]:
    """The entries as rows, as the database writes them."""
    rows = list[Row]()
    for number, entry in enumerate(entries, first):
        at = f"2026-11-28T10:00:{number:02}.000000Z"
        row = Row(number, at, entry.session_id, entry.event_id, entry.kind, entry.text, before, "")
        rows.append(replace(row, hash=row.digest()))
        before = rows[-1].hash
    return rows


def some(count: int = ROWS) -> list[Row]:
    return chained([Entry("terminal:a", f"e{n}", "said", {"by": "ann", "words": f"word {n}"}) for n in range(count)])


def exported(rows: list[Row], before: str = NOTHING) -> list[str]:
    head = Head(rows[0].seq if rows else 1, len(rows), before, rows[-1].hash if rows else before)
    return [head.line(), *(row.line() for row in rows)]


def found(lines: list[str], anchor: str = "") -> list[str]:
    try:
        return verify(lines, anchor)
    except BadExport as error:
        return [str(error)]


def in_database(rows: list[Row], anchor: str = "") -> list[str]:
    chain = Chain(anchor)
    for row in sorted(rows, key=lambda row: row.seq):
        chain.add(row)
    return chain.findings()


@settings(deadline=None)
@given(
    st.lists(
        st.builds(Entry, st.text(), st.text(), st.text(), st.dictionaries(st.text(), st.text(st.characters()) | st.integers()))
    )
)
def test_what_nobody_touched_is_whole(entries: list[Entry]) -> None:
    rows = chained(entries)
    assert found(exported(rows)) == []
    assert in_database(rows) == []
    assert found(exported(rows[len(rows) // 2 :], rows[len(rows) // 2 - 1].hash) if len(rows) > 1 else exported(rows)) == []


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_a_row_is_read_back_from_its_line(words: str) -> None:
    row = chained([Entry("s", "e", "said", {"words": words})])[0]
    assert Row.of(row.line()) == row
    assert row.line().isascii()


VALUES = {"seq": st.integers(-3, 40)}


@st.composite
def mutated(draw: st.DrawFn) -> list[str]:
    """An export to which one thing was done."""
    rows = some()
    lines, n = exported(rows), draw(st.integers(0, ROWS - 1))
    match draw(st.sampled_from(["column", "delete", "twice", "swap", "shuffle", "insert", "character", "head", "cut"])):
        case "column":
            name = draw(st.sampled_from(COLUMNS))
            value = draw(VALUES.get(name, st.text(max_size=4)))
            row = replace(rows[n], **{name: json.dumps(value) if name == "body" else value})
            if draw(st.booleans()):
                row = replace(row, hash=row.digest())
            lines[n + 1] = row.line()
        case "delete":
            del lines[n + 1 : n + 1 + draw(st.integers(1, ROWS))]
        case "twice":
            lines.insert(draw(st.integers(1, ROWS + 1)), lines[n + 1])
        case "swap":
            other = draw(st.integers(0, ROWS - 1))
            lines[n + 1], lines[other + 1] = lines[other + 1], lines[n + 1]
        case "shuffle":
            lines = [lines[0], *draw(st.permutations(lines[1:]))]
        case "insert":
            row = replace(rows[n], body=json.dumps({"by": "eve"}))
            lines.insert(n + 1, draw(st.sampled_from([row, replace(row, hash=row.digest())])).line())
        case "character":
            text = "\n".join(lines)
            at = draw(st.integers(0, len(text) - 1))
            text = text[:at] + draw(st.text(max_size=2)) + text[at + draw(st.integers(0, 2)) :]
            lines = text.split("\n")
        case "head":
            name = draw(st.sampled_from(["first", "count", "before", "head"]))
            value = draw(
                st.integers(-1, 20) if name in ("first", "count") else st.sampled_from([NOTHING, "a" * 64, rows[3].hash])
            )
            lines[0] = replace(Head.of(lines[0]), **{name: value}).line()
        case "cut":
            lines = lines[: n + 1]
    assume(lines != exported(rows))
    return lines


@settings(max_examples=1_500, deadline=None)
@given(mutated())
def test_whatever_is_done_to_an_export_is_found(lines: list[str]) -> None:
    assert found(lines) != []


def without(*numbers: int) -> list[Row]:
    return [row for row in some() if row.seq not in numbers]


@pytest.mark.parametrize(
    ("rows", "finding"),
    [
        (without(1), "Row 1 is missing."),
        (without(5, 6), "Rows 5-6 are missing."),
        (without(12), "Row 12 is missing."),
        (without(*range(1, 13)), "Rows 1-12 are missing."),
    ],
)
def test_a_deletion_is_named(rows: list[Row], finding: str) -> None:
    lines = [Head.of(exported(some())[0]).line(), *(row.line() for row in rows)]
    assert found(lines) == [finding]


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "seq"])
@pytest.mark.parametrize("number", [1, 6, 12])
def test_an_edit_is_named(column: str, number: int) -> None:
    rows = some()
    edited = replace(rows[number - 1], **{column: '{"by":"eve"}' if column == "body" else "f" * 64})
    rows[number - 1] = edited
    [finding, *_] = in_database(rows)
    assert finding.startswith(f"Row {number} was edited")
    if number < 12 and column in ("hash", "previous"):
        assert ("the hash in it" in finding) == (column == "hash")
        assert ("the hash of the row before" in finding) == (column == "previous")
    assert [finding] == found([exported(some())[0], *(row.line() for row in rows)])


@pytest.mark.parametrize("number", [1, 6, 12])
def test_a_row_under_another_number_is_named(number: int) -> None:
    rows = some()
    rows[number - 1] = replace(rows[number - 1], seq=99)
    assert in_database(rows) == [f"Row 99 is row {number} under another number."]
    assert found([exported(some())[0], *(row.line() for row in rows)]) == in_database(rows)


def test_an_edit_whose_hash_was_made_anew_is_named() -> None:
    rows = some()
    edited = replace(rows[5], kind="decided")
    rows[5] = replace(edited, hash=edited.digest())
    assert in_database(rows) == ["Row 7 does not follow row 6: one of them was edited, and its hash made anew."]


@pytest.mark.parametrize(("one", "other"), [(1, 2), (4, 5), (3, 9), (11, 12), (1, 12)])
def test_two_rows_that_changed_places_are_named(one: int, other: int) -> None:
    rows, told = some(), [f"Rows {one} and {other} changed places."]
    lines = exported(rows)
    lines[one], lines[other] = lines[other], lines[one]
    assert found(lines) == told
    rows[one - 1], rows[other - 1] = replace(rows[one - 1], seq=other), replace(rows[other - 1], seq=one)
    assert in_database(rows) == told


def test_rows_that_moved_up_over_a_deleted_one_are_named() -> None:
    rows = some()
    rows = [*rows[:4], *(replace(row, seq=row.seq - 1) for row in rows[5:])]
    assert in_database(rows) == ["Rows 5-11 are rows 6-12 under another number.", "Row 5 is missing."]


def test_rows_that_were_all_renumbered_are_named() -> None:
    rows = [replace(row, seq=row.seq + 10) for row in some(200)]
    assert in_database(rows) == ["Rows 11-210 are rows 1-200 under another number."]


@pytest.mark.parametrize("number", [1, 6, 12])
@pytest.mark.parametrize("place", [1, 6, 13])
def test_a_row_that_is_there_twice_is_named(number: int, place: int) -> None:
    lines = exported(some())
    lines.insert(place, lines[number])
    assert f"Row {number} is there twice." in found(lines)


def test_a_line_that_is_no_row_is_named() -> None:
    lines = exported(some())
    lines[4] = "[" * 100_000
    assert found(lines) == ["Line 5 is no row as export wrote it: it was edited or put in.", "Row 4 is missing."]
    lines[4] = some()[3].line().replace('"seq":4,', f'"seq":{"9" * 4_000},')  # nobody reads such a number
    assert found(lines) == ["Line 5 is no row as export wrote it: it was edited or put in.", "Row 4 is missing."]
    lines[4] = some()[3].line().replace('"ann"', '"eve","by":"ann"')  # the other of two values would be read elsewhere
    assert "Line 5" in found(lines)[0]


def test_a_cut_end_shows_only_by_a_head_that_was_kept() -> None:
    rows = some()
    assert in_database(rows[:-1]) == []
    assert in_database(rows, anchor=rows[-1].hash) == []
    assert in_database(rows, anchor=rows[4].hash) == []  # more came since
    [finding] = in_database(rows[:-1], anchor=rows[-1].hash)
    assert "the end is missing" in finding
    anew = chained([Entry("terminal:a", "e", "said", {"words": "another"}) for _ in rows])
    assert in_database(anew) == []
    assert in_database(anew, anchor=rows[-1].hash) == [finding]
    assert found(exported(anew), anchor=rows[4].hash) != []


def test_a_part_goes_on_from_the_hash_before_it() -> None:
    rows = some()
    assert found(exported(rows[5:], rows[4].hash)) == []
    assert found(exported(rows[5:], rows[4].hash), anchor=rows[4].hash) == []
    [finding] = found(exported(rows[5:], rows[3].hash))
    assert finding.startswith("Row 6 follows another hash")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        '{"audit":1,"first":1,"count":1,"before":5,"head":null}',
        '{"audit":1,"first":1.0,"count":0,"before":"","head":""}',
        '{"audit":2,"first":1,"count":0,"before":"","head":""}',
        some()[0].line(),
        "null",
        "{" * 10_000,
    ],
)
def test_what_is_no_export_gets_a_sentence(line: str) -> None:
    with pytest.raises(BadExport):
        verify([line])


def test_many_findings_are_cut_short_and_keep_little() -> None:
    rows: list[Callable[[Row], Row]] = [lambda row: replace(row, kind="x"), lambda row: replace(row, seq=2 * row.seq)]
    for change in rows:
        told = in_database([change(row) for row in some(5_000)])
        assert told[-1].startswith("And so on: ")
        assert len(told) < 4_000
