"""Promises two and three, attacked: processes that die at any moment, and many that approve at once."""

import random
import time
from typing import Any

import psycopg
import pytest

from tests.processes import Forker

COMPLETE = "Title: Export fails\\nProblem: It answers 500.\\nAcceptance criteria: it finishes"


def wait_until(connection: "psycopg.Connection[tuple[bool]]", question: str) -> None:
    until = time.monotonic() + 30
    while connection.execute(question).fetchone() != (True,):
        assert time.monotonic() < until, question
        time.sleep(0.01)


def tickets(signoff: Forker, dsn: str) -> list[dict[str, Any]]:
    return signoff.run(dsn, "tickets", "--json").shows


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(signoff: Forker, dsn: str, seed: int) -> None:
    rng = random.Random(seed)
    session = f"killed-{seed}"
    args = "chat", "--json", "--as", "ann", "--session", session
    for _ in range(25):  # each process is killed somewhere between its start and the ticket
        with signoff.start(dsn, *args) as chat:
            until = time.monotonic() + rng.uniform(0.1, 0.8)
            sent = False
            while time.monotonic() < until:
                kinds = {show["kind"] for show in chat.shows}
                if not sent and "filed" not in kinds:
                    chat.send("/approve" if "preview" in kinds else COMPLETE)
                    sent = True
                time.sleep(0.01)
            chat.kill()
            if "filed" in {show["kind"] for show in chat.shows}:
                break
    last = signoff.run(dsn, *args)
    with psycopg.connect(dsn) as connection:
        unprocessed = connection.execute("SELECT count(*) FROM inbox WHERE processed_at IS NULL").fetchone()
        approvals = connection.execute("SELECT count(*) FROM approvals WHERE status = 'approved'").fetchone()
        failed = connection.execute("SELECT count(*) FROM inbox WHERE outcome = 'failed'").fetchone()
    assert (unprocessed, failed) == ((0,), (0,)), "nothing that was accepted is lost"
    assert approvals is not None
    filed = tickets(signoff, dsn)
    assert len(filed) == approvals[0] <= 1
    if filed:
        assert last.of_kind("filed")[-1]["draft_hash"] == filed[0]["draft_hash"]


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.1])
def test_killed_between_approval_and_filing(signoff: Forker, dsn: str, seconds: float) -> None:
    """The filing's job is held back by its lock until the process that approved is dead."""
    args = "chat", "--json", "--as", "ann", "--session", "held"
    with psycopg.connect(dsn, autocommit=False) as blocker:
        with signoff.start(dsn, *args) as chat:
            chat.send(COMPLETE)
            card = chat.wait_for("preview")
            blocker.execute("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE")
            chat.send("/approve")
            assert chat.wait_for("decision")["status"] == "approved"
            time.sleep(seconds)
            chat.kill()
        assert chat.of_kind("filed") == []
        blocker.rollback()
    back = signoff.run(dsn, *args)
    assert [show["draft_hash"] for show in back.of_kind("filed")] == [card["draft_hash"]]
    [ticket] = tickets(signoff, dsn)
    assert ticket["draft_hash"] == card["draft_hash"]


def test_an_answer_that_a_dead_terminal_was_owed_is_given_to_the_next(signoff: Forker, dsn: str) -> None:
    args = "chat", "--json", "--as", "ann", "--session", "owed"
    with signoff.start(dsn, *args) as chat:
        chat.send(COMPLETE)
        chat.wait_for("preview")
        with psycopg.connect(dsn) as blocker:
            wait_until(blocker, "SELECT count(*) = 0 FROM effects WHERE done_at IS NULL")
            blocker.execute("LOCK TABLE effects IN EXCLUSIVE MODE")  # not ACCESS: it may still be looking for more to print
            chat.send("/approve")
            wait_until(blocker, "SELECT count(*) = 1 FROM inbox WHERE kind = 'approve'")
            chat.kill()
    back = signoff.run(dsn, *args)
    assert [show["status"] for show in back.of_kind("decision")] == ["approved"]
    assert len(back.of_kind("filed")) == 1


def test_20_processes_approve_the_same_card(signoff: Forker, dsn: str) -> None:
    args = "chat", "--json", "--session", "crowd"
    card = signoff.run(dsn, *args, "--as", "ann", script=f"{COMPLETE}\n").of_kind("preview")[0]
    script = f"/approve {card['draft_hash'][:8]}\n"
    crowd = [signoff.start(dsn, *args, "--as", f"p{number}", script=script) for number in range(20)]
    assert [one.wait() for one in crowd] == [0] * 20
    decisions = [decision for one in crowd for decision in one.of_kind("decision")]
    assert sorted(decision["status"] for decision in decisions) == ["already"] * 19 + ["approved"]
    [winner] = {decision["by"] for decision in decisions}
    assert winner.startswith("p")
    assert {show["key"] for one in crowd for show in one.of_kind("filed")} == {"LOCAL-1"}
    assert len(tickets(signoff, dsn)) == 1


def test_a_database_that_goes_away_is_one_sentence_and_nothing_acknowledged_is_lost(signoff: Forker, dsn: str) -> None:
    args = "chat", "--json", "--session", "cut"
    with signoff.start(dsn, *args) as chat:
        chat.send(COMPLETE)
        card = chat.wait_for("preview")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        chat.send("/approve")
        status = chat.wait()
        assert status in (0, 2)
        assert "Traceback" not in chat.stderr
        if status == 2:
            assert "continue with --session cut" in chat.stderr
    back = signoff.run(dsn, *args, script="/approve\n")
    assert back.of_kind("filed")[0]["draft_hash"] == card["draft_hash"]
    assert len(tickets(signoff, dsn)) == 1
