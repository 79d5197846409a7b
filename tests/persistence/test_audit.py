"""The audit log on the real tables: what is in it, that it is one chain, and what is found when somebody changes a row."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agent.audit import NOTHING, Chain, Entry, Row
from agent.ports import Event, LostRace, Turn
from agent.protocol import Decision, FilingOutcome, Reply, Settlement
from agent.trackers import Later, Refused, Unsure
from persistence.audit import PostgresAudit, append
from persistence.database import Database, open_database
from persistence.filings import PostgresFilings
from persistence.sessions import PostgresPlaces
from persistence.store import PostgresStore
from tests.approved import Approved, Scripted
from tests.support import COMPLETE, Talk, make_shell, of_kind

Talks = Callable[[str], Talk]


async def rows(database: Database, since: str | None = None) -> list[Row]:
    async with PostgresAudit(database).rows(since) as (_, found):
        return [row async for row in found]


async def whole(database: Database, anchor: str = "") -> list[str]:
    chain = Chain(anchor)
    for row in await rows(database):
        chain.add(row)
    return chain.findings() + await PostgresAudit(database).disagreements()


async def told(database: Database, session_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What is on record of a session: kind and body."""
    found = await PostgresAudit(database).of_session(session_id)
    return [(row.kind, json.loads(row.body)) for row in found if row.kind != "model"]


async def kinds(database: Database, session_id: str = "terminal:filed") -> list[str]:
    return [kind for kind, _ in await told(database, session_id)]


async def only(database: Database, kind: str, session_id: str = "terminal:filed") -> dict[str, Any]:
    [body] = [body for known, body in await told(database, session_id) if known == kind]
    return body


async def change(database: Database, statement: str) -> None:
    """Does to the log what the trigger refuses, as somebody who owns the table can."""
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_only_grows"))
        await connection.execute(text(statement))
        await connection.execute(text("ALTER TABLE audit ENABLE TRIGGER audit_only_grows"))


async def twelve(database: Database) -> list[Row]:
    async with database.turns.connection() as driver:
        await append(driver, *(Entry("s", f"e{n}", "said", {"by": "ann", "words": f"{n}"}) for n in range(12)))
    return await rows(database)


async def test_who_said_what_was_shown_and_decided_and_what_was_filed(database: Database, talk: Talks) -> None:
    one = talk("story")
    first = of_kind(await one.say(COMPLETE), "preview")
    second = of_kind(await one.send(Reply(text="Priority: high", by="bob")), "preview")
    await one.approve(first["draft_hash"], by="cy")
    await one.send(Decision(type="reject", draft_hash=second["draft_hash"], by="cy", reason="too vague"))
    third = of_kind(await one.say("Title: Exports fail"), "preview")
    await one.approve(third["draft_hash"], by="dee")
    await one.approve(third["draft_hash"], by="eve")
    found = await told(database, one.session_id)
    names = ["said", "previewed", "said", "superseded", "previewed", "refused", "decided", "said", "previewed", "decided"]
    assert [kind for kind, _ in found][:10] == names
    assert sorted(kind for kind, _ in found[10:]) == ["filed", "refused", "sent"]
    bodies = [body for _, body in found]
    assert (bodies[0]["by"], bodies[0]["words"], bodies[0]["characters"]) == ("ann", COMPLETE, len(COMPLETE))
    assert {name: bodies[1][name] for name in ("draft_hash", "preview_id", "version", "title", "tracker", "project")} == {
        "draft_hash": first["draft_hash"],
        "preview_id": first["preview_id"],
        "version": 1,
        "title": "Export fails",
        "tracker": "local",
        "project": "LOCAL",
    }
    assert (bodies[3]["preview_id"], bodies[3]["draft_hash"]) == (first["preview_id"], first["draft_hash"])
    assert (bodies[5]["act"], bodies[5]["by"], bodies[5]["rule"]) == ("approve", "cy", "stale")
    assert bodies[5]["why"].startswith("Nothing was decided: that card is no longer current.")
    assert (bodies[6]["status"], bodies[6]["by"], bodies[6]["reason"]) == ("rejected", "cy", "too vague")
    decided = bodies[9]
    assert (decided["status"], decided["by"], decided["draft_hash"]) == ("approved", "dee", third["draft_hash"])
    assert decided["verdict"] == {"allowed": True, "why": ""}
    filed = await only(database, "filed", one.session_id)
    assert (filed["key"], filed["draft_hash"], filed["url"]) == ("LOCAL-1", third["draft_hash"], "signoff://tickets/LOCAL-1")
    second_click = [body for kind, body in found if kind == "refused"][1]
    assert (second_click["by"], second_click["rule"]) == ("eve", "decided")
    models = [row for row in await rows(database) if row.kind == "model"]
    assert {json.loads(row.body)["model"] for row in models} == {"guided-interview"}
    assert await whole(database) == []


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        ("DELETE FROM audit WHERE kind = 'filed'", "No row says that card {card} of terminal:filed is filed as OPS-1,"),
        ("DELETE FROM audit WHERE seq >= (SELECT seq FROM audit WHERE kind = 'decided')", "Event {click} of terminal:filed"),
        ("UPDATE approvals SET approved_by = 'eve'", "No row says that eve approved card {card} of terminal:filed,"),
        ("UPDATE approvals SET preview_id = 'p'", "No row says that ann approved card {card} of terminal:filed,"),
        ("UPDATE approvals SET name = 'Eve'", "No row says that ann approved card {card} of terminal:filed,"),
        ("UPDATE approvals SET thread = 'https://eve.test'", "No row says that ann approved card {card} of terminal:filed,"),
        ("UPDATE approvals SET event_id = 'e'", "No row says that ann approved card {card} of terminal:filed,"),
        ("INSERT INTO approvals SELECT 'other', draft_hash, status, approved_by, preview_id, event_id FROM approvals",
         "No row says that ann approved card {card} of other,"),
        ("INSERT INTO approval_history (session_id, draft_hash, status, approved_by, preview_id, event_id) "
         "SELECT session_id, draft_hash, 'rejected', 'eve', preview_id, event_id FROM approvals",
         "No row says that eve rejected card {card} of terminal:filed,"),
        ("UPDATE filings SET key = 'OPS-2'", "No row says that card {card} of terminal:filed is filed as OPS-2,"),
        ("UPDATE filings SET url = 'https://eve.test'", "No row says that card {card} of terminal:filed is filed as OPS-1,"),
        ("UPDATE filings SET status = 'failed'", "No row says that card {card} of terminal:filed is failed"),
        ("UPDATE previews SET sealed = sealed || ' '", "What card {card} of terminal:filed holds does not belong to its hash."),
        ("UPDATE previews SET draft_hash = repeat('f', 64)", "Card ffffffff of terminal:filed is in no row as one that was"),
        ("INSERT INTO previews (preview_id, session_id, draft_hash, sealed, version, status) "
         "SELECT 'p', session_id, draft_hash, sealed, version, status FROM previews", "Card {card} of terminal:filed is in"),
        ("INSERT INTO inbox (event_id, session_id, seq, origin, kind, body, processed_at, outcome) "
         "SELECT 'e', session_id, 99, origin, kind, body, processed_at, outcome FROM inbox ORDER BY seq DESC LIMIT 1",
         "Event e of terminal:filed was processed, and no row is about it."),
    ],
)  # fmt: skip
async def test_what_other_tables_say_and_the_log_does_not_is_found(database: Database, edit: str, finding: str) -> None:
    one = await approved(database, Scripted())
    await one.step()
    await one.wake()
    assert await whole(database) == []
    click = next(row.event_id for row in await rows(database) if row.kind == "decided")
    await change(database, edit)
    told = "\n".join(await whole(database))
    assert finding.format(card=one.card["draft_hash"][:8], click=click) in told


async def test_who_changed_who_may_approve(database: Database) -> None:
    settings, rule = PostgresPlaces(database), {"approvers": {"who": "listed", "people": ["U2"]}}
    await settings.write("T1:C1", {"project": "OPS"}, "U1")
    await settings.write("T1:C1", rule, "U1")
    assert [body for _, body in await told(database, "T1:C1")] == [
        {"by": "U1", "setting": {"project": "OPS"}}, {"by": "U1", "setting": rule}
    ]  # fmt: skip
    assert (await whole(database), await settings.read("T1:C1")) == ([], rule)
    for edit in (
        "changed_by = 'U9'",
        "setting = replace(setting, 'U2', 'U9')",
        """setting = '{"project":"OPS"}'""",
        "setting = '['",
    ):
        await change(database, f"UPDATE places SET {edit}")
        assert "settled what holds in T1:C1" in (await whole(database))[0], edit
        await settings.write("T1:C1", rule, "U1")


async def test_what_was_before_there_was_a_log_is_not_missed(database: Database) -> None:
    one = await approved(database, Scripted())
    await one.step()
    await one.wake()
    await change(database, "DELETE FROM audit")
    for table, column in (("inbox", "processed_at"), ("previews", "at"), ("approvals", "at"), ("filings", "at")):
        await change(database, f"UPDATE {table} SET {column} = {column} - interval '1 hour'")
    async with database.turns.connection() as driver:
        await append(driver, Entry("s", "e", "said", {}))
    assert await whole(database) == []


async def test_words_that_are_changed_deleted_and_read_before(database: Database, talk: Talks) -> None:
    one = talk("words")
    past = Reply(text="It hangs.", by="bob", event_id="m0")
    await one.send(Reply(text=COMPLETE + "x" * 3_000, by="ann", event_id="m1", thread=[past]))
    await one.send(Reply(by="ann", amends="edited", about="m1", text="Title: Other"))
    await one.send(Reply(by="ann", amends="deleted", about="m1"))
    found = await PostgresAudit(database).of_session(one.session_id)
    said = [(row.kind, row.event_id, json.loads(row.body)) for row in found if row.kind in ("said", "amended", "deleted")]
    assert [(kind, body["by"]) for kind, _, body in said] == [
        ("said", "bob"), ("said", "ann"), ("amended", "ann"), ("deleted", "ann")
    ]  # fmt: skip
    assert said[0][1] == "m0"
    assert said[0][2]["words"] == "It hangs."
    assert (len(said[1][2]["words"]), said[1][2]["characters"]) == (2_000, len(COMPLETE) + 3_000)
    assert said[2][2]["about"] == "m1"


async def test_what_could_not_be_processed(database: Database) -> None:
    store = PostgresStore(database)
    await store.accept(Event(event_id="e", session_id="terminal:broken", answer=Reply(text="hello", by="ann")))
    async with database.engine.begin() as connection:
        await connection.execute(text("""UPDATE inbox SET body = '{"type":"of another version"}'"""))
    await make_shell(database).wake("terminal:broken", 0)
    assert await kinds(database, "terminal:broken") == ["unprocessed"]


async def test_an_outcome_that_is_told_to_the_session_is_no_failed_turn(database: Database) -> None:
    one = await approved(database, Scripted(Refused("The token has expired.")))
    await one.step()
    assert (await kinds(database))[-3:] == ["decided", "sent", "failed"]


async def approved(database: Database, tracker: Scripted) -> Approved:
    one = Approved(database, make_shell(database, tracker))  # type: ignore[arg-type]
    await one.begin()
    return one


async def test_a_failure_and_an_operators_word_on_it(database: Database) -> None:
    one = await approved(database, Scripted(Refused("The token has expired.")))
    await one.step()
    failed = await only(database, "failed")
    assert (failed["reason"], failed["attempt"], failed["draft_hash"]) == (
        "The token has expired.", 1, one.card["draft_hash"]
    )  # fmt: skip
    event = one.talk.event(Settlement(act="again", by="root"))
    await one.talk.store.accept(event.model_copy(update={"surface": {"kind": "operator"}}))
    await one.wake()
    settled = await only(database, "settled")
    assert (settled["by"], settled["act"], settled["operator"], settled["becomes"]) == ("root", "again", True, "intended")
    await one.step()
    await one.settle("again")
    assert (await kinds(database))[-6:] == ["sent", "failed", "settled", "sent", "filed", "refused"]
    assert (await only(database, "refused"))["why"] == "That is settled: it is filed as OPS-1."
    assert (await only(database, "filed"))["attempt"] == 2
    assert await whole(database) == []


async def test_what_is_left_and_what_is_withdrawn(database: Database) -> None:
    one = await approved(database, Scripted(Unsure("No answer came."), Refused("The project is closed.")))
    one.shell._ladder._catalogue.trackers["local"].visible = False  # type: ignore[attr-defined]
    await one.until_asked()
    await one.step()
    assert (await kinds(database))[-3:] == ["sent", "unknown", "unknown"]
    await one.settle("leave")
    assert (await kinds(database))[-2:] == ["settled", "left"]
    other = Approved(database, one.shell, "other")
    await other.begin(COMPLETE.replace("Export", "Import"))
    await other.shell.file(other.talk.session_id, other.card["draft_hash"])
    await other.wake()
    await other.settle("leave")
    assert (await kinds(database, "terminal:other"))[-2:] == ["settled", "withdrawn"]


async def test_a_person_says_that_it_is_there(database: Database) -> None:
    tracker = Scripted((Unsure("No answer came."),))
    one = await approved(database, tracker)
    tracker.visible = False
    await one.until_asked()
    await one.settle("there", key="OPS-1")
    assert (await kinds(database))[-2:] == ["settled", "filed"]
    settled = await only(database, "settled")
    assert (settled["by"], settled["act"], settled["key"]) == ("ann", "there", "OPS-1")
    assert (await only(database, "filed"))["key"] == "OPS-1"


async def test_what_was_not_sent_after_all_and_what_was_made_twice(database: Database) -> None:
    one = await approved(database, Scripted(Later("Too many requests.", seconds=20)))
    await one.step()
    assert (await kinds(database))[-2:] == ["sent", "not sent"]
    await one.step()
    [filing] = await PostgresFilings(database).of_key("OPS-1")
    late = FilingOutcome(status="filed", key="OPS-2", url="https://tracker.test/2")
    assert not await PostgresFilings(database).end(filing, late)
    assert (await kinds(database))[-3:] == ["sent", "filed", "made twice"]
    assert (await only(database, "made twice"))["key"] == "OPS-2"
    before = await rows(database)
    await PostgresFilings(database).put_off(filing, 1.0)  # a link that is tried later is no news
    await PostgresFilings(database).lost(filing, "late", 1.0)
    assert await rows(database) == before


async def test_fields_that_a_tracker_refuses_withdraw_the_approval(database: Database) -> None:
    one = await approved(database, Scripted(Refused("Refused.", fields={"priority": "There is no such priority."})))
    await one.step()
    assert (await kinds(database))[-3:] == ["sent", "failed", "withdrawn"]


async def test_a_turn_that_is_rolled_back_leaves_nothing(database: Database) -> None:
    one = Talk(database, "terminal:torn")
    shell = make_shell(database)
    await one.store.accept(one.event(Reply(text=COMPLETE, by="ann")))
    snapshot = await one.store.next(one.session_id)
    assert snapshot
    turn = Turn("replied", [{"kind": "say", "text": "hello"}])
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE effects ADD CONSTRAINT broken CHECK (body NOT LIKE '%hello%')"))
    with pytest.raises(psycopg.errors.CheckViolation):
        await one.store.commit(snapshot, turn)
    assert await rows(database) == []
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE effects DROP CONSTRAINT broken"))
    results = await asyncio.gather(*(one.store.commit(snapshot, turn) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(result, LostRace) for result in results) == 2
    assert await kinds(database, one.session_id) == ["said"]
    await one.store.accept(one.event(Reply(text=COMPLETE, by="ann")))
    await shell.wake(one.session_id, 0)
    card = (await only(database, "previewed", one.session_id))["draft_hash"]
    await one.store.accept(one.event(Decision(type="approve", draft_hash=card, by="ann")))
    before = await rows(database)
    async with database.engine.begin() as connection:  # the last thing that a decision writes
        await connection.execute(text("ALTER TABLE audit ADD CONSTRAINT broken CHECK (kind <> 'decided')"))
    snapshot = await one.store.next(one.session_id)
    assert snapshot
    turn = await shell._turn(snapshot, 0)
    with pytest.raises(IntegrityError):
        await one.store.commit(snapshot, turn)
    assert await rows(database) == before
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM approvals")) == 0, "what is not on record is not decided"


async def test_replicas_that_write_at_once_make_one_chain(dsn: str, database: Database) -> None:
    async with open_database(dsn, concurrency=8) as other:
        talks = [Talk(one, f"terminal:{n}") for n, one in enumerate([database, other] * 10)]
        shells = {id(one): make_shell(one) for one in (database, other)}

        async def hold(n: int, one: Talk) -> None:
            shell = shells[id((database, other)[n % 2])]
            for answer in (Reply(text=COMPLETE, by="ann"), Reply(text=f"Title: {n}", by="bob")):
                await one.store.accept(one.event(answer))
                await shell.wake(one.session_id, 0)
            card = [body for kind, body in await told(database, one.session_id) if kind == "previewed"][-1]["draft_hash"]
            await one.store.accept(one.event(Decision(type="approve", draft_hash=card, by="cy")))
            await shell.wake(one.session_id, 0)
            await shell.file(one.session_id, card)

        async with asyncio.timeout(60):
            await asyncio.gather(*(hold(n, one) for n, one in enumerate(talks)))
    found = await rows(database)
    assert [row.seq for row in found] == list(range(1, len(found) + 1))
    assert [row.kind for row in found].count("filed") == 20
    assert found[0].previous == NOTHING
    assert await whole(database, anchor=found[-1].hash) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET kind = 'x'", "DELETE FROM audit WHERE seq = 3", "TRUNCATE audit"])
async def test_the_database_refuses_to_change_a_row(database: Database, statement: str) -> None:
    before = await twelve(database)
    async with database.turns.connection() as driver:
        with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
            await driver.execute(statement)  # type: ignore[arg-type]
    assert await rows(database) == before


@pytest.mark.parametrize("number", [1, 6, 12])
@pytest.mark.parametrize(
    "edit",
    [
        "at = at + interval '1 microsecond'", "at = 'infinity'", "at = at - interval '4050 years'", "session_id = 't'",
        "event_id = event_id || ' '", "kind = 'decided'", "body = replace(body, 'ann', 'eve')", "body = body || ' '",
        "body = 'no JSON'", "previous = repeat('f', 64)", "hash = repeat('f', 64)", "hash = upper(hash)",
    ],
)  # fmt: skip
async def test_an_edit_of_any_column_is_found_and_named(database: Database, edit: str, number: int) -> None:
    await twelve(database)
    await change(database, f"UPDATE audit SET {edit} WHERE seq = {number}")
    [finding] = await whole(database)
    assert finding.startswith(f"Row {number} was edited")


async def test_a_unicode_form_that_was_changed_is_found(database: Database) -> None:
    async with database.turns.connection() as driver:
        await append(driver, Entry("é", "e", "said", {}), Entry("é", "e", "said", {}))
    assert await whole(database) == []
    await change(database, "UPDATE audit SET session_id = normalize(session_id, NFD) WHERE seq = 1")
    assert (await whole(database))[0].startswith("Row 1 was edited")


async def test_deleted_moved_and_put_in_rows_are_found_and_named(database: Database) -> None:
    kept = await twelve(database)
    await change(database, "DELETE FROM audit WHERE seq IN (1, 2, 7)")
    assert await whole(database) == ["Rows 1-2 are missing.", "Row 7 is missing."]
    await change(database, "UPDATE audit SET seq = -seq WHERE seq IN (9, 11)")
    await change(database, "UPDATE audit SET seq = 20 + seq WHERE seq < 0")
    assert "Rows 9 and 11 changed places." in await whole(database)
    await change(database, "DELETE FROM audit WHERE seq > 8")
    assert await whole(database) == ["Rows 1-2 are missing.", "Row 7 is missing."]
    assert (await whole(database, anchor=kept[-1].hash))[-1].startswith(f"No row has the hash {kept[-1].hash[:8]} given")
    await change(
        database, f"INSERT INTO audit SELECT 7, at, 's', 'e', 'said', '{{}}', '{NOTHING}', hash FROM audit WHERE seq = 6"
    )
    assert await whole(database) == ["Row 7 was edited.", "Rows 1-2 are missing."]


async def test_what_is_appended_after_a_cut_goes_on_as_if_nothing_was(database: Database) -> None:
    kept = await twelve(database)
    await change(database, "DELETE FROM audit WHERE seq > 8")
    async with database.turns.connection() as driver:
        await append(driver, Entry("s", "e", "said", {}))
    assert await whole(database) == []
    assert await whole(database, anchor=kept[-1].hash) != []


async def test_python_and_the_database_hash_any_text_alike(database: Database) -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    storable = "".join(character for character in every if character != "\0" and not "\ud800" <= character <= "\udfff")
    odd = ["", " ", '"\\/\b\f\n\r\t\x7f\u2028', "%s %(a)s :b $1", "e\u0301 é", "👩‍👩‍👧"]
    async with database.turns.connection() as driver:
        await append(driver, Entry("s", storable, storable, {every: [every, -1, True, None, {"a": every}]}))
        odd += [storable[n : n + 500] for n in range(0, len(storable), 500)]
        await append(driver, *(Entry(one, one, one, {one: one}) for one in odd))
    assert len(await rows(database)) == 1 + len(odd)
    assert await whole(database) == []


async def test_a_part_is_of_one_moment_and_goes_on_from_the_row_before(database: Database) -> None:
    kept = await twelve(database)
    async with PostgresAudit(database).rows(kept[4].at) as (head, found):
        await twelve(database)
        part = [row async for row in found]
    assert (head.first, head.count, head.before, head.head) == (5, 8, kept[3].hash, kept[-1].hash)
    assert part == kept[4:]
    async with PostgresAudit(database).rows("2100-01-01") as (head, found):
        assert [row async for row in found] == []
    assert (head.first, head.count, head.before) == (25, 0, head.head)
