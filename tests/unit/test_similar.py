"""How alike tickets are, which are shown and why, and that nobody waits for a place that does not answer."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.catalogue import Catalogue
from agent.protocol import Found, Likeness, SimilarRequest
from agent.sealing import Destination
from agent.similar import Similar, best
from agent.trackers import Later, Refused, Ticket
from agent.words import ALIKE, likeness, telling, words
from skills.trackers.looking import looked_for

HERE = Destination(tracker="jira", project="OPS")
TITLE = "CSV export fails with a timeout"
WHEN = "filed from here on 3 Nov"


def request(title: str = TITLE, problem: str = "", destination: Destination = HERE) -> SimilarRequest:
    return SimilarRequest(destination=destination, title=title, problem=problem)


def there(key: str, title: str) -> Ticket:
    return Ticket(key=key, url=f"https://t/{key}", title=title)


def ours(key: str, title: str, score: float) -> tuple[Likeness, float]:
    return Likeness(key=key, url=f"https://t/{key}", title=title, why=WHEN), score


class Places:
    """A tracker and our own filings, which do as a test says."""

    name = "jira"

    def __init__(self, search: Any = (), like: Any = ()) -> None:
        self._search, self._like = search, like
        self.asked: list[tuple[str, str]] = []
        self.comments: list[tuple[str, str, str, str]] = []
        self.refuses: Exception | None = None

    async def search(self, project: str, text: str) -> list[Ticket]:
        self.asked.append((project, text))
        return await does(self._search)

    async def like(self, request: SimilarRequest, limit: int) -> list[tuple[Likeness, float]]:
        return await does(self._like)

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        if self.refuses:
            raise self.refuses
        self.comments.append((comment_id, key, author, text))

    def similar(self) -> Similar:
        return Similar(Catalogue({"jira": self}), self)  # type: ignore[dict-item]


async def does(what: Any) -> list[Any]:
    if isinstance(what, Exception):
        raise what
    if callable(what):
        await what()
    return [] if callable(what) else list(what)


@pytest.mark.parametrize(
    ("title", "problem", "other"),
    [
        (TITLE, "", "CSV export fails with a timeout"),
        (TITLE, "", "Exports to CSV time out"),
        (TITLE, "", "Timeouts of the CSV export of reports"),
        ("Export fails", "The CSV export of large reports times out.", "CSV export times out"),
        ("Export fails", "", "Exports failing"),
        ("Login", "", "login"),
        ("It fails", "", "It fails!"),
        ("Экспорт отчётов не работает", "", "Не работает экспорт отчётов"),
        ("日本語のエクスポートが失敗する", "", "エクスポートが失敗"),
        ("ＣＳＶ ｅｘｐｏｒｔ", "", "CSV export"),
    ],
)
def test_what_is_alike(title: str, problem: str, other: str) -> None:
    assert ALIKE <= likeness(title, problem, other).score <= 1


@pytest.mark.parametrize(
    ("title", "problem", "other"),
    [
        (TITLE, "", "Login page fails with an error"),
        ("Export fails", "It answers 500.", "Export is slow"),
        ("Export fails", "It answers 500.", "Colours of the export button"),
        ("Search page fails", "", "Login page fails"),
        ("Login page shows an error", "", "Export shows an error"),
        ("Экспорт отчётов не работает", "", "Вход в систему не работает"),
        ("日本語のエクスポート", "", "ログイン画面"),
        (TITLE, "", ""),
        ("", "", TITLE),
        ("", "", ""),
        ("!?", "", "?!"),
    ],
)
def test_what_is_not_alike(title: str, problem: str, other: str) -> None:
    assert 0 <= likeness(title, problem, other).score < ALIKE


@pytest.mark.parametrize("text", ["\x00", "\ud800", "a" * 65_000, "a b " * 30_000, "\u202e", "%", "'\"\\"])
def test_any_text_has_words(text: str) -> None:
    assert all(word.isalnum() for word in words(text))
    likeness(text, text, text)


def test_words_that_tell_something() -> None:
    assert telling("The CSV-export fails: the export of a v2 report, it's café_x") == ["csv", "export", "v2", "report", "café"]
    assert words("エクスポート失敗 v2") == ["エク", "クス", "スポ", "ポー", "ート", "ト失", "失敗", "v2"]


def test_the_best_three_the_likeliest_first_each_once_with_why() -> None:
    theirs = [
        there("OPS-1", "Colours of the login page"),
        there("OPS-2", "The timeout of an export to CSV"),
        there("OPS-3", "CSV export fails with timeouts"),
        there("OPS-4", "CSV export: timeout when a customer wants all reports"),
        there("Ops-5", "CSV export fails with a timeout"),
    ]
    filed = [ours("OPS-5", "CSV export fails", 0.8), ours("OPS-6", "Downloads stop", 0.6), ours("OPS-7", "Nothing", 0.4)]
    found = best(request(), filed, theirs)
    assert [(one.key, one.why) for one in found] == [
        ("Ops-5", f"{WHEN}, the same title"),
        ("OPS-2", "nearly the same title"),
        ("OPS-3", "nearly the same title"),
    ]
    assert found[0].title == "CSV export fails with a timeout"  # as the tracker has it now
    assert best(request(), filed[1:], theirs[:1]) == [filed[1][0].model_copy(update={"why": f"{WHEN}, it says much the same"})]
    assert best(request(), [], [theirs[3]])[0].why == "the same words: csv, export, timeout"
    assert (
        best(request("エクスポートが失敗する"), [], [there("OPS-1", "エクスポートが失敗、全て、毎日")])[0].why
        == "the same word: エクスポートが失敗"
    )
    assert best(request(), [], []) == []


async def test_both_places_are_asked_at_once_and_the_tracker_by_telling_words() -> None:
    both = asyncio.Barrier(2)

    async def meet() -> None:
        await both.wait()

    places = Places(meet, meet)
    async with asyncio.timeout(1):
        assert await places.similar().find(request("The export fails", "A customer of the enterprise plan says so.")) == Found()
    assert places.asked == [("OPS", "export enterprise customer")]
    assert await places.similar().find(request("", "!?")) == Found()
    assert len(places.asked) == 1


async def test_tickets_of_both_places_are_found() -> None:
    places = Places([there("OPS-1", TITLE)], [ours("OPS-2", "CSV export timeout fails", 0.9)])
    found = await places.similar().find(request())
    assert {one.key for one in found.tickets} == {"OPS-1", "OPS-2"}
    assert found.problem == ""


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("search", "like", "said"),
    [
        (Later("Jira wants a pause."), (), "jira (Jira wants a pause)"),
        (Refused("x" * 500), (), f"jira ({'x' * 160})"),
        (KeyError("title"), (), "jira (it does not answer as it should)"),
        (never, (), "jira (no answer within 0 s)"),
        ((), never, "what was filed from here (no answer within 0 s)"),
        (Later("No."), OSError("gone"), "what was filed from here (it does not answer as it should) and jira (No)"),
    ],
)
async def test_what_cannot_be_looked_in_is_said_and_the_rest_is_found(
    search: Any, like: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.similar.PATIENCE", 0.1)
    places = Places(search or [there("OPS-1", TITLE)], like or [ours("OPS-2", TITLE, 0.9)])
    began = time.monotonic()
    found = await places.similar().find(request())
    assert time.monotonic() - began < 1
    assert found.problem == f"Similar tickets could not be looked for in {said}."
    assert len(found.tickets) == (not search) + (not like)


async def test_a_place_that_cannot_be_stopped_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.similar.PATIENCE", 0.05)
    ended = asyncio.Event()

    async def stubborn() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
            ended.set()
            raise OSError("late") from None

    began = time.monotonic()
    assert "no answer" in (await Places(stubborn).similar().find(request())).problem
    assert time.monotonic() - began < 0.25
    with caplog.at_level(logging.ERROR):
        await ended.wait()
        await asyncio.sleep(0.01)
    assert caplog.records == []


async def test_a_tracker_that_is_not_connected() -> None:
    found = await Places().similar().find(request(destination=Destination(tracker="github", project="a/b")))
    assert found.problem.startswith("Similar tickets could not be looked for in github (The tracker github is not connected")


async def test_who_stops_waiting_stops_both() -> None:
    stopped = []

    async def watched() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            stopped.append(1)
            raise

    finding = asyncio.create_task(Places(watched, watched).similar().find(request()))
    await asyncio.sleep(0.01)
    finding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finding
    await asyncio.sleep(0)
    assert stopped == [1, 1]


async def test_linking_comments_on_the_ticket_that_it_is() -> None:
    places = Places()
    one = Likeness(key="OPS-1", url="https://t/1", title="x", why="y")
    linked = await places.similar().link(one, HERE, "C1:2", "Ann", "It happened again.")
    assert linked == Ticket(key="OPS-1", url="https://t/1", title="x")
    assert places.comments == [("C1:2", "OPS-1", "Ann", "It happened again.")]
    for error in (Later("No."), Refused("Never.")):
        places.refuses = error
        with pytest.raises(type(error)):
            await places.similar().link(one, HERE, "C1:2", "Ann", "x")
    with pytest.raises(Refused, match="not connected"):
        await places.similar().link(one, Destination(tracker="github", project="a/b"), "C1:2", "Ann", "x")


def tracker(*titles: str) -> tuple[Callable[[Any], Awaitable[list[Ticket]]], list[list[str]]]:
    """A search that finds what has all of the words, and what it was asked for."""
    asked: list[list[str]] = []

    async def ask(wanted: Any) -> list[Ticket]:
        asked.append([*wanted])
        tickets = [there(f"OPS-{number}", title) for number, title in enumerate(titles, 1)]
        return [one for one in tickets if all(word in one.title.casefold() for word in wanted)]

    return ask, asked


async def test_a_tracker_that_wants_all_words_is_asked_for_the_longest_together_and_alone() -> None:
    ask, asked = tracker("Export", "Timeout of exports", "Export of reports: timeout", "Login")
    found = await looked_for("The CSV export of reports fails with a timeout", ask)
    assert [one.key for one in found] == ["OPS-3", "OPS-2", "OPS-1"]
    assert asked == [["reports", "timeout", "export"], ["reports"], ["timeout"], ["export"]]
    ask, asked = tracker(*["Export"] * 40)
    assert len(await looked_for("export", ask)) == 10
    assert asked == [["export"]]
    assert await looked_for("and: it is !?", ask) == []
    assert len(asked) == 1


async def test_what_has_all_words_comes_first_wherever_it_stands_among_what_has_one() -> None:
    async def ask(wanted: Any) -> list[Ticket]:
        found = {"reports": ["OPS-1"], "timeout": ["OPS-1"], "export": ["OPS-2"]}
        return [there(key, "") for key in (found[wanted[0]] if len(wanted) == 1 else ["OPS-9"])]

    assert [one.key for one in await looked_for("timeout of reports' export", ask)] == ["OPS-9", "OPS-1", "OPS-2"]
