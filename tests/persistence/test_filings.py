"""The ladder on the real tables, step by step, with a tracker that does as each test says."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text, update

from agent.conversation import Conversation, Head
from agent.ladder import LOOKS, NOT_FOUND
from agent.ports import Filing, LostRace
from agent.projects import Project
from agent.protocol import FilingOutcome, Reply, Settlement
from agent.receipt import Receipt
from agent.replay import replay
from agent.sealing import FieldChange, SealedTicket
from agent.trackers import TWINS, Later, Refused, Ticket, Unsure
from persistence.database import Database
from persistence.filings import PostgresFilings
from persistence.history import read_steps
from persistence.tables import approval_history, approvals, filings, previews
from skills.trackers.local import LocalRenderer
from tests.approved import Approved, Scripted
from tests.support import COMPLETE, Talk, make_shell, of_kind


async def approved(database: Database, tracker: Scripted) -> Approved:
    one = Approved(database, make_shell(database, tracker))  # type: ignore[arg-type]
    await one.begin()
    return one


async def test_what_is_sent_is_what_was_sealed_with_a_receipt_of_the_approval(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"
    [(sealed, receipt)] = tracker.sent
    async with database.engine.connect() as connection:
        stored = (await connection.execute(select(previews))).one()
        approval = (await connection.execute(select(approvals))).one()
    assert sealed.bytes == stored.sealed
    assert (receipt.draft_hash, receipt.approved_by, receipt.approved_at) == (stored.draft_hash, "ann", approval.at)
    assert await one.step() == []
    assert len(tracker.sent) == 1


async def test_it_is_on_record_as_sent_before_it_is(database: Database) -> None:
    states = []

    class Looking(Scripted):
        async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
            states.append((await one.row()).status)
            return await super().create(sealed, receipt)

    one = await approved(database, Looking())
    await one.step()
    assert states == ["sent"]


async def test_a_failure_that_is_sure_waits_for_a_word_and_is_filed_again_under_the_same_approval(database: Database) -> None:
    tracker = Scripted(Refused("The token has expired."))
    one = await approved(database, tracker)
    shown = of_kind(await one.step(), "unsettled")
    assert shown["text"] == "The ticket was not filed: The token has expired. The approval stands."
    assert (shown["status"], shown["attempt"]) == ("failed", 1)
    assert of_kind(await one.approve(), "decision")["status"] == "already"
    assert await one.step() == []
    assert of_kind(await one.settle("again"), "say")["text"].startswith("ann lets it be filed again")
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"
    assert len(tracker.sent) == 2
    assert tracker.sent[0] == tracker.sent[1]
    assert "filed as OPS-1" in of_kind(await one.settle("again"), "private")["text"]


async def test_leaving_a_failure_withdraws_its_approval_and_the_same_ticket_can_be_approved_anew(database: Database) -> None:
    tracker = Scripted(Refused("The project is closed."))
    one = await approved(database, tracker)
    await one.step()
    shown = await one.settle("leave")
    assert "its approval is withdrawn" in shown[0]["text"]
    assert "What should change?" in of_kind(shown, "question")["questions"][0]["text"]
    async with database.engine.connect() as connection:
        assert (await connection.execute(select(approvals))).first() is None
        assert (await connection.execute(select(approval_history))).one().status == "approved"
    late = of_kind(await one.approve(), "decision")
    assert (late["status"], late["row"]) == ("already", "discarded")
    assert "could not be filed" in late["text"]
    one.card = of_kind(await one.take(Reply(text="show", by="ann")), "preview")
    assert of_kind(await one.approve(), "decision")["status"] == "approved"
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"


async def test_fields_that_the_tracker_refuses_are_asked_for_and_lead_to_a_new_approval(database: Database) -> None:
    tracker = Scripted(Refused("It does not know that priority.", {"priority": "Use High or Low."}))
    one = Approved(database, make_shell(database, tracker))  # type: ignore[arg-type]
    await one.begin(f"{COMPLETE}\nPriority: huge")
    shown = await one.step()
    assert of_kind(shown, "say")["text"] == "The ticket was not filed: It does not know that priority."
    [question] = of_kind(shown, "question")["questions"]
    assert question["field"] == "priority"
    assert "Use High or Low." in question["text"]
    async with database.engine.connect() as connection:
        assert (await connection.execute(select(approvals))).first() is None
    one.card = of_kind(await one.take(Reply(text="High", by="ann")), "preview")
    assert one.card["sealed"]["fields"]["priority"] == "High"
    assert await one.step() == []  # nothing is sent without the new approval
    assert len(tracker.sent) == 1
    await one.approve()
    assert of_kind(await one.step(), "filed")


async def test_a_pause_that_the_tracker_wants_is_kept_and_counts_as_not_sent(database: Database) -> None:
    tracker = Scripted(Later("It wants a pause.", 30.0))
    one = await approved(database, tracker)
    assert of_kind(await one.step(), "say")["text"] == "It wants a pause; the ticket is filed in 30 s."
    row = await one.row()
    async with database.engine.connect() as connection:
        wait = await connection.scalar(text("SELECT extract(epoch FROM due_at - clock_timestamp()) FROM filings"))
    assert row.status == "intended"
    assert 25 < float(wait) <= 30
    await one.shell.file(one.talk.session_id, one.card["draft_hash"])  # too early
    assert len(tracker.sent) == 1
    assert of_kind(await one.step(), "filed")


async def test_a_tracker_that_cannot_be_reached_is_a_failure_after_a_while(database: Database) -> None:
    tracker = Scripted(*(Later("No connection.") for _ in range(9)))
    one = await approved(database, tracker)
    assert await one.step() == []
    await one.age(61)
    shown = of_kind(await one.step(), "unsettled")
    assert (shown["status"], len(tracker.sent)) == ("failed", 2)
    assert "No connection. Try it again later." in shown["text"]


async def test_a_lost_answer_is_settled_by_the_ticket_that_carries_the_marker(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    one = await approved(database, tracker)
    assert await one.step() == []
    assert (await one.row()).status == "unknown"
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"
    assert len(tracker.sent) == 1


async def test_that_nothing_is_found_proves_nothing_and_people_are_asked_once(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    shown = of_kind(await one.until_asked(), "unsettled")
    assert shown["status"] == "unknown"
    assert "No answer. No ticket with its marker is to be found so far." in shown["text"]
    for _ in range(5):
        assert await one.step() == []
    assert len(tracker.sent) == 1
    tracker.visible = True  # the index caught up, hours later
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"


async def test_after_a_day_nobody_looks_any_more(database: Database) -> None:
    tracker = Scripted(Unsure("No answer."))
    one = await approved(database, tracker)
    await one.step()
    for _ in LOOKS:
        await one.step()
    row = await one.row()
    assert (row.status, row.due_at) == ("unknown", None)


@pytest.mark.parametrize("flaw", ["ours", "changed"])
async def test_a_ticket_that_is_not_the_one_is_not_taken_for_it(database: Database, flaw: str) -> None:
    tracker = Scripted((Unsure("No answer."),))
    one = await approved(database, tracker)
    await one.step()
    copy = tracker.there["OPS-1"]
    wrong = {"ours": False} if flaw == "ours" else {"payload": {**copy.payload, "title": "Another"}}
    tracker.there["OPS-1"] = copy.model_copy(update=wrong)
    assert of_kind(await one.until_asked(), "unsettled")
    assert (await one.row()).status == "unknown"


async def test_somebody_names_the_ticket_that_is_there(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    assert "There is no OPS-9." in of_kind(await one.settle("there", key="OPS-9"), "private")["text"]
    assert of_kind(await one.settle("there", key="OPS-1"), "filed")["key"] == "OPS-1"
    assert (await one.row()).status == "filed"
    assert "OPS-1 is filed; say *new*" in of_kind(await one.take(Reply(text="and now?", by="ann")), "say")["text"]


async def test_a_ticket_without_the_marker_is_not_taken_on_somebodys_word(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    tracker.there["OPS-1"] = tracker.there["OPS-1"].model_copy(update={"ours": False})
    assert "does not carry" in of_kind(await one.settle("there", key="OPS-1"), "private")["text"]
    assert (await one.row()).status == "unknown"


async def test_filing_again_after_doubt_looks_first_and_sends_once_for_each_word(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),), Unsure("No answer."))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    await one.settle("again", attempt=1)
    assert "on its way" in of_kind(await one.settle("again", attempt=1), "private")["text"]
    await one.step()
    assert len(tracker.sent) == 2
    assert (await one.row()).attempt == 2
    await one.until_asked()
    late = await one.settle("again", attempt=1)
    assert "Somebody settled that before" in of_kind(late, "private")["text"]
    tracker.visible = True
    await one.settle("again", attempt=2)
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"
    assert len(tracker.sent) == 2  # it was found before a third was sent


async def test_filing_again_after_doubt_sends_nothing_while_it_cannot_look(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    tracker.unreadable = Later("No connection.")
    await one.settle("again")
    await one.step()
    assert len(tracker.sent) == 1
    await one.age(61)
    assert of_kind(await one.step(), "unsettled")["status"] == "unknown"
    assert len(tracker.sent) == 1


async def test_a_refusal_after_doubt_leaves_the_doubt(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),), Refused("The token has expired."))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    await one.settle("again")
    shown = of_kind(await one.step(), "unsettled")
    assert (shown["status"], shown["attempt"]) == ("unknown", 2)
    assert "This time it was refused (The token has expired.)" in shown["text"]


async def test_doubt_that_is_left_ends_the_conversation_about_it(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    said = [show["text"] for show in await one.settle("leave")]
    assert said == ["ann left it as it is.", "It is left as it is: say *new* to start another ticket, and what it is about."]
    assert (await one.row()).status == "left"
    assert await one.step() == []
    assert "left it as it is before" in of_kind(await one.settle("leave"), "private")["text"]
    assert of_kind(await one.take(Reply(text=f"new {COMPLETE.replace('Export', 'Import')}", by="ann")), "preview")


@pytest.mark.parametrize("found", [True, False])
async def test_what_was_left_can_still_be_settled_when_the_conversation_went_on(database: Database, found: bool) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    await one.settle("leave")
    await one.take(Reply(text=f"new {COMPLETE.replace('Export', 'Import')}", by="ann"))
    this = one.card["draft_hash"]
    if found:
        assert of_kind(await one.settle("there", draft_hash=this, key="OPS-1"), "filed")["key"] == "OPS-1"
    else:
        await one.settle("again", draft_hash=this)
        assert of_kind(await one.step(), "filed")["key"] == "OPS-2"


async def test_one_that_was_sent_by_a_process_that_died_is_looked_for_and_not_sent(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    ledger = PostgresFilings(database)
    assert await ledger.begin(one.talk.session_id, one.card["draft_hash"])  # and then the process died
    assert await one.step() == []
    row = await one.row()
    assert (row.status, tracker.sent) == ("unknown", [])
    assert "ended before an answer came" in row.reason


async def test_an_answer_that_comes_after_others_took_over_is_kept(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    ledger = PostgresFilings(database)
    slow = await ledger.begin(one.talk.session_id, one.card["draft_hash"])
    assert slow
    await one.step()  # another worker takes the slow one for dead
    assert not await ledger.end(slow, FilingOutcome(status="failed", reason="late"))
    assert (await one.row()).status == "unknown"
    assert await ledger.end(slow, FilingOutcome(status="filed", key="OPS-7", url="u"))
    assert of_kind(await one.wake(), "filed")["key"] == "OPS-7"
    assert not await ledger.end(slow, FilingOutcome(status="filed", key="OPS-8", url="u"))
    assert (await one.row()).key == "OPS-7"


async def test_two_workers_cannot_both_send(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    this = one.talk.session_id, one.card["draft_hash"]
    found = await asyncio.gather(*(PostgresFilings(database).begin(*this) for _ in range(8)))
    assert [filing.status for filing in found if filing].count("intended") == 1


async def test_a_word_on_an_attempt_that_changed_meanwhile_is_taken_anew(database: Database) -> None:
    tracker = Scripted(Refused("No."))
    one = await approved(database, tracker)
    await one.step()
    await one.talk.store.accept(one.talk.event(Settlement(act="again", by="ann")))
    snapshot = await one.talk.store.next(one.talk.session_id)
    assert snapshot
    turn = await one.shell._turn(snapshot, 0)
    async with database.engine.begin() as connection:
        await connection.execute(update(filings).values(attempt=2))
    with pytest.raises(LostRace):
        await one.talk.store.commit(snapshot, turn)
    assert (await one.row()).status == "failed"


async def test_bytes_that_are_not_the_approved_ones_are_not_filed(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    async with database.engine.begin() as connection:
        row = (await connection.execute(select(previews))).one()
        await connection.execute(update(previews).values(sealed=row.sealed.replace(b"Export", b"Import")))
    shown = of_kind(await one.step(), "unsettled")
    assert "the stored bytes hash to" in shown["text"]
    assert tracker.sent == []


async def test_a_tracker_that_is_not_connected_any_more_is_a_failure_that_says_so(database: Database) -> None:
    one = await approved(database, Scripted())
    one.shell._ladder._catalogue.trackers.clear()
    assert "The tracker local is not connected" in of_kind(await one.step(), "unsettled")["text"]


async def test_a_ticket_is_tied_to_its_conversation_once_it_is_on_record(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    async with database.engine.begin() as connection:
        await connection.execute(update(approvals).values(thread="https://slack.test/archives/C1/p1"))
    assert of_kind(await one.step(), "filed")
    assert tracker.links == []
    await one.step()
    await one.step()
    assert tracker.links == ["OPS-1"]


async def test_what_is_due_is_taken_up_without_a_job(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    one = Talk(database, "terminal:swept")
    async with database.queue.working(make_shell(database, tracker)):  # type: ignore[arg-type]
        card = of_kind(await one.say(COMPLETE), "preview")
        shown = await one.approve(card["draft_hash"])
        assert of_kind(shown, "filed")["key"] == "OPS-1"
    assert len(tracker.sent) == 1


async def test_the_first_outcome_of_a_filing_stands(database: Database) -> None:
    one = await approved(database, Scripted())
    await one.step()
    [twin] = await PostgresFilings(database).of_key("OPS-1")
    assert isinstance(twin, Filing)
    assert not await PostgresFilings(database).end(twin, FilingOutcome(status="unknown"))
    assert await one.wake() == []
    assert (await one.row()).key == "OPS-1"


async def test_a_second_failure_of_the_same_ticket_approved_anew_is_told(database: Database) -> None:
    tracker = Scripted(Refused("No."), Refused("Still no."))
    one = await approved(database, tracker)
    await one.step()
    await one.settle("leave")
    one.card = of_kind(await one.take(Reply(text="show", by="ann")), "preview")
    await one.approve()
    assert "Still no." in of_kind(await one.step(), "unsettled")["text"]


async def test_what_is_left_before_people_were_asked_ends_the_conversation_about_it(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.settle("leave")
    assert (await one.row()).status == "left"
    assert of_kind(await one.take(Reply(text=f"new {COMPLETE.replace('Export', 'Import')}", by="ann")), "preview")


@pytest.mark.parametrize("errors", [{}, {"title": "It is too long."}])
@pytest.mark.parametrize("act", ["again", "leave"])
async def test_a_word_that_comes_before_the_outcome_is_told(database: Database, act: str, errors: dict[str, str]) -> None:
    tracker = Scripted(Refused("No.", errors))
    one = await approved(database, tracker)
    word = Settlement(act=act, by="op", draft_hash=one.card["draft_hash"], attempt=1)  # type: ignore[arg-type]
    await one.talk.store.accept(one.talk.event(word))
    async with asyncio.timeout(10):
        await one.step()
    if act == "again":
        assert of_kind(await one.step(), "filed")["key"] == "OPS-1"
        return
    one.card = of_kind(await one.take(Reply(text="show", by="ann")), "preview")
    await one.approve()
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"


async def test_an_answer_to_a_look_that_nobody_can_read_is_a_look_in_vain(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.unreadable = KeyError("issues")
    one = await approved(database, tracker)
    await one.step()
    assert "What the tracker answers cannot be read." in of_kind(await one.until_asked(), "unsettled")["text"]


async def test_a_pause_that_is_wanted_while_looking_is_kept(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    tracker.unreadable = Later("Slowly.", 600.0)
    one = await approved(database, tracker)
    await one.step()
    await one.step()
    async with database.engine.connect() as connection:
        wait = await connection.scalar(text("SELECT extract(epoch FROM due_at - clock_timestamp()) FROM filings"))
    assert 590 < float(wait) <= 600


async def test_the_same_ticket_after_doubt_was_left_is_asked_about_again(database: Database) -> None:
    tracker = Scripted(Unsure("No answer."))
    one = await approved(database, tracker)
    await one.step()
    await one.until_asked()
    await one.settle("leave")
    one.card = of_kind(await one.take(Reply(text=f"new {COMPLETE}", by="ann")), "preview")
    shown = await one.approve()
    assert of_kind(shown, "decision")["row"] == "doubted"
    again = of_kind(shown, "unsettled")
    assert (again["status"], again["attempt"]) == ("unknown", 1)
    await one.settle("again", draft_hash=again["draft_hash"], attempt=1)
    assert of_kind(await one.step(), "filed")["key"] == "OPS-1"


async def test_a_second_ticket_by_a_late_answer_is_told(database: Database) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    ledger = PostgresFilings(database)
    slow = await ledger.begin(one.talk.session_id, one.card["draft_hash"])
    assert slow
    await one.step()
    await one.until_asked()
    await one.settle("again")
    await one.step()
    assert not await ledger.end(slow, FilingOutcome(status="filed", key="OPS-7", url="u"))
    assert "OPS-7 was made for this ticket, too" in of_kind(await one.wake(), "say")["text"]


async def test_a_process_that_stood_still_sends_nothing_any_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Scripted()
    one = await approved(database, tracker)
    monkeypatch.setattr("agent.ladder.STOPPED", -1.0)
    assert await one.step() == []
    assert ((await one.row()).status, tracker.sent) == ("intended", [])
    monkeypatch.undo()
    assert of_kind(await one.step(), "filed")


async def test_a_tracker_that_does_not_answer_holds_up_no_turn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Scripted):
        asked = 0

        async def describe(self, project: str) -> Project:
            self.asked += 1
            await asyncio.sleep(60)
            return Project(key=project)

    monkeypatch.setattr("agent.catalogue.PATIENCE", 0.1)
    tracker = Silent()
    one = Approved(database, make_shell(database, tracker, "OPS"))  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        shown = await one.take(Reply(text=COMPLETE, by="ann"))
        assert "does not answer within" in of_kind(shown, "question")["questions"][0]["text"]
        await one.take(Reply(text="show", by="ann"))
    assert tracker.asked == 1


async def test_a_session_follows_the_destination_when_that_is_the_default_again(database: Database) -> None:
    elsewhere = Approved(database, make_shell(database, Scripted(), "OPS"))  # type: ignore[arg-type]
    [*_, card] = await elsewhere.take(Reply(text=COMPLETE, by="ann"))
    assert card["sealed"]["project"] == "OPS"
    default = Approved(database, make_shell(database, Scripted()))  # type: ignore[arg-type]
    shown = await default.take(Reply(text="Priority: high", by="ann"))
    assert shown[-1]["sealed"]["project"] == "LOCAL"


async def test_a_conversation_with_settlements_replays(database: Database) -> None:
    tracker = Scripted(Refused("No."), (Unsure("No answer."),))
    tracker.visible = False
    one = await approved(database, tracker)
    await one.step()
    await one.settle("again")
    await one.step()
    await one.settle("again")  # in doubt, and nobody was asked
    await one.step()
    await one.until_asked()
    await one.settle("there", key="OPS-1")
    await one.approve()
    steps = await read_steps(database.engine, one.talk.session_id)
    head = Head(session_id=one.talk.session_id, questions=1)
    assert await replay(Conversation(head=head, steps=steps), {"local": LocalRenderer()}) is None


async def test_filing_again_sends_nothing_where_a_ticket_with_the_marker_reads_in_another_way(database: Database) -> None:
    tracker = Scripted((Unsure("No answer."),))
    one = await approved(database, tracker)
    await one.step()
    copy = tracker.there["OPS-1"]
    tracker.there["OPS-1"] = copy.model_copy(update={"payload": {**copy.payload, "title": "Edited"}, "receipt": True})
    await one.until_asked()
    await one.settle("again")
    shown = of_kind(await one.step(), "unsettled")
    assert "OPS-1 carries its marker, and does not read as it was approved." in shown["text"]
    assert len(tracker.sent) == 1
    assert of_kind(await one.settle("there", key="OPS-1"), "filed")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"payload": {"title": "Edited"}}, "OPS-1 carries its marker, and does not read as it was approved."),
        (
            {"changed": [FieldChange(field=TWINS, added=["OPS-1", "OPS-2"])]},
            "OPS-1 and OPS-2 carry its marker, and only one of them can be it.",
        ),
        ({"ours": False}, NOT_FOUND),
    ],
)
async def test_people_who_are_asked_are_told_of_a_ticket_that_carries_the_marker(
    database: Database, there: dict[str, Any], said: str
) -> None:
    tracker = Scripted((Unsure("No answer."),))
    one = await approved(database, tracker)
    await one.step()
    tracker.there["OPS-1"] = tracker.there["OPS-1"].model_copy(update=there)
    assert f"No answer. {said}" in of_kind(await one.until_asked(), "unsettled")["text"]
    assert (await one.row()).status == "unknown"
