import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import func, select, text, update

from agent.conversation import Conversation, Head
from agent.draft import TicketDraft
from agent.ports import Event, LostRace, Turn
from agent.protocol import Decision, FilingOutcome, Reply
from agent.replay import replay
from agent.rules import CARD_DAYS
from persistence import ApprovalRecord, ApprovalStore
from persistence.database import Database
from persistence.history import read_steps
from persistence.store import PostgresStore
from persistence.tables import approval_history, approvals, comments, effects, filings, inbox, previews, sessions, tickets
from persistence.tickets import PostgresTickets
from skills.trackers.local import LocalRenderer
from tests.support import COMPLETE, Talk, make_shell, of_kind

Talks = Callable[[str], Talk]


def reply(session: str, number: int, words: str = "hello") -> Event:
    return Event(event_id=f"{session}:{number}", session_id=session, answer=Reply(text=words, by="ann"))


async def count(database: Database, table: object, *wanted: object) -> int:
    async with database.engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(table).where(*wanted)) or 0  # type: ignore[arg-type]


async def test_an_event_is_taken_once_and_in_order(database: Database) -> None:
    store = PostgresStore(database)
    assert await store.accept(reply("s", 1))
    assert not await store.accept(reply("s", 1, "the same id again"))
    assert await store.accept(reply("s", 2))
    first = await store.next("s")
    assert first
    assert (first.event.event_id, first.turn) == ("s:1", 0)
    await store.commit(first, Turn(outcome="replied"))
    second = await store.next("s")
    assert second
    assert (second.event.event_id, second.turn) == ("s:2", 1)
    await store.commit(second, Turn(outcome="replied"))
    assert await store.next("s") is None


async def test_concurrent_events_get_places_without_a_tie(database: Database) -> None:
    store = PostgresStore(database)
    assert all(await asyncio.gather(*(store.accept(reply("s", number)) for number in range(20))))
    async with database.engine.connect() as connection:
        places = (await connection.scalars(select(inbox.c.seq).order_by(inbox.c.seq))).all()
        jobs = await connection.scalar(text("SELECT count(*) FROM procrastinate_jobs"))
    assert places == list(range(1, 21))
    assert jobs == 20


async def test_a_refused_duplicate_wakes_nobody(database: Database) -> None:
    store = PostgresStore(database)
    for _ in range(3):
        await store.accept(reply("s", 1))
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 1


async def test_of_two_workers_with_the_same_turn_one_commits(database: Database) -> None:
    store = PostgresStore(database)
    await store.accept(reply("s", 1))
    await store.accept(reply("s", 2))
    snapshot = await store.next("s")
    assert snapshot
    turn = Turn(outcome="replied", shows=[{"kind": "say", "text": "once"}])
    results = await asyncio.gather(*(store.commit(snapshot, turn) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["LostRace"] * 4 + ["bool"]
    assert await count(database, effects) == 1
    stale = await store.next("s")
    assert stale
    with pytest.raises(LostRace):  # a zombie with a later event, but an old view of the session
        await store.commit(replace(stale, turn=0), turn)


@pytest.mark.parametrize("words", ["\x00", "\ud800", "'; DROP TABLE inbox; --", "%s %(a)s :b \\n", "\u202e", "日本語" * 40_000])
async def test_whatever_people_send_is_kept_as_it_was(database: Database, words: str) -> None:
    store = PostgresStore(database)
    await store.accept(reply("s", 1, words))
    snapshot = await store.next("s")
    assert snapshot
    assert isinstance(snapshot.event.answer, Reply)
    assert snapshot.event.answer.text == words


async def test_everything_of_a_decision_commits_together(database: Database, talk: Talks) -> None:
    one = talk("whole")
    card = of_kind(await one.say(COMPLETE), "preview")
    await one.approve(card["draft_hash"], by="bob")
    async with database.engine.connect() as connection:
        store = ApprovalStore(connection)
        record = await store.get_approval(one.session_id, card["draft_hash"])
        assert isinstance(record, ApprovalRecord)
        assert (record.status, record.approved_by, record.preview_id) == ("approved", "bob", card["preview_id"])
        assert await store.get_approver(one.session_id, card["draft_hash"]) == "bob"
        assert await store.get_session_approvals(one.session_id) == [record]
        assert await store.get_approval(one.session_id, "0" * 64) is None
        filing = (await connection.execute(select(filings))).one()
    assert (filing.status, filing.draft_hash) == ("filed", card["draft_hash"])


async def test_a_failure_at_the_end_of_a_commit_leaves_nothing(database: Database, talk: Talks) -> None:
    one = talk("torn")
    card = of_kind(await one.say(COMPLETE), "preview")
    async with database.engine.begin() as connection:  # the effects, written last, cannot be written
        await connection.execute(text("ALTER TABLE effects ADD CONSTRAINT broken CHECK (body NOT LIKE '%approved%')"))
    sending = asyncio.create_task(one.approve(card["draft_hash"]))
    await asyncio.sleep(0.5)
    open_cards = previews.c.status == "open"
    assert await count(database, filings) == 0
    assert await count(database, previews, open_cards) == 1
    async with database.engine.connect() as connection:
        assert await ApprovalStore(connection).get_session_approvals(one.session_id) == []
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE effects DROP CONSTRAINT broken"))
    assert of_kind(await sending, "decision")["status"] == "approved"
    assert await count(database, tickets) == 1


async def test_the_first_decision_stands(database: Database) -> None:
    async with database.engine.begin() as connection:
        store = ApprovalStore(connection)
        assert await store.record_approval("s", "h", "ann", "approved")
        assert not await store.record_approval("s", "h", "bob", "rejected")
        assert await store.get_approver("s", "h") == "ann"
        assert await store.record_approval("t", "h", "bob", "rejected")
        assert await store.get_approver("t", "h") is None


async def test_racing_approvals_of_one_card(database: Database, talk: Talks) -> None:
    one = talk("race")
    card = of_kind(await one.say(COMPLETE), "preview")
    clicks = [one.event(Decision(type="approve", draft_hash=card["draft_hash"], by=f"p{n}")) for n in range(20)]
    await asyncio.gather(*(one.store.accept(click) for click in clicks))
    statuses = [show["status"] for show in await one.settled() if show["kind"] == "decision"]
    assert sorted(statuses) == ["already"] * 19 + ["approved"]
    assert await count(database, tickets) == 1


async def test_a_rejection_moves_to_history_when_the_card_is_asked_for_again(database: Database, talk: Talks) -> None:
    one = talk("again")
    card = of_kind(await one.say(COMPLETE), "preview")
    await one.send(Decision(type="reject", draft_hash=card["draft_hash"], by="bob"))
    again = of_kind(await one.send(Reply(show=True, text="show", by="ann")), "preview")
    assert again["draft_hash"] == card["draft_hash"]
    assert again["preview_id"] != card["preview_id"]
    assert await count(database, approval_history, approval_history.c.approved_by == "bob") == 1
    assert of_kind(await one.approve(card["draft_hash"]), "decision")["status"] == "approved"


async def test_a_click_bound_to_its_card_does_not_count_for_another_of_the_same_hash(talk: Talks) -> None:
    one = talk("bound")
    old = of_kind(await one.say(COMPLETE), "preview")
    await one.say("Title: Other")
    new = of_kind(await one.say("Title: Export fails"), "preview")
    assert (new["draft_hash"], new["version"]) == (old["draft_hash"], 3)
    click = Decision(type="approve", draft_hash=old["draft_hash"], preview_id=old["preview_id"], by="ann")
    assert of_kind(await one.send(click), "decision")["status"] == "stale"
    click = Decision(type="approve", draft_hash=new["draft_hash"], preview_id=new["preview_id"], by="ann")
    assert of_kind(await one.send(click), "decision")["status"] == "approved"


async def a_month_passes(database: Database) -> None:
    async with database.engine.begin() as connection:
        for table in (previews, inbox, effects):
            await connection.execute(update(table).values(at=table.c.at - timedelta(days=CARD_DAYS, seconds=1)))


@pytest.mark.parametrize("act", ["approve", "reject"])
@pytest.mark.parametrize("broken", [False, True])
async def test_a_card_that_was_open_for_too_long_is_shown_anew(
    database: Database, talk: Talks, act: Literal["approve", "reject"], *, broken: bool
) -> None:
    one = talk("old")
    old = of_kind(await one.say(COMPLETE), "preview")
    await a_month_passes(database)
    if broken:
        await spoil_checkpoint(database)
    shows = await one.send(Decision(type=act, draft_hash=old["draft_hash"], preview_id=old["preview_id"], by="ann"))
    told, new = of_kind(shows, "decision"), of_kind(shows, "preview")
    assert (told["status"], told["row"]) == ("stale", "expired")
    assert "shown more than 30 days ago" in told["text"]
    assert f"The open card is {new['draft_hash'][:8]}" in told["text"]
    assert (new["draft_hash"], new["preview_id"] != old["preview_id"]) == (old["draft_hash"], True)
    assert await count(database, approvals) == await count(database, filings) == 0
    assert await count(database, previews, previews.c.status == "expired", previews.c.preview_id == old["preview_id"]) == 1
    assert of_kind(await one.send(Decision(type="approve", by="bob", **_named(old))), "decision")["row"] == "stale"
    assert of_kind(await one.send(Decision(type="approve", by="bob", **_named(new))), "decision")["status"] == "approved"


def _named(card: dict[str, Any]) -> dict[str, Any]:
    return {"draft_hash": card["draft_hash"], "preview_id": card["preview_id"]}


async def test_a_click_counts_that_came_in_before_its_card_was_too_old(database: Database, talk: Talks) -> None:
    one = talk("in time")
    card = of_kind(await one.say(COMPLETE), "preview")
    async with database.engine.begin() as connection:
        await connection.execute(update(previews).values(at=previews.c.at - timedelta(days=CARD_DAYS) + timedelta(hours=1)))
    store = PostgresStore(database)
    click = Decision(type="approve", by="ann", **_named(card))
    await store.accept(Event(event_id="in time", session_id=one.session_id, answer=click))
    await a_month_passes(database)
    assert of_kind(await one.say("thanks"), "decision")["status"] == "approved"


async def test_a_ticket_that_is_said_to_be_the_same_on_too_old_a_card_is_not_linked(database: Database, talk: Talks) -> None:
    one = talk("old and linked")
    card = of_kind(await one.say(COMPLETE), "preview")
    await one.approve(card["draft_hash"])
    again = of_kind(await one.say("new " + COMPLETE.replace("fails", "fails again")), "preview")
    await a_month_passes(database)
    shows = await one.send(Decision(type="reject", same_as="LOCAL-1", by="ann", **_named(again)))
    assert of_kind(shows, "decision")["row"] == "expired"
    assert await count(database, comments) == 0
    now = of_kind(shows, "preview")
    shows = await one.send(Decision(type="reject", same_as="LOCAL-1", by="ann", **_named(now)))
    assert of_kind(shows, "decision")["status"] == "rejected"
    assert await count(database, comments) == 1


async def test_a_ticket_that_is_said_to_be_the_same_as_one_that_is_approved_is_not_linked(
    database: Database, talk: Talks
) -> None:
    one = talk("the very same")
    await one.approve(of_kind(await one.say(COMPLETE), "preview")["draft_hash"])
    shows = await one.say("new " + COMPLETE)
    assert of_kind(shows, "similar")["tickets"][0]["key"] == "LOCAL-1"
    click = Decision(type="reject", same_as="LOCAL-1", by="ann", **_named(of_kind(shows, "preview")))
    assert of_kind(await one.send(click), "decision")["row"] == "decided"
    assert await count(database, comments) == 0


async def test_a_card_that_was_asked_for_can_be_decided_again(database: Database, talk: Talks) -> None:
    one = talk("asked for")
    card = of_kind(await one.say(COMPLETE), "preview")
    await a_month_passes(database)
    assert of_kind(await one.say("show"), "preview")["preview_id"] == card["preview_id"]
    assert of_kind(await one.send(Decision(type="approve", by="ann", **_named(card))), "decision")["status"] == "approved"


async def test_what_expired_replays_as_it_was(database: Database, talk: Talks) -> None:
    one = talk("replayed")
    card = of_kind(await one.say(COMPLETE), "preview")
    await a_month_passes(database)
    await one.approve(card["draft_hash"])
    await one.approve(card["draft_hash"])
    conversation = Conversation(head=Head(), steps=await read_steps(database.engine, one.session_id))
    rows = [show.get("row") for step in conversation.steps for show in step.shows if show["kind"] == "decision"]
    assert rows == ["expired", "approve"]
    assert await replay(conversation, {"local": LocalRenderer()}) is None


@pytest.mark.parametrize("draft_hash", [None, "", "%", "_" * 8, "0" * 64, "abc"])
async def test_a_click_without_a_hash_that_was_shown_is_refused(talk: Talks, draft_hash: str | None) -> None:
    one = talk("unshown")
    await one.say(COMPLETE)
    decision = of_kind(await one.approve(draft_hash), "decision")
    assert decision["status"] == "refused"
    assert "shown" in decision["text"]


async def test_a_hash_of_another_session_is_not_known_here(talk: Talks) -> None:
    theirs = of_kind(await talk("theirs").say(COMPLETE), "preview")
    assert of_kind(await talk("mine").approve(theirs["draft_hash"]), "decision")["status"] == "refused"


@pytest.mark.parametrize("broken", [b"", b"garbage", b"\xc1", b"\x80"])
async def test_a_session_whose_checkpoint_cannot_be_read_goes_on(database: Database, talk: Talks, broken: bytes) -> None:
    one = talk("unreadable")
    card = of_kind(await one.say(COMPLETE), "preview")
    async with database.engine.begin() as connection:
        await connection.execute(update(sessions).values(checkpoint=broken))
    changed = of_kind(await one.say("Title: Still here"), "preview")
    assert changed["diff"] == [{"field": "title", "removed": ["Export fails"], "added": ["Still here"]}]
    async with database.engine.begin() as connection:
        await connection.execute(update(sessions).values(checkpoint=broken))
    assert of_kind(await one.approve(card["draft_hash"]), "decision")["status"] == "stale"
    shows = await one.approve(changed["draft_hash"])
    assert of_kind(shows, "decision")["status"] == "approved"
    assert of_kind(shows, "filed")["draft_hash"] == changed["draft_hash"]


async def spoil_checkpoint(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(update(sessions).values(checkpoint=b"unreadable"))


async def test_a_rebuilt_session_knows_what_was_skipped(database: Database, talk: Talks) -> None:
    one = talk("skipped")
    await one.say("Title: T\nProblem: p")
    card = of_kind(await one.say("skip"), "preview")
    await spoil_checkpoint(database)
    shows = await one.approve(card["draft_hash"])
    assert of_kind(shows, "decision")["status"] == "approved"
    assert of_kind(shows, "filed")["draft_hash"] == card["draft_hash"]


async def test_a_rebuilt_session_knows_what_was_rejected_and_asked(database: Database, talk: Talks) -> None:
    one = talk("rejected")
    card = of_kind(await one.say(COMPLETE), "preview")
    await one.send(Decision(type="reject", draft_hash=card["draft_hash"], by="bob"))
    await spoil_checkpoint(database)
    assert of_kind(await one.say("hm"), "question")["questions"][0]["text"].startswith("What should change?")
    await spoil_checkpoint(database)
    assert of_kind(await one.say("Title: Better"), "preview")["version"] == 2
    two = talk("asked")
    await two.say("Title: T\nProblem: p")
    for _ in range(2):
        await spoil_checkpoint(database)
        assert of_kind(await two.say(""), "question")
    await spoil_checkpoint(database)
    assert of_kind(await two.say(""), "preview")["unanswered"] == ["acceptance_criteria"]


async def test_a_rebuilt_session_knows_what_is_filed(database: Database, talk: Talks) -> None:
    one = talk("filed")
    card = of_kind(await one.say(COMPLETE), "preview")
    await one.approve(card["draft_hash"])
    await spoil_checkpoint(database)
    new = of_kind(await one.say("new Title: T2\nProblem: p2\nType: bug"), "preview")
    assert (new["sealed"]["title"], new["sealed"]["fields"]) == ("T2", {"problem": "p2"})


async def test_a_decision_that_the_graph_does_not_take_is_not_committed(database: Database, talk: Talks) -> None:
    one = talk("untaken")
    card = of_kind(await one.say(COMPLETE), "preview")
    await spoil_checkpoint(database)
    async with database.engine.begin() as connection:  # as if a new version rendered the draft otherwise
        state = await connection.scalar(select(sessions.c.state))
        state["draft"]["title"] = "Rendered otherwise"
        await connection.execute(update(sessions).values(state=state))
    shows = await one.approve(card["draft_hash"])
    assert of_kind(shows, "decision")["status"] == "stale"
    assert of_kind(shows, "preview")["sealed"]["title"] == "Rendered otherwise"
    assert await count(database, filings) == 0
    async with database.engine.connect() as connection:
        assert await ApprovalStore(connection).get_session_approvals(one.session_id) == []
    assert of_kind(await one.approve(of_kind(shows, "preview")["draft_hash"]), "decision")["status"] == "approved"


async def test_a_turn_that_fails_is_answered_and_the_next_goes_on(database: Database) -> None:
    shell = make_shell(database)
    failures = 0

    class Failing(type(shell._turns)):  # type: ignore[misc]
        async def take(self, snapshot: object, verdict: object) -> Turn:
            nonlocal failures
            if snapshot.event.answer.text == "poison":  # type: ignore[attr-defined]
                failures += 1
                raise ZeroDivisionError
            return await super().take(snapshot, verdict)  # type: ignore[no-any-return]

    shell._turns = Failing(shell._turns._graph)
    one = Talk(database, "terminal:poison")
    async with database.queue.working(shell):
        await one.store.accept(one.event(Reply(text="poison", by="ann")))
        shows = await one.say(COMPLETE)
    assert failures == 3
    assert "could not process that message. It is kept" in of_kind([shows[0]], "say")["text"]
    assert of_kind(shows, "preview")
    async with database.engine.connect() as connection:
        assert await connection.scalar(select(inbox.c.body).where(inbox.c.outcome == "failed")) == {
            "type": "reply",
            "text": "poison",
            "by": "ann",
        }


async def test_a_late_or_repeated_outcome_changes_nothing(database: Database, talk: Talks) -> None:
    one = talk("late")
    card = of_kind(await one.say(COMPLETE), "preview")
    outcome = FilingOutcome(status="filed", key="FAKE-1", draft_hash=card["draft_hash"])
    assert await one.send(outcome) == []  # type: ignore[arg-type]
    key = of_kind(await one.approve(card["draft_hash"]), "filed")["key"]
    assert key == "LOCAL-1"
    assert await one.send(outcome) == []  # type: ignore[arg-type]


async def test_tickets_are_numbered_without_gaps_and_once_for_each_marker(database: Database) -> None:
    table = PostgresTickets(database.engine)
    sealed = b'{"project":"OPS"}'
    keys = await asyncio.gather(*(table.insert(f"marker-{number % 5}", sealed, {"marker": "m"}) for number in range(15)))
    assert sorted(set(keys)) == [f"OPS-{number}" for number in range(1, 6)]
    assert [ticket.sealed for ticket in await table.all()] == [sealed] * 5


async def test_the_draft_survives_in_the_session(database: Database, talk: Talks) -> None:
    one = talk("draft")
    await one.say(COMPLETE)
    async with database.engine.connect() as connection:
        stored = await connection.scalar(select(sessions.c.state))
    draft = TicketDraft.model_validate(stored["draft"])
    assert (draft.title, draft.acceptance_criteria) == ("Export fails", ["it finishes", "it is logged"])
    assert {evidence.author for evidence in draft.evidence} == {"ann"}


async def test_a_short_hash_that_two_cards_share_names_neither(database: Database, talk: Talks) -> None:
    one = talk("collision")
    old = of_kind(await one.say(COMPLETE), "preview")
    new = of_kind(await one.say("Title: Other"), "preview")
    twin = new["draft_hash"][:8] + old["draft_hash"][8:]
    async with database.engine.begin() as connection:
        await connection.execute(update(previews).where(previews.c.status == "superseded").values(draft_hash=twin))
    assert of_kind(await one.approve(new["draft_hash"][:8]), "decision")["status"] == "refused"
    assert of_kind(await one.approve(new["draft_hash"]), "decision")["status"] == "approved"


@pytest.mark.parametrize("length", [1, 7, 9, 63])
async def test_a_hash_of_another_length_names_no_card(talk: Talks, length: int) -> None:
    one = talk("length")
    card = of_kind(await one.say(COMPLETE), "preview")
    assert of_kind(await one.approve(card["draft_hash"][:length]), "decision")["status"] == "refused"
