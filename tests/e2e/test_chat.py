"""`signoff chat` as scripts use it: real processes, real pipes, a real database."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from agent.sealing import canonical
from tests.processes import Forker, Signoff

FIRST = "The CSV export fails for EU accounts.\\nIt answers 500 since Monday."
COMPLETE = "Title: Export fails\\nProblem: It answers 500.\\nAcceptance criteria: - it finishes - it is logged"


def tickets(signoff: Forker, dsn: str) -> list[dict[str, Any]]:
    listed = signoff.run(dsn, "tickets", "--json")
    assert listed.status == 0
    return listed.shows


def test_from_a_first_sentence_to_a_filed_ticket(signoff: Forker, dsn: str) -> None:
    script = f"{FIRST}\n- it finishes\\n- it is logged\n/approve\n/quit\nnever read\n"
    chat = signoff.run(dsn, "chat", "--json", "--as", "ann", "--session", "one", script=script)
    assert (chat.status, chat.stderr) == (0, "")
    assert [show["kind"] for show in chat.shows] == ["say", "question", "preview", "decision", "filed"]
    question, preview, decision, filed = chat.shows[1:]
    assert [one["field"] for one in question["questions"]] == ["acceptance_criteria"]
    assert preview["session_id"] == "terminal:one"
    assert preview["sealed"]["title"] == "The CSV export fails for EU accounts."
    assert preview["sealed"]["fields"]["problem"] == "The CSV export fails for EU accounts.\nIt answers 500 since Monday."
    assert preview["sealed"]["fields"]["acceptance_criteria"] == ["it finishes", "it is logged"]
    assert (decision["status"], decision["by"], decision["draft_hash"]) == ("approved", "ann", preview["draft_hash"])
    assert filed == {"kind": "filed", "key": "LOCAL-1", "url": "signoff://tickets/LOCAL-1", "draft_hash": preview["draft_hash"]}


def test_what_was_shown_is_what_is_filed(signoff: Forker, dsn: str) -> None:
    chat = signoff.run(
        dsn, "chat", "--json", script=f"{COMPLETE}\n/edit risks=slow\\nDRÄG 日本\n/edit custom.team=blue\n/approve\n"
    )
    preview = chat.of_kind("preview")[-1]
    [ticket] = tickets(signoff, dsn)
    assert ticket["sealed"] == preview["sealed"]
    assert ticket["draft_hash"] == preview["draft_hash"]
    assert hashlib.sha256(canonical(ticket["sealed"])).hexdigest() == preview["draft_hash"]
    assert preview["sealed"]["fields"]["risks"] == ["slow", "DRÄG 日本"]
    assert [change["field"] for change in preview["diff"]] == ["custom.team"]


def test_approve_takes_8_or_64_characters_or_the_card_shown_last(signoff: Forker, dsn: str) -> None:
    with signoff.start(dsn, "chat", "--json", "--as", "ann") as chat:
        chat.send(COMPLETE)
        first = chat.wait_for("preview")["draft_hash"]
        chat.send("/edit title=Other")
        second = chat.wait_for("preview", 2)["draft_hash"]
        for number, typed in enumerate([first[:8], first, "12345678", "0" * 64, second[:8], second.upper()], 1):
            chat.send(f"/approve {typed}")
            chat.wait_for("decision", number)
        chat.send("/approve")
        chat.wait_for("decision", 7)
        assert chat.wait() == 0
        statuses = [decision["status"] for decision in chat.of_kind("decision")]
        assert statuses == ["stale", "stale", "refused", "refused", "approved", "already", "already"]
        [change] = chat.of_kind("decision")[0]["diff"]
        assert change == {"field": "title", "removed": ["Export fails"], "added": ["Other"]}
    assert len(tickets(signoff, dsn)) == 1


def test_the_card_shown_last_is_meant_also_when_another_terminal_changed_the_draft(signoff: Forker, dsn: str) -> None:
    with signoff.start(dsn, "chat", "--json", "--session", "shared", "--as", "ann") as ann:
        ann.send(COMPLETE)
        ann.wait_for("preview")
        bob = signoff.run(dsn, "chat", "--json", "--session", "shared", "--as", "bob", script="Title: Changed by bob\n")
        assert [show["version"] for show in bob.of_kind("preview")] == [1, 2]
        ann.send("/approve")
        assert ann.wait_for("decision")["status"] == "stale"
        ann.send("/approve")  # by now bob's card was shown here
        assert ann.wait_for("decision", 2)["status"] == "approved"
        assert ann.wait() == 0


def test_a_conversation_goes_on_after_a_restart(signoff: Forker, dsn: str) -> None:
    args = "chat", "--json", "--session", "again"
    assert signoff.run(dsn, *args, script=f"{FIRST}\n").of_kind("question")
    assert signoff.run(dsn, *args).of_kind("question"), "what is asked is shown to who comes back"
    shown = signoff.run(dsn, *args, script="it works\n").of_kind("preview")[0]
    back = signoff.run(dsn, *args, script="/reject too vague\n")
    assert back.of_kind("preview") == [{**shown, "by": ""}]
    assert [show["status"] for show in back.of_kind("decision")] == ["rejected"]
    last = signoff.run(dsn, *args, script="Title: Better\n/approve\n")
    assert last.of_kind("filed")
    assert signoff.run(dsn, *args, script="thanks\n").shows[0] == last.of_kind("filed")[0]
    assert len(tickets(signoff, dsn)) == 1


def test_acts_that_cannot_be_done_get_a_sentence(signoff: Forker, dsn: str) -> None:
    lines = {
        "/approve": "No card was shown here yet",
        "/approve xyz": "'xyz' is no hash",
        "/approve 0123456789": "'0123456789' is no hash",
        "/foo": "There is no /foo: use /approve",
        "/edit": "Write /edit field=value",
        "/edit title": "Write /edit field=value",
        "/edit colour=red": "There is no field 'colour': use one of",
        "/there": "Write /there KEY",
        "/there OPS-1": "Nothing is to be settled here",
        "/again": "Nothing is to be settled here",
        "/leave": "Nothing is to be settled here",
        "/help": "Type what the ticket is about.",
        "": "That message was empty",
        "x" * 100_000: "That message has 100,000 characters",
        "y" * 1_000_001: "That line has 1,000,001 characters and was not sent",
        "Title: a\u202eb\u0007": "I took 2 invisible characters out",
    }
    with signoff.start(dsn, "chat", "--json") as chat:
        for number, (line, sentence) in enumerate(lines.items()):
            seen, said = len(chat.shows), len(chat.of_kind("say"))
            chat.send(line)
            chat.send("/nothing-more")
            chat.wait_for("say", said + 1)
            while not any("/nothing-more" in show.get("text", "") for show in chat.shows[seen:]):
                pass
            assert any(sentence in show.get("text", "") for show in chat.shows[seen:]), (number, sentence, chat.shows[seen:])
        assert chat.wait() == 0
        assert chat.stderr == ""


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("chat", "--session", ""), "--session takes a name"),
        (("chat", "--as", "x" * 101), "--as takes a name"),
        (("chat", "--as", "a\nb"), "--as takes a name"),
        (("tickets", "show", "LOCAL-99"), "There is no ticket LOCAL-99: see signoff tickets."),
        (("export", "nobody"), "There is no session nobody"),
        (("replay", "/nonexistent"), "/nonexistent cannot be read (No such file or directory)"),
        (("frobnicate",), "invalid choice"),
        (("replay",), "the following arguments are required"),
    ],
)
def test_a_command_that_cannot_go_on_says_why_and_exits_with_2(
    signoff: Forker, dsn: str, args: tuple[str, ...], sentence: str
) -> None:
    command = signoff.run(dsn, *args)
    assert command.status == 2
    assert sentence in command.stderr
    assert "Traceback" not in command.stderr


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://127.0.0.1:1/none", "The database cannot be reached"),
        ("mysql://localhost/x", "DATABASE_URL must start with postgresql://"),
        ("postgresql://localhost:notaport/x", "The database cannot be reached"),
        ("postgresql://user:pa ss@localhost/x", "DATABASE_URL is no valid URL"),
    ],
)
@pytest.mark.parametrize("command", [("chat", "--json"), ("tickets",), ("export", "x")])
def test_a_database_that_cannot_be_reached(signoff: Forker, command: tuple[str, ...], url: str, sentence: str) -> None:
    failed = signoff.run(url, *command, script="hello\n")
    assert (failed.status, failed.stdout) == (2, "")
    assert failed.stderr.startswith(f"signoff: {sentence}")
    assert failed.stderr.count("\n") == 1


def test_tickets_for_people(signoff: Forker, dsn: str) -> None:
    assert "No ticket is filed yet" in signoff.run(dsn, "tickets").stdout
    signoff.run(dsn, "chat", script=f"{COMPLETE}\nLabels: a, b\n/approve\n")
    [ticket] = tickets(signoff, dsn)
    listed = signoff.run(dsn, "tickets").stdout
    assert "LOCAL-1" in listed
    assert ticket["draft_hash"][:8] in listed
    shown = signoff.run(dsn, "tickets", "show", "local-1").stdout
    assert shown.startswith("# LOCAL-1: Export fails\n\nType: story\nLabels: a, b\n\n## Problem\n\nIt answers 500.\n")
    assert ticket["draft_hash"] in shown


def test_a_script_for_people_shows_the_card(signoff: Forker, dsn: str) -> None:
    chat = signoff.run(
        dsn, "chat", "--as", "ann", script=f"{COMPLETE}\n/edit priority=high\n/reject [red]no[/red]\nshow\n/approve\n"
    )
    for words in (
        "Export fails",
        "• it is logged",
        "version 2",
        "Priority: added    high",
        "Rejected by ann. Reason: [red]no[/red]",
    ):
        assert words in chat.stdout, chat.stdout
    assert "Filed as LOCAL-1" in chat.stdout
    assert "\x1b" not in chat.stdout


def test_what_is_exported_replays(signoff: Forker, dsn: str, tmp_path: Path) -> None:
    script = f"{FIRST}\nit works\nTitle: Other\n/approve\nnew {COMPLETE}\n/reject no\nskip\nTitle: x\n/approve\n\u202e\n"
    signoff.run(dsn, "chat", "--json", "--session", "exported", "--as", "ann", script=script)
    exported = signoff.run(dsn, "export", "exported")
    assert exported.status == 0
    file = tmp_path / "exported.jsonl"
    file.write_text(exported.stdout)
    nowhere = "postgresql://127.0.0.1:1/none"
    replayed = signoff.run(nowhere, "replay", str(file))
    assert (replayed.status, replayed.stderr) == (0, "")
    assert "✔" in replayed.stdout
    lines = exported.stdout.splitlines()
    changed = [line.replace("Title: Other", "Title: Another") if '"calls"' not in line else line for line in lines]
    file.write_text("\n".join(line.replace('"Other"', '"Another"') if '"calls"' in line else line for line in changed))
    differing = signoff.run(nowhere, "replay", str(file))
    assert differing.status == 1
    assert "✘" in differing.stdout
    assert "event 3 differs" in differing.stdout


def test_what_is_exported_for_others_replays_and_names_nobody(signoff: Forker, dsn: str, tmp_path: Path) -> None:
    said = "Title: zelda cannot export\\nProblem: see https://acme.example/9, password=hunter22, OPS-12"
    signoff.run(dsn, "chat", "--json", "--session", "acme-export", "--as", "zelda", script=f"{said}\nit works\n/approve\n")
    exported = signoff.run(dsn, "export", "acme-export", "--redact")
    assert exported.status == 0, exported.stderr
    for known in ("zelda", "acme", "hunter22", "OPS-12", "signoff://"):
        assert known not in exported.stdout
    assert "zelda" in signoff.run(dsn, "export", "acme-export").stdout
    for counted in ("1 person's name, 2 links, 1 host name, ", "1 secret"):
        assert counted in exported.stderr
    file = tmp_path / "redacted.jsonl"
    file.write_text(exported.stdout)
    replayed = signoff.run("postgresql://127.0.0.1:1/none", "replay", str(file))
    assert (replayed.status, replayed.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("{", "line 1 cannot be read"),
        ('{"conversation": 99}', "format 99 is not one this version reads"),
        ('{"conversation": 1}\n{"kind": "say"}', "line 2 cannot be read"),
        ('{"conversation": 1}\n{"event": {"answer": {"type": "nonsense"}}}', "line 2 cannot be read"),
        ('{"conversation": 1}\n[]', "line 2 cannot be read"),
        ("null", "line 1 cannot be read"),
        ("\xff\xfe", "it is not UTF-8"),
    ],
)
def test_a_broken_replay_file(signoff: Forker, tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_bytes(text.encode("latin-1"))
    failed = signoff.run("", "replay", str(file))
    assert failed.status == 2
    assert sentence in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_data_directory_that_cannot_be_written(signoff: Forker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"DATABASE_URL": "", "SIGNOFF_DATA": str(tmp_path / "file" / "data")}
    base = tmp_path / "unwritable"
    Path(f"{base}.in").write_text("hello\n")
    pid = signoff.order(args=["chat"], env=environment, stdin=f"{base}.in", stdout=f"{base}.out", stderr=f"{base}.err")
    assert Signoff(signoff, pid, base, interactive=False).wait() == 2
    complaint = Path(f"{base}.err").read_text()
    assert "SIGNOFF_DATA" in complaint
    assert complaint.count("\n") == 1


def test_json_lines_are_ascii_and_whole(signoff: Forker, dsn: str) -> None:
    chat = signoff.run(dsn, "chat", "--json", script="Überschrift 日本\n")
    for line in chat.stdout.splitlines():
        assert line.isascii()
        json.loads(line)
