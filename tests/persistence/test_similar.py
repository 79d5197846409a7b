"""What was filed from here before is found again, in every script, and nothing else."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from agent.cli import Usage, wiring
from agent.cli.doctor.stored import stored_checks
from agent.draft import TicketDraft
from agent.ports import GraphTurn, ModelCall, Turn
from agent.protocol import Found, Likeness, SimilarRequest
from agent.sealing import Destination, SealedTicket, seal
from persistence.database import Database, open_database
from persistence.history import read_steps
from persistence.migrate import NEWEST, NoTrigrams
from persistence.similar import LIKE, OurFilings, compared
from persistence.store import PostgresStore
from persistence.tables import approvals, filings, inbox
from persistence.tickets import PostgresTickets
from skills.trackers.local import RENDERER, LocalTracker
from tests.approved import Approved
from tests.persistence.test_store import reply
from tests.support import make_shell

OPS = Destination(tracker="jira", project="OPS")


def ticket(title: str, problem: str = "", destination: Destination = OPS) -> SealedTicket:
    return seal(destination, RENDERER.render(TicketDraft(title=title, problem=problem), None))  # type: ignore[arg-type]


async def file(database: Database, *sealed: SealedTicket, status: str = "filed", at: datetime | None = None) -> None:
    """Puts tickets on record as filed: the first is OPS-1."""
    async with database.engine.begin() as connection:
        for number, one in enumerate(sealed, 1):
            this = {"session_id": f"s{number}", "draft_hash": one.draft_hash}
            decision = {"status": "approved", "approved_by": "ann", "preview_id": f"p{number}", "event_id": f"e{number}"}
            await connection.execute(insert(approvals), {**this, **decision})
            known = {"key": f"OPS-{number}", "url": f"https://t/{number}", "at": at or datetime.now(UTC)}
            row = {**this, **known, "marker": f"m{number}", "status": status, "origin": ""}
            await connection.execute(insert(filings), {**row, **compared(one.bytes)})


async def like(database: Database, title: str, problem: str = "", limit: int = 10, **where: str) -> list[str]:
    request = SimilarRequest(destination=OPS.model_copy(update=where), title=title, problem=problem)
    found = await OurFilings(database).like(request, limit)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert all(0.5 <= score <= 1 for _, score in found)
    return [one.key for one, _ in found]


async def test_an_approval_keeps_what_its_ticket_is_about(database: Database) -> None:
    one = Approved(database, make_shell(database))
    await one.begin("Title: Export's slow\nProblem: It answers 500.\nAcceptance criteria: - it finishes")
    row = await one.row()
    assert (row.tracker, row.project, row.title) == ("local", "LOCAL", "Export's slow")
    assert row.about == "export s slow it answers 500 it finishes"


async def test_what_is_like_it_is_found_and_what_is_not_is_not(database: Database) -> None:
    await file(
        database,
        ticket("CSV export fails with a timeout"),
        ticket("Reports cannot be downloaded", "The export to CSV stops with a timeout when it has many rows."),
        ticket("Login page shows an error", "It fails with a message."),
        ticket("Colours of the export button", "They are too pale."),
        ticket("Something else", "Shouting " * 50),
    )
    assert await like(database, "CSV export fails with timeouts") == ["OPS-1"]
    assert await like(database, "Timeout of the CSV export", "With many rows it stops.") == ["OPS-2", "OPS-1"]
    assert await like(database, "Timeout of the CSV export", "With many rows it stops.", limit=1) == ["OPS-2"]
    assert await like(database, "Rows") == await like(database, "Timeouts", "The colours") == []  # a word is not enough
    assert await like(database, "Shouting", "At downloads.") == []  # however often it is said
    assert await like(database, "Search is slow", "The search takes 5 s.") == []
    assert await like(database, "It fails with an error", "It shows an error.") == []


async def test_it_is_found_where_it_goes_and_once_it_is_filed(database: Database) -> None:
    await file(database, ticket("CSV export fails"))
    assert await like(database, "CSV export fails") == ["OPS-1"]
    assert await like(database, "CSV export fails", project="WEB") == []
    assert await like(database, "CSV export fails", tracker="github") == []
    for status in ("intended", "sent", "failed", "unknown", "left"):
        async with database.engine.begin() as connection:
            await connection.execute(text("UPDATE filings SET status = :status"), {"status": status})
        assert await like(database, "CSV export fails") == [], status


async def test_it_says_when_it_was_filed(database: Database) -> None:
    request = SimilarRequest(destination=OPS, title="CSV export fails", problem="")
    at = datetime.now(UTC) - timedelta(days=3)
    await file(database, ticket("CSV export fails"), at=at)
    [(found, score)] = await OurFilings(database).like(request, 3)
    assert found == Likeness(
        key="OPS-1", url="https://t/1", title="CSV export fails", why=f"filed from here on {at.day} {at:%b}"
    )
    assert score == pytest.approx(1)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE filings SET at = '2019-11-03 12:00+00'"))
    [(found, _)] = await OurFilings(database).like(request, 3)
    assert found.why == "filed from here on 3 Nov 2019"


@pytest.mark.parametrize(
    ("title", "asked"),
    [
        ("Экспорт отчётов не работает", "Не работает экспорт отчётов"),
        ("日本語のエクスポートが失敗する", "エクスポートが失敗"),
        ("Überlauf der Größe beim Ändern", "ÜBERLAUF der Größe"),
        ("निर्यात विफल होता है", "निर्यात विफल"),
        ("تصدير التقارير لا يعمل", "تصدير التقارير"),
        ("ส่งออกรายงานไม่สำเร็จ", "ส่งออกรายงาน"),
    ],
)
async def test_other_languages(database: Database, title: str, asked: str) -> None:
    await file(database, ticket(title), ticket("Вход в систему"), ticket("ログイン画面"), ticket("दूसरी बात"))
    assert await like(database, asked) == ["OPS-1"]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "\x00",
        "a\x00b export",
        "\ud800 export",
        "it's \"export\" :* & | ! ( <-> ')",
        "'; DROP TABLE filings; --",
        "%s %(a)s :b \\n %",
        "\u202e export",
        "日本語" * 22_000,
        "export " * 10_000,
        "x" * 65_000,
        " ".join(f"word{number}" for number in range(10_000)),
    ],
)
async def test_any_text_is_looked_for_and_kept(database: Database, words: str) -> None:
    await file(database, ticket("CSV export fails"))
    for title, problem in ((words, ""), ("", words), (words, words)):
        request = SimilarRequest.model_construct(destination=OPS, title=title, problem=problem)
        await OurFilings(database).like(request, 3)
    sealed = json.dumps({**OPS.model_dump(), "title": words, "body": words, "fields": {"problem": words, "risks": [words]}})
    row = {**compared(sealed.encode()), "session_id": "s1"}
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE filings SET title = :title, about = :about WHERE session_id = :session_id"), row)


@pytest.mark.parametrize(
    "sealed", [b"", b"\xff", b"[]", b"{}", b'{"tracker":"a","project":"b","title":1,"fields":[]}', b"[" * 99999]
)
def test_what_is_no_ticket_is_compared_with_nothing(sealed: bytes) -> None:
    assert compared(sealed) == {"tracker": "", "project": "", "title": "", "about": ""}


async def test_the_indexes_are_used(database: Database) -> None:
    filed = [ticket(f"Ticket {number} of {number * 7919 % 5000}", f"number {number * 31}") for number in range(3000)]
    await file(database, *filed, ticket("CSV export fails with a timeout"))
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE filings"))
        asked = {"title": "CSV export fails", "words": "csv | export", "number": 2, **OPS.model_dump(), "limit": 3}
        plan = "\n".join(await connection.scalars(text(f"EXPLAIN {LIKE.text}"), asked))
    assert "filings_title" in plan
    assert "filings_about" in plan
    assert "Seq Scan" not in plan
    assert await like(database, "CSV export fails") == ["OPS-3001"]


async def test_calls_and_findings_are_kept_whole(database: Database) -> None:
    store, found = PostgresStore(database), Found(tickets=[Likeness(key="OPS-1", why="\x00")], problem="x", event_id="s:1")
    call = ModelCall(
        event_id="s:1", ordinal=1, model="m", digest="d", characters=7, answer={"content": "\ud800"}, error="e",
        input_tokens=1, output_tokens=2, milliseconds=3, dropped=4,
    )  # fmt: skip
    turns = [
        GraphTurn(b"", {}, None, calls=[call], found=found),
        GraphTurn(b"", {}, None, calls=[ModelCall(event_id="s:2", error="a\x00b\ud800", model="\x00")]),
    ]
    for number, graph in enumerate(turns, 1):
        await store.accept(reply("s", number))
        snapshot = await store.next("s")
        assert snapshot
        await store.commit(snapshot, Turn(outcome="replied", graph=graph))
    first, second = await read_steps(database.engine, "s")
    assert (first.calls, first.found) == ([call], found)
    assert (second.calls[0].error, second.calls[0].model, second.found) == ("ab?", "", Found())
    async with database.engine.connect() as connection:
        assert (await connection.scalars(select(inbox.c.found).order_by(inbox.c.seq))).all() == [found.model_dump(), None]


async def upgrade(dsn: str, revision: str) -> None:
    def run(connection: Any) -> None:
        config = Config()
        config.set_main_option("script_location", "persistence:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def test_what_was_filed_before_the_migration_is_found(empty_dsn: str) -> None:
    await upgrade(empty_dsn, "0003")
    odd = json.dumps({**OPS.model_dump(), "title": "Nul\x00 and \ud800", "fields": {"problem": "\x00"}}).encode()
    old = [ticket(f"Old number {number}").bytes for number in range(1201)] + [odd, b"no json", ticket("CSV export fails").bytes]
    with psycopg.connect(empty_dsn) as connection:
        for number, sealed in enumerate(old):
            this = (f"s{number % 7}", f"h{number}")
            connection.execute(
                "INSERT INTO approvals (session_id, draft_hash, status, approved_by, preview_id, event_id)"
                " VALUES (%s, %s, 'approved', 'ann', %s, 'e')",
                (*this, f"p{number}"),
            )
            for again in ("", "again"):  # a ticket may have been shown twice
                connection.execute(
                    "INSERT INTO previews (preview_id, session_id, draft_hash, sealed, version, status)"
                    " VALUES (%s, %s, %s, %s, 1, 'approved')",
                    (f"p{number}{again}", *this, sealed),
                )
            connection.execute(
                "INSERT INTO filings (session_id, draft_hash, marker, status, origin, key)"
                " VALUES (%s, %s, %s, 'filed', '', %s)",
                (*this, f"m{number}", f"OPS-{number}"),
            )
        connection.execute("INSERT INTO model_calls VALUES ('e', 1, 'd', 5, '{}')")
    async with open_database(empty_dsn) as database:
        assert await like(database, "The CSV export fails") == ["OPS-1203"]
        async with database.engine.connect() as connection:
            rows = {row.key: row for row in await connection.execute(select(filings))}
            call = (await connection.execute(text("SELECT * FROM model_calls"))).one()
            assert await connection.scalar(text("SELECT version_num FROM signoff_version")) == NEWEST
    assert {rows[f"OPS-{number}"].title for number in range(1201)} == {f"Old number {number}" for number in range(1201)}
    assert (rows["OPS-1201"].title, rows["OPS-1202"].title, rows["OPS-1202"].about) == ("Nul and ?", "", "")
    assert (call.model, call.input_tokens, call.error) == ("", 0, "")


async def test_without_the_extension_it_says_what_to_do(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS poor")
        connection.execute("CREATE ROLE poor")
        connection.execute("GRANT ALL ON SCHEMA public TO poor")
        try:
            poor = f"{empty_dsn}&options=-c%20role%3Dpoor"
            monkeypatch.setenv("DATABASE_URL", poor)
            [check, *_] = await stored_checks()
            assert (check.status, check.found.rpartition("; ")[2]) == (
                "wrong",
                "it lacks the extension pg_trgm, and our user may not create it",
            )
            with pytest.raises(NoTrigrams, match=r"permission denied .*: install .* run CREATE EXTENSION pg_trgm in this"):
                async with open_database(poor):
                    pass
            with pytest.raises(Usage, match="CREATE EXTENSION pg_trgm"):
                async with wiring.database(poor):
                    pass
            connection.execute("CREATE EXTENSION pg_trgm")
            assert (await stored_checks())[0].status == "ok"
            async with open_database(poor) as database:
                assert await like(database, "anything") == []
        finally:
            connection.execute("DROP OWNED BY poor")
            connection.execute("DROP ROLE poor")


async def test_the_local_tracker_finds_by_any_telling_word_of_title_or_body(database: Database) -> None:
    table = PostgresTickets(database.engine)
    tracker, here = LocalTracker(table), Destination()
    for number, one in enumerate(
        (
            ticket("CSV export fails", "It stops.", here),
            ticket("Reports", "The export of CSV stops with a timeout. \\u0000", here),
            ticket("CSV export fails", "", Destination(project="WEB")),
            ticket("The login", "It is slow.", here),
        )
    ):
        await table.insert(f"m{number}", one.bytes, {})
    assert [one.title for one in await tracker.search("LOCAL", "The timeout of the CSV export")] == [
        "Reports",
        "CSV export fails",
    ]
    assert [one.title for one in await tracker.search("LOCAL", "Is the login fast?")] == ["The login"]
    for odd in ("the", "", "\x00", "\ud800", "it's | & ! :* (", "%", "ab " * 30_000):
        assert await tracker.search("LOCAL", odd) == []
