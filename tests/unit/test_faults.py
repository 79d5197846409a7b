"""The fault points: the list of them is what stands in the code, and an unarmed one does nothing."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
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


SLACK = re.compile(r"(apps|assistant|auth|chat|conversations|files|reactions|usergroups|users|views)_[A-Za-z_]+")
"""The methods of Slack's client, as the library names them."""

FACTS = "asked"
"""The function of `slack_adapter.workspaces` through which Slack is asked for facts; the points stand in it."""

ELSEWHERE = {
    "persistence/feed.py printed": "terminal-recorded",
    "persistence/tickets.py insert": "filing-posted",
    "persistence/tickets.py comment": "comment-added",
    "persistence/sessions.py write": "setting-stored",
    "persistence/filings.py begin": "filing-sent",
    "persistence/filings.py put_off": "filing-delayed",
    "persistence/filings.py lost": "filing-lost",
    "persistence/filings.py _transaction": "filing-ending",
    "persistence/outbox.py begin": "delivery-begun",
    "persistence/outbox.py done": "delivery-recorded",
    "persistence/outbox.py later": "delivery-delayed",
    "persistence/audit.py rows": "",
    "persistence/audit.py disagreements": "",
}
"""What commits and has no point of its own: the one that its callers come by afterwards; none where nothing is written."""


def functions() -> Iterator[tuple[str, ast.AST]]:
    """The outermost functions and the methods of the program, each with where it is."""
    for room in ("agent", "persistence", "slack_adapter", "skills"):
        for path in sorted((ROOT / room).rglob("*.py")):
            tree = ast.parse(path.read_text())
            classes = [one for one in tree.body if isinstance(one, ast.ClassDef)]
            for one in [*tree.body, *(inner for each in classes for inner in each.body)]:
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(ROOT)} {one.name}", one


def names_point(function: ast.AST) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "point" for one in ast.walk(function))


def test_each_call_of_slack_stands_beside_a_point_or_asks_for_facts() -> None:
    bare, seen = [], 0
    for where, function in functions():
        if where.startswith("agent/cli/doctor/"):
            continue  # asks, and keeps nothing
        facts = {
            argument
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == FACTS
            for argument in ast.walk(call)
        }
        names = {one: one.attr for one in ast.walk(function) if isinstance(one, ast.Attribute)}
        names |= {one: one.value for one in ast.walk(function) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        called = {one: name for one, name in names.items() if SLACK.fullmatch(name)}
        seen += len(called)
        if not names_point(function):
            bare += [f"{where}: {name}" for one, name in called.items() if one not in facts]
    assert bare == []
    assert seen >= 20, "the calls are found by their names"


def test_what_talks_to_others_is_known() -> None:
    talks = {
        where.split()[0]
        for where, function in functions()
        for one in ast.walk(function)
        if isinstance(one, ast.Attribute) and one.attr in ("ClientSession", "AsyncClient", "AsyncHTTPTransport", "urlopen")
    }
    known = {"slack_adapter/files.py", "agent/cli/serve.py", "skills/trackers/http.py"}
    assert {one for one in talks if not one.startswith("agent/cli/doctor/")} == known


def test_each_commit_stands_beside_a_point_or_its_callers_do() -> None:
    commits = {
        where
        for where, function in functions()
        if where.startswith("persistence/") and not where.startswith("persistence/migrations/") and not names_point(function)
        for one in ast.walk(function)
        if isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and (
            one.func.attr in ("transaction", "_transaction", "_write", "commit")
            or ast.unparse(one.func).endswith("ngine.begin")
        )
    }
    assert commits == set(ELSEWHERE)
    assert set(ELSEWHERE.values()) - {""} <= set(faults.POINTS)


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


@pytest.mark.parametrize("act", ["", "crahs", "crash:0", "crash:soon", "sleep", "sleep:-1", "note:"])
def test_an_act_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    monkeypatch.setenv("SIGNOFF_FAULT", f"turn-found={act}")
    with pytest.raises(ValueError, match="NAME=crash, crash:TIMES, sleep:SECONDS, raise or note:FILE"):
        faults.arm()


def test_a_command_with_a_wrong_one_ends_with_a_sentence() -> None:
    environ = {**os.environ, "SIGNOFF_FAULT": "turn-fund=crash"}
    done = subprocess.run(
        [sys.executable, "-c", "import agent.faults"], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
