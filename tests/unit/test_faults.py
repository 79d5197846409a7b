"""The fault points: the list of them is what stands in the code, and an unarmed one does nothing."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from agent import faults

ROOT = Path(__file__).parents[2]


def in_the_code() -> Counter[str]:
    """The names in every call of `point`."""
    return Counter(
        one.value
        for room in ("agent", "persistence", "slack_adapter", "skills")
        for path in (ROOT / room).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "point"
        for one in ast.walk(call)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )


def test_the_list_names_each_point_in_the_code_and_no_other() -> None:
    assert set(in_the_code()) == set(faults.POINTS)


def test_an_armed_point_raises_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_ARMED", dict[str, str]())
    faults.point("turn-found")
    monkeypatch.setenv("SIGNOFF_FAULT", "turn-found=raise")
    faults.arm()
    faults.point("turn-committed")
    with pytest.raises(faults.Fault):
        faults.point("turn-found")
    faults.point("turn-found")


def test_notes_tell_each_time_that_a_point_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(faults, "_ARMED", dict[str, str]())
    monkeypatch.setenv("SIGNOFF_FAULT", f"turn-found=note:{tmp_path}/notes,filing-sent=sleep:0")
    faults.arm()
    for name in ("turn-found", "filing-sent", "turn-found"):
        faults.point(name)
    assert (tmp_path / "notes").read_text() == "turn-found\nturn-found\n"


def test_a_name_that_is_no_point_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_FAULT", "turn-fund=crash")
    with pytest.raises(ValueError, match="turn-fund, and the points are"):
        faults.arm()
