"""`signoff audit`: whether the log is whole, an export that is verified elsewhere, and a session's story."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.processes import Forker, Signoff
from tests.support import COMPLETE

SCRIPT = COMPLETE.replace("\n", "\\n") + "\n/approve 01234567\nPriority: high\n/approve\n"


@pytest.fixture
def held(signoff: Forker, dsn: str) -> str:
    signoff.run(dsn, "chat", "--json", "--session", "one", "--as", "ann", script=SCRIPT)
    return dsn


def head(process: Signoff) -> str:
    [found] = re.findall(r"\b[0-9a-f]{64}\b", process.stdout + process.stderr)
    return str(found)


def test_a_whole_log_is_verified_with_and_without_the_database(signoff: Forker, held: str, tmp_path: Path) -> None:
    verified = signoff.run(held, "audit", "verify")
    assert (verified.status, verified.stderr) == (0, "")
    assert "one unbroken chain" in verified.stdout
    file = tmp_path / "log.jsonl"
    exported = signoff.run(held, "audit", "export", str(file))
    assert (exported.status, exported.stdout) == (0, "")
    assert head(exported) == head(verified)
    for more in ([], ["--head", head(verified)]):
        offline = signoff.run("postgresql://nowhere.invalid/", "audit", "verify", str(file), *more)
        assert offline.status == 0, offline.stdout + offline.stderr
        assert head(verified) in offline.stdout
    printed = signoff.run(held, "audit", "export")
    assert printed.stdout == file.read_text()
    first, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert first["count"] == len(rows)
    assert rows[-1]["kind"] == "filed"


def test_what_was_tampered_with_is_named(signoff: Forker, held: str, tmp_path: Path) -> None:
    kept, file = head(signoff.run(held, "audit", "verify")), tmp_path / "log.jsonl"
    signoff.run(held, "audit", "export", str(file))
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:3], *lines[4:]]))
    found = signoff.run(held, "audit", "verify", str(file))
    assert (found.status, found.stdout.splitlines()[1:]) == (1, ["  Row 3 is missing."])
    file.write_text("".join(lines).replace('"by":"ann"', '"by":"eve"', 1))
    found = signoff.run(held, "audit", "verify", str(file))
    assert (found.status, found.stdout.splitlines()[1:]) == (1, ["  Row 1 was edited."])
    with psycopg.connect(held, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        connection.execute("UPDATE audit SET body = replace(body, 'ann', 'eve') WHERE kind = 'decided'")
        connection.execute("UPDATE audit SET body = '[' WHERE seq = 1")
    found = signoff.run(held, "audit", "verify")
    assert found.status == 1
    assert found.stdout.count("was edited") == 2
    assert "was edited since: eve approved card" in signoff.run(held, "audit", "show", "one").stdout
    exported = signoff.run(held, "audit", "export")
    assert exported.status == 0
    file.write_text(exported.stdout)
    assert signoff.run(held, "audit", "verify", str(file)).status == 1
    with psycopg.connect(held, autocommit=True) as connection:
        connection.execute("DELETE FROM audit")
    found = signoff.run(held, "audit", "verify")
    assert (found.status, "its rows were deleted" in found.stdout) == (1, True)
    found = signoff.run(held, "audit", "verify", "--head", kept)
    assert (found.status, kept[:8] in found.stdout) == (1, True)


def test_a_sessions_story(signoff: Forker, held: str) -> None:
    story = signoff.run(held, "audit", "show", "one").stdout
    told = " ".join(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", story).split())
    cards = re.findall(r"Card (\w{8}) is shown", told)
    assert len(cards) == 2
    steps = [
        "ann: Title: Export fails", f"Card {cards[0]} is shown, version 1, for local LOCAL: Export fails",
        "ann was refused: No card 01234567 was shown in this session", "ann: Priority: high",
        f"Card {cards[0]} is no longer current.", f"Card {cards[1]} is shown, version 2", f"ann approved card {cards[1]}",
        f"Card {cards[1]} is sent to local LOCAL.", "Filed as LOCAL-1",
    ]  # fmt: skip
    assert [told.index(step) for step in steps] == sorted(told.index(step) for step in steps)
    rows = [json.loads(line) for line in signoff.run(held, "audit", "show", "one", "--json").stdout.splitlines()]
    assert rows == [json.loads(line) for line in signoff.run(held, "audit", "export").stdout.splitlines()[1:]]


def test_a_part_of_the_log(signoff: Forker, held: str, tmp_path: Path) -> None:
    times = [json.loads(line)["at"] for line in signoff.run(held, "audit", "export").stdout.splitlines()[1:]]
    file = tmp_path / "part.jsonl"
    assert "5 rows written" in signoff.run(held, "audit", "export", "--since", times[-5], str(file)).stderr
    verified = signoff.run(held, "audit", "verify", str(file))
    assert (verified.status, "It goes on from" in verified.stdout) == (0, True)
    assert signoff.run(held, "audit", "export", "--since", "2020-01-01").stdout.count("\n") == len(times) + 1
    signoff.run(held, "audit", "export", "--since", "2100-01-01", str(file))
    assert "is empty" in signoff.run(held, "audit", "verify", str(file)).stdout


def test_an_export_that_fails_leaves_the_one_before(signoff: Forker, held: str, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    signoff.run(held, "audit", "export", str(file))
    kept = file.read_text()
    assert signoff.run("postgresql://nowhere.invalid/", "audit", "export", str(file)).status != 0
    assert (file.read_text(), [one.name for one in tmp_path.iterdir()]) == (kept, ["log.jsonl"])
    assert signoff.run(held, "audit", "export", "/dev/stdout").stdout == kept, "what is no file is written to as it is"


def traced(lines: list[str], directory: Path) -> list[dict[str, Any]]:
    """What scripts/agentack makes of an export of one session."""
    directory.mkdir(exist_ok=True)
    (directory / "log.jsonl").write_text("\n".join(lines))
    script = Path(__file__).parents[2] / "scripts" / "agentack"
    subprocess.run([sys.executable, script, directory / "log.jsonl", directory / "traces"], check=True)
    events = [json.loads(line) for line in (directory / "traces" / "terminal%3Aone.jsonl").read_text().splitlines()]
    assert all(event["schema_version"] == 2 and event["session_id"] == "terminal:one" for event in events)
    return events


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The types of events, and what was decided or done."""
    return [(event["type"], event.get("decision") or event.get("reason") or event.get("approval_id", "")) for event in events]


def test_an_export_becomes_agentacks_trace(signoff: Forker, held: str, tmp_path: Path) -> None:
    lines = signoff.run(held, "audit", "export").stdout.splitlines()
    cards = [row["body"]["preview_id"] for row in map(json.loads, lines[1:]) if row["kind"] == "previewed"]
    shown = [("action_proposed", ""), ("approval_requested", cards[0]), ("approval_decision", "deny")]
    shown += [("action_blocked", "superseded"), ("action_proposed", ""), ("approval_requested", cards[1])]
    end = ("session_end", "the export ends here")
    approved = ("approval_decision", "allow")
    assert told(traced(lines, tmp_path)) == [*shown, approved, ("action_executed", cards[1]), end]
    unfiled = [line for line in lines if '"kind":"filed"' not in line]
    assert told(traced(unfiled, tmp_path)) == [*shown, approved, ("action_blocked", "not filed so far"), end]
    unapproved = [line for line in lines if '"kind":"decided"' not in line]
    assert told(traced(unapproved, tmp_path)) == [*shown, ("action_executed", ""), end], "it is in the trace all the same"


def test_agentack_is_told_what_was_done_and_not_what_was_to_be(signoff: Forker, held: str, tmp_path: Path) -> None:
    lines = signoff.run(held, "audit", "export").stdout.splitlines()

    def changed(kind: str, **known: Any) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in lines]
        for row in rows[1:]:
            row["body"] |= known if (row["kind"], row["body"].get("status", "approved")) == (kind, "approved") else {}
        return traced([json.dumps(row) for row in rows], tmp_path)

    *_, proposed, requested, decided, executed, _ = changed("none")
    assert proposed["action"] == requested["action"] == executed["action"]
    assert proposed["action_id"] == decided["action_id"] == executed["action_id"] == executed["approval_id"]
    assert changed("filed", draft_hash="f" * 64)[-2]["action"]["parameters"] == {"sha256": "f" * 64}
    assert changed("sent", where="jira OPS")[-2]["action"]["resource"] == "jira OPS"
    assert changed("decided", draft_hash="f" * 64)[-3]["action_id"] == "f" * 64
    assert changed("decided", verdict={"allowed": False})[-3]["decision"] == "deny"
    other = changed("filed", preview_id="p")[-3]
    assert (other["type"], other["action_id"], "approval_id" in other) == ("action_executed", "p", False)


def test_bad_input_gets_a_sentence(signoff: Forker, dsn: str, tmp_path: Path) -> None:
    picture, row = tmp_path / "picture.png", tmp_path / "row.jsonl"
    picture.write_bytes(bytes(range(256)) * 100)
    row.write_text("{}\n")
    for words, sentence in {
        ("show", "nobody"): "has no session nobody",
        ("verify", str(tmp_path / "none")): "cannot be read (No such file or directory)",
        ("verify", str(tmp_path)): "cannot be read (Is a directory)",
        ("verify", str(picture)): "does not begin with the line",
        ("verify", str(row)): "does not begin with the line",
        ("verify", "--head", "abc"): "--head takes the 64 characters",
        ("export", "--since", "yesterday"): "--since takes a date",
        ("export", str(tmp_path / "no" / "file")): "cannot be written",
        (): "required",
    }.items():
        ended = signoff.run(dsn, "audit", *words)
        assert ended.status == 2, words
        assert sentence in ended.stderr, ended.stderr
        assert "Traceback" not in ended.stderr
    assert signoff.run(dsn, "audit", "verify").stdout == "The audit log is empty.\n"
