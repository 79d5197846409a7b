"""What a turn puts on record, where a whole conversation seldom leads."""

from typing import Any

import pytest

from agent.ports import ApprovalRecord, Card, Event, GraphTurn, ModelCall, Snapshot, Turn, Verdict
from agent.protocol import Decision, Reply, Setting, Settlement
from agent.recording import NAME, of_turn
from agent.sealing import Destination

CARD = Card(preview_id="p", draft_hash="a" * 64, sealed={"tracker": "jira", "project": "OPS", "title": "T"}, version=2)


def entries(answer: Any, turn: Turn, **known: Any) -> list[tuple[str, dict[str, Any]]]:
    event = Event(event_id="e", session_id="T1:C1:1.0", answer=answer)
    return [(entry.kind, entry.body) for entry in of_turn(Snapshot(event=event, turn=0, **known), turn)]


def graph(**known: Any) -> GraphTurn:
    return GraphTurn(b"", {}, None, **known)


def test_what_people_say_to_each_other_is_left_in_peace() -> None:
    assert entries(Reply(text="lunch?", by="U1"), Turn("overheard")) == []


def test_what_is_heard_counts_not_what_came_in() -> None:
    [(_, body)] = entries(Reply(text="<@U2> hi", by="U1"), Turn("replied", heard=Reply(text="@bob hi", by="U1")))
    assert body["words"] == "@bob hi"


def test_a_message_that_cannot_be_heard_is_refused_with_the_sentence_its_author_was_told() -> None:
    told = Turn("unheard", [{"kind": "private", "to": "U1", "text": "That file is too big."}])
    assert [kind for kind, _ in entries(Reply(text="x", by="U1"), told)] == ["said", "refused"]
    assert entries(Reply(text="x", by="U1"), told)[1][1] == {"by": "U1", "why": "That file is too big."}


def test_a_setting_says_where_tickets_go() -> None:
    setting = Setting(destination=Destination(tracker="jira", project="OPS"))
    [(kind, body)] = entries(Reply(by="U1", settled=True, setting=setting), Turn("replied", graph=graph()))
    assert (kind, body["destination"]) == ("set", {"tracker": "jira", "project": "OPS"})


def test_somebody_who_may_not_decide_is_on_record_with_the_verdict() -> None:
    shown = {"kind": "decision", "row": "forbidden", "draft_hash": "a" * 64, "text": "Gus may not decide here: a guest"}
    verdict = Verdict(allowed=False, why="a guest", name="Gus")
    click = Decision(type="approve", by="U9", draft_hash="a" * 64, preview_id="p")
    assert entries(click, Turn("refused", [shown], verdict=verdict)) == [
        (
            "refused",
            {
                "act": "approve",
                "by": "U9",
                "name": "Gus",
                "preview_id": "p",
                "draft_hash": "a" * 64,
                "rule": "forbidden",
                "why": "Gus may not decide here: a guest",
                "verdict": {"allowed": False, "why": "a guest"},
            },
        )
    ]


def test_a_click_that_the_graph_did_not_take_is_refused() -> None:
    shown = {"kind": "decision", "row": "stale", "draft_hash": "a" * 64, "text": "Nothing was decided"}
    turn = Turn("stale", [shown], verdict=Verdict(), graph=graph(closed=("p", "superseded"), new_card=CARD))
    kinds = [kind for kind, _ in entries(Decision(type="approve", by="U1", draft_hash="a" * 64), turn, open_card=CARD)]
    assert kinds == ["refused", "superseded", "previewed"]


def test_a_card_that_expired_is_on_record_as_that() -> None:
    shown = {"kind": "decision", "row": "stale", "draft_hash": "a" * 64, "text": "Nothing was decided"}
    turn = Turn("stale", [shown], verdict=Verdict(), graph=graph(closed=("p", "expired")))
    [_, (kind, body)] = entries(Decision(type="approve", by="U1", draft_hash="a" * 64), turn, open_card=CARD)
    assert (kind, body) == ("expired", {"preview_id": "p", "draft_hash": "a" * 64})


def test_a_ticket_that_is_linked_instead() -> None:
    record = ApprovalRecord(
        session_id="s", draft_hash="a" * 64, status="rejected", approved_by="U1", preview_id="p", name="Ann"
    )
    turn = Turn("rejected", [], verdict=Verdict(), graph=graph(closed=("p", "rejected"), decision=record))
    [(kind, body)] = entries(Decision(type="reject", by="U1", same_as="OPS-1"), turn, open_card=CARD)
    assert (kind, body["status"], body["same_as"], body["name"]) == ("decided", "linked", "OPS-1", "Ann")


def test_a_model_is_on_record_without_its_text() -> None:
    call = ModelCall(model="m", digest="d", dropped=2, answer={"secret": "text"}, error="")
    [_, (kind, body)] = entries(Reply(text="x", by="U1"), Turn("replied", graph=graph(calls=[call])))
    assert (kind, body) == ("model", {"model": "m", "digest": "d", "dropped": 2})


@pytest.mark.parametrize(("unread", "error"), [("unusable", ""), ("spent", "This conversation has used it up, so here I am.")])
def test_what_was_not_read_of_a_model_is_told_apart(unread: Any, error: str) -> None:
    call = ModelCall(model="m", digest="d", unread=unread, error=error)
    [_, (kind, body)] = entries(Reply(text="x", by="U1"), Turn("replied", graph=graph(calls=[call])))
    assert (kind, body) == ("model", {"model": "m", "digest": "d", "unread": unread})


def test_a_failed_click_and_word_are_unprocessed_and_nothing_else() -> None:
    failed = Turn("failed", [{"kind": "say", "text": "I could not"}], unprocessed=True)
    for answer in (Decision(type="approve", by="U1"), Settlement(act="again", by="U1")):
        assert [kind for kind, _ in entries(answer, failed)] == ["unprocessed"]


def test_long_texts_are_cut() -> None:
    shown = {"kind": "decision", "row": "unknown", "draft_hash": "x" * 10_000, "text": "y" * 10_000}
    [(_, body)] = entries(Decision(type="approve", by="z" * 10_000), Turn("refused", [shown]))
    assert max(len(value) for value in body.values()) == NAME + 1
