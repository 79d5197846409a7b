"""Asking a model through the real client and over real HTTP: what is tried again, what is not, and what people are told."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ValidationError

from agent import asking
from agent.asking import AT_ONCE, Asker, Unanswered, passes, reason, status_of, wanted
from agent.listening import Unusable, heard_in
from agent.model import configured_listener, probe
from agent.ports import ModelCall
from tests.model_sim import (
    After,
    BadArguments,
    Call,
    Calls,
    Drip,
    Empty,
    Enormous,
    Garbage,
    GarbageStream,
    Hang,
    Item,
    Model,
    NoChoices,
    Partial,
    Raw,
    Refusal,
    Reset,
    Status,
    Text,
    running_model,
)

SECRET = "the export of ACME fails"
TALK: list[BaseMessage] = [SystemMessage("Keep the draft."), HumanMessage(SECRET)]
FINE = Call("update_draft", {"intent": "small_talk", "operations": []})
QUOTA = {"error": {"message": SECRET, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.05, 0.1, 0.2))
    monkeypatch.setattr(asking, "REST", 0.4)


def asker(server: Model, patience: float = 5, clients: float = 5) -> Asker:
    known = {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": server.url, "SIGNOFF_MODEL_TIMEOUT": str(clients)}
    made = configured_listener(known).asker
    made.patience = patience
    return made


async def unanswered(one: Asker) -> str:
    with pytest.raises(Unanswered) as caught:
        await one.ask(TALK)
    return str(caught.value)


@pytest.mark.parametrize(
    "item", [Status(429), Status(500), Status(503, "busy"), Status(529), Status(408), Status(409), Reset()]
)
async def test_what_passes_is_tried_again(item: Item) -> None:
    async with running_model([item, item, FINE]) as server:
        heard_in(await asker(server).ask(TALK))
        assert server.count == 3
        assert server.requests[0] == server.requests[2]
    async with running_model([item]) as server:
        await unanswered(asker(server))
        assert server.count == 4, "four tries, and no more"


REASONS = {
    400: "the provider answers with the status 400",
    401: "the provider refuses the key",
    402: "the provider's quota is used up",
    403: "the provider refuses the key",
    404: "the provider does not know this model, or its address is wrong",
    413: "the provider answers with the status 413",
    422: "the provider answers with the status 422",
}


@pytest.mark.parametrize("code", REASONS)
async def test_what_does_not_pass_is_tried_once(code: int) -> None:
    async with running_model([Status(code), FINE]) as server:
        assert await unanswered(asker(server)) == REASONS[code]
        assert server.count == 1


async def test_a_quota_that_is_used_up_is_no_pause() -> None:
    async with running_model([Status(429, QUOTA), FINE]) as server:
        assert await unanswered(asker(server)) == "the provider's quota is used up"
        assert server.count == 1


@pytest.mark.parametrize("asked_for", ["30", "0.21", "Fri, 01 Jan 2100 00:00:00 GMT"])
async def test_a_longer_pause_than_ours_ends_the_tries(asked_for: str) -> None:
    async with running_model([Status(429, None, {"Retry-After": asked_for}), FINE]) as server:
        assert await unanswered(asker(server)) == "the provider wants a pause"
        assert server.count == 1


@pytest.mark.parametrize("asked_for", ["0.15", "0", "-3", "soon", "", "nan", "Fri, 01 Jan 1999 00:00:00 GMT"])
async def test_a_pause_that_fits_is_kept(asked_for: str) -> None:
    async with running_model([Status(503, None, {"Retry-After": asked_for}), FINE]) as server:
        began = time.monotonic()
        await asker(server).ask(TALK)
        assert time.monotonic() - began >= (0.15 if asked_for == "0.15" else 0.05)
        assert server.count == 2


@pytest.mark.parametrize("item", [Hang(), Drip(0.1), After(30, FINE)])
@pytest.mark.parametrize("clients", [0.2, 5])
async def test_who_does_not_answer_is_given_up_within_the_patience(item: Item, clients: float) -> None:
    async with running_model([item]) as server:
        one, began = asker(server, 0.7, clients), time.monotonic()
        assert await unanswered(one) == "no answer came within 0.7 seconds"
        assert 0.6 < time.monotonic() - began < 1.5
        assert one._under_way == 0
        await server.until(lambda: not server.under_way, what="the request was left open")


async def test_nobody_there() -> None:
    async with running_model([FINE]) as server:
        one = asker(server)
    assert await unanswered(one) == "the provider cannot be reached"


async def test_it_rests_after_two_failures_and_comes_back() -> None:
    async with running_model([Status(401)]) as server:
        one = asker(server)
        assert {await unanswered(one), await unanswered(one)} == {REASONS[401]}
        assert await unanswered(one) == "it did not answer before, and is tried again in half a minute"
        assert server.count == 2, "a model that rests is not asked"
        await asyncio.sleep(asking.REST)
        assert await unanswered(one) == REASONS[401]
        assert "before" in await unanswered(one), "one more failure is enough"
        assert server.count == 3
        await asyncio.sleep(asking.REST)
        server.answer([FINE, Status(401), FINE])
        heard_in(await one.ask(TALK))
        assert await unanswered(one) == REASONS[401]
        heard_in(await one.ask(TALK))
        assert server.count == 6, "an answer makes up for the failures before it"


@pytest.mark.parametrize("code", asking.OURS)
async def test_a_request_that_is_refused_for_itself_gives_the_model_no_rest(code: int) -> None:
    async with running_model([Status(code), Status(code), Status(code), FINE]) as server:
        one = asker(server)
        assert {await unanswered(one) for _ in range(3)} == {REASONS[code]}
        heard_in(await one.ask(TALK))


async def test_it_is_crowded_by_as_many_calls_as_may_be() -> None:
    async with running_model([After(0.5, FINE)]) as server:
        one = asker(server)
        asked = [asyncio.create_task(one.ask(TALK)) for _ in range(AT_ONCE - 1)]
        await server.until(lambda: server.under_way == AT_ONCE - 1)
        assert not one.crowded
        asked.append(asyncio.create_task(one.ask(TALK)))
        await server.until(lambda: server.under_way == AT_ONCE)
        assert one.crowded
        await asyncio.gather(*asked)
        assert not one.crowded
        server.answer([Hang()])
        cancelled = [asyncio.create_task(one.ask(TALK)) for _ in range(AT_ONCE)]
        await server.until(lambda: server.under_way == AT_ONCE)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        assert not one.crowded
        assert one._failures == 0, "who is cancelled says nothing of the model"


def choice(message: Any) -> Raw:
    return Raw({"choices": [{"message": message}]})


STRANGE: list[Any] = [{}, [], None, 5, {"choices": None}, {"choices": {}}, {"choices": [{}]}, {"error": SECRET}]
UNANSWERED: list[Item] = [
    *(Status(code) for code in (204, 302, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 425, 429, 500, 501, 502, 503, 529)),
    *(Status(code, SECRET) for code in (400, 401, 429, 500)),
    *(Status(code, {"error": SECRET}) for code in (400, 401, 429, 500)),
    *(Status(code, {"error": {"message": SECRET, "code": 200}}) for code in (400, 500)),
    Status(429, QUOTA),
    Status(500, [SECRET]),
    *(Garbage(text, kind) for text in (SECRET, "", "<html>", "\x00", "{", "nul") for kind in ("application/json", "text/html")),
    GarbageStream(),
    NoChoices(),
    *map(Raw, STRANGE),
    *(choice(message) for message in (None, 5, {}, {"role": "user", "content": SECRET}, {"role": "tool", "content": SECRET})),
    *(choice({"role": "assistant", "content": content}) for content in (5, True, {"a": SECRET})),
    *(choice({"role": "assistant", "tool_calls": calls}) for calls in (5, "all", [5], [{"id": 1}], [{"function": None}])),
    Hang(),
    Drip(0.1),
    Reset(),
]


@pytest.mark.parametrize("item", UNANSWERED, ids=lambda item: repr(item)[:80])
async def test_whatever_comes_instead_of_an_answer_is_unanswered(item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.01,))
    async with running_model([item]) as server:
        one = asker(server, 0.5 if isinstance(item, Hang | Drip) else 5)
        why = await unanswered(one)
    assert SECRET not in why
    assert "\n" not in why
    assert len(why) < 100
    assert why.startswith(("the provider", "no answer came", "what the provider answers cannot be read"))


def deep(levels: int) -> str:
    return f'{{"intent": "small_talk", "operations": [], "reply": {"[" * levels}{"]" * levels}}}'


UNUSABLE: dict[str, list[Item]] = {
    "it is empty": [Empty(), Refusal(SECRET), choice({"role": "assistant", "content": None})],
    "it calls no tool: call update_draft once": [Text(SECRET)],
    "it has more than 100,000 characters": [
        Enormous(200_000),
        Call("update_draft", {"intent": "small_talk", "operations": [], "reply": "x" * 200_000}),
        BadArguments("[" * 200_000),
    ],
    "the arguments of its call are no JSON object of its form": [
        Partial(),
        *(BadArguments(deep(levels)) for levels in (51, 300, 900, 5000)),
        *(BadArguments(text) for text in ("{", "[1]", "5", '"x"', "NaN", "true", SECRET, "[" * 50_000)),
        *(
            BadArguments(f'{{"intent": "information", "operations": [], "reply": {number}}}')
            for number in (2**64, -(2**63) - 1)
        ),
        choice({"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "update_draft", "arguments": {"a": 1}}}]}),
    ],
    "intent: Field required; operations: Field required": [
        BadArguments(text) for text in ("", "null", "{}", "[]", "0", "false")
    ],
    "there is no tool 'approve': call update_draft once": [Call("approve"), Calls([FINE, Call("approve")])],
    "it has 11 calls: call update_draft once, with all operations": [Calls([FINE] * 11)],
}


@pytest.mark.parametrize(("why", "item"), [(why, item) for why, items in UNUSABLE.items() for item in items])
async def test_an_answer_that_is_none_of_the_tool_is_unusable(why: str, item: Item) -> None:
    async with running_model([item]) as server:
        one = asker(server)
        answer = await one.ask(TALK)
        assert server.count == 1
    assert isinstance(answer, AIMessage)
    with pytest.raises(Unusable) as caught:
        heard_in(answer)
    assert str(caught.value) == why
    assert one._failures == 0, "it answers"
    assert ModelCall(answer=answer.model_dump()).model_dump_json(), "it can be kept"


class Number(BaseModel):
    number: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Number.model_validate({"text": "x"})
    return caught.value


class Broken(BaseChatModel):
    """A client that raises what others raise."""

    error: Any

    @property
    def _llm_type(self) -> str:
        return "broken"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, *_: Any, **__: Any) -> Any:
        raise self.error


def with_status(**known: Any) -> Exception:
    error = RuntimeError(SECRET)
    for name, value in known.items():
        setattr(error, name, value)
    return error


CANNOT_READ = "what the provider answers cannot be read (RuntimeError)"


@pytest.mark.parametrize(
    ("error", "status", "again", "why"),
    [
        (with_status(status_code=-1), None, False, CANNOT_READ),
        (with_status(status_code=200), None, False, CANNOT_READ),
        (with_status(code="429"), None, False, CANNOT_READ),
        (with_status(code=lambda: 5), None, False, CANNOT_READ),
        (with_status(code=503), 503, True, "the provider answers with the status 503"),
        (with_status(code="overloaded", status_code=529), 529, True, "the provider answers with the status 529"),
        (with_status(response=httpx.Response(401)), 401, False, "the provider refuses the key"),
        (with_status(response={"status": 500}), None, False, CANNOT_READ),
        (with_status(status_code=429, type="insufficient_quota"), 429, False, "the provider's quota is used up"),
        (httpx.ReadTimeout(SECRET), None, True, "the provider cannot be reached"),
        (httpx.RemoteProtocolError(SECRET), None, True, "the provider cannot be reached"),
        (ConnectionResetError(SECRET), None, True, "the provider cannot be reached"),
        (RecursionError(SECRET), None, False, "what the provider answers cannot be read (RecursionError)"),
        (invalid(), None, False, "what the provider answers cannot be read (ValidationError)"),
    ],
)
def test_errors_of_other_clients(error: Exception, status: int | None, again: bool, why: str) -> None:
    assert (status_of(error), passes(error), reason(error)) == (status, again, why)
    assert wanted(error) is None


async def test_a_timeout_that_a_client_raises_itself() -> None:
    one = Asker(Broken(error=TimeoutError(SECRET)), [], patience=20)
    assert await unanswered(one) == "no answer came within 20 seconds"


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (FINE, ""),
        (Status(401), "The model openai:any does not answer: the provider refuses the key."),
        (Status(404), "The model openai:any does not answer: the provider does not know this model, or its address is wrong."),
        (Garbage(), "The model openai:any does not answer: what the provider answers cannot be read (JSONDecodeError)."),
        (Hang(), "The model openai:any does not answer: no answer came within 0.4 seconds."),
        (Empty(), "The model openai:any answers without calling the tool as it was asked to (it is empty)."),
    ],
)
async def test_a_probe_says_what_is_wrong(item: Item, wrong: str) -> None:
    async with running_model([item]) as server:
        known = {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": server.url, "SIGNOFF_MODEL_TIMEOUT": "0.4"}
        assert await probe(configured_listener(known)) == wrong
