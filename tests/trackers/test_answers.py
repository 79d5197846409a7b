"""Answers that no tracker gives: what cannot be read is said to be so, soon and in little memory, and nothing is guessed."""

import asyncio
import gzip
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agent.draft import TicketDraft
from agent.projects import Project
from agent.sealing import Destination, SealedTicket, seal
from agent.trackers import Later, Refused, Unsure
from skills.trackers import http
from skills.trackers.github import RENDERER, connect
from skills.trackers.markdown import judged
from tests.trackers.support import receipt

DRAFT = TicketDraft(title="Export fails", problem="It answers 500.")
ISSUE = {"number": 1, "title": "Export fails", "body": "It answers 500.", "labels": [], "assignees": [], "user": {"login": "x"}}


def sealed() -> SealedTicket:
    return seal(Destination(tracker="github", project="acme/web"), RENDERER.render(DRAFT, Project(key="acme/web")))


def answering(answer: Any) -> Any:
    """A GitHub whose every answer is this one."""
    tracker = connect({"GITHUB_TOKEN": "ghp_test", "GITHUB_API_URL": "https://github.test"})
    assert tracker
    tracker._api._client._transport = httpx.MockTransport(answer)  # type: ignore[attr-defined]
    return tracker


def said(content: Any, status: int = 200, **headers: str) -> Any:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): one for name, one in headers.items()}
    return lambda _: httpx.Response(status, headers=named, stream=httpx.ByteStream(data))


@pytest.mark.parametrize(
    "content",
    [
        {**ISSUE, "body": ["a list"]}, {**ISSUE, "assignees": [None]},
        {**ISSUE, "labels": 7}, b'{"number": NaN}', b'{"number": 1e999}', b'{"number": ' + b"9" * 5000 + b"}",
        b"[" * 100_000, b'{"number": 1, "body": ' + b"[" * 500 + b"]" * 500 + b"}", b"\xff\xfe", b"null", b"7", b"",
    ],
)  # fmt: skip
async def test_a_reply_of_another_form_can_be_asked_for_again(content: Any) -> None:
    with pytest.raises(Later, match="cannot be read"):
        await answering(said(content)).read("1", sealed(), receipt(sealed()))


@pytest.mark.parametrize("content", [{}, {"number": "1"}, {"number": None}, [], b"[" * 100_000, b'{"number": 1e999}', b"\x00"])
async def test_whether_the_ticket_was_made_is_not_guessed(content: Any) -> None:
    with pytest.raises(Unsure):
        await answering(said(content, 201)).create(sealed(), receipt(sealed()))


@pytest.mark.parametrize("status", [301, 401, 429])
async def test_a_status_that_says_it_was_not_made_is_not_believed_where_the_body_names_it(status: int) -> None:
    with pytest.raises(Unsure, match="names a ticket"):
        await answering(said(ISSUE, status)).create(sealed(), receipt(sealed()))
    with pytest.raises((Later, Refused)):
        await answering(said({"message": "no"}, status)).create(sealed(), receipt(sealed()))


async def test_what_no_database_holds_is_taken_out() -> None:
    copy = await answering(said(b'{"number": 1, "title": "a\\u0000b\\ud800c\\ud83d\\ude00"}')).read(
        "1", sealed(), receipt(sealed())
    )
    assert copy.ticket.title == "a\ufffdb\ufffdc😀"


async def test_an_answer_that_unpacks_to_a_great_deal_is_not_unpacked() -> None:
    packed = gzip.compress(b" " * 2**27)
    tracemalloc.start()
    try:
        with pytest.raises(Later, match="cannot be read"):
            await answering(said(packed, content_encoding="gzip")).read("1", sealed(), receipt(sealed()))
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "data"), [("gzip", b"no gzip"), ("br", b"{}"), ("gzip, gzip", gzip.compress(b"{}", mtime=0))]
)
async def test_what_is_packed_in_another_way_cannot_be_read(encoding: str, data: bytes) -> None:
    with pytest.raises(Later, match="cannot be read"):
        await answering(said(data, content_encoding=encoding)).read("1", sealed(), receipt(sealed()))


async def test_gzip_is_read() -> None:
    packed = gzip.compress(b'{"number": 1, "title": "Export fails"}')
    copy = await answering(said(packed, content_encoding="gzip")).read("1", sealed(), receipt(sealed()))
    assert copy.ticket.title == "Export fails"


class Endless(httpx.AsyncByteStream):
    """A byte now and then, for ever."""

    def __init__(self, pause: float, part: bytes = b" ") -> None:
        self.pause, self.part, self.given = pause, part, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(self.pause)
            self.given += len(self.part)
            yield self.part


async def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.3)
    tracker = answering(lambda _: httpx.Response(200, stream=Endless(0.01)))
    with pytest.raises(Later, match="cannot be reached"):
        await tracker.read("1", sealed(), receipt(sealed()))
    with pytest.raises(Unsure, match="no answer"):
        await tracker.create(sealed(), receipt(sealed()))


async def test_an_answer_without_an_end_is_not_kept() -> None:
    stream = Endless(0, b"x" * 2**20)
    with pytest.raises(Later, match="cannot be read"):
        await answering(lambda _: httpx.Response(200, stream=stream)).read("1", sealed(), receipt(sealed()))
    assert stream.given <= http.LONGEST_ANSWER + 2**21


def test_a_body_of_brackets_is_not_read() -> None:
    ticket, began = sealed(), time.monotonic()
    for end in ("", "\n\nreceipt"):
        payload, changed, stands = judged(ticket, {"title": "Export fails", "body": "[" * 1_000_000 + end}, "body", "receipt")
        assert [one.field for one in changed] == ["body"]
        assert stands == bool(end)
        assert payload != ticket.payload
    assert time.monotonic() - began < 1


async def test_a_pause_of_any_form_is_a_pause() -> None:
    for given in ("9" * 400, "Mon, 01 Jan 0001 00:00:00 -0000", "soon", "-5", "٣"):
        response = httpx.Response(429, headers={"Retry-After": given.encode()})
        assert (http.pause(response) or 1.0) <= http.LONGEST_PAUSE


async def test_a_key_that_is_endless_is_none() -> None:
    number = b'{"number": ' + b"9" * 4000 + b"}"
    with pytest.raises(Unsure):
        await answering(said(number, 201)).create(sealed(), receipt(sealed()))
    with pytest.raises((Later, Refused)):
        await answering(said(number)).read("1", sealed(), receipt(sealed()))
