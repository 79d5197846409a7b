"""The real client takes the simulator for what it plays; what comes out of that client is what `agent.asking` reads."""

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from agent.model import configured_listener
from skills.update_draft import update_draft
from tests.model_sim import (
    After,
    BadArguments,
    Call,
    Calls,
    Cassette,
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
    Script,
    Status,
    Text,
    digest,
    model_in_thread,
    record,
    running_model,
)

NOTHING: dict[str, Any] = {"intent": "small_talk", "operations": []}
TALK = [SystemMessage("Keep the draft."), HumanMessage("Hello, the export fails.")]


def client(server: Model, seconds: str = "5") -> BaseChatModel:
    """The client as the agent builds it."""
    return configured_listener(
        {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": server.url, "SIGNOFF_MODEL_TIMEOUT": seconds}
    ).model


async def answered(item: Item, *, stream: bool = False) -> AIMessage:
    async with running_model([item]) as server:
        model = client(server)
        if stream:
            model.disable_streaming = False
            pieces = [piece async for piece in model.bind_tools([update_draft]).astream(TALK)]
            whole: Any = pieces[0]
            for piece in pieces[1:]:
                whole = whole + piece
            assert len(pieces) > 2
        else:
            whole = await model.bind_tools([update_draft]).ainvoke(TALK)
        assert server.count == 1
        assert bool(server.requests[0].get("stream")) is stream
    assert isinstance(whole, AIMessage)
    return whole


async def failed(item: Item, seconds: str = "5") -> Exception:
    async with running_model([item]) as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, the tests say
            await client(server, seconds).bind_tools([update_draft]).ainvoke(TALK)
        assert server.count == 1, "the client itself tries once"
    return caught.value


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_calls(stream: bool) -> None:
    args = {"intent": "information", "operations": [{"op": "set", "field": "title", "value": ["Größe 📏"], "quote": "x" * 99}]}
    answer = await answered(Call("update_draft", args), stream=stream)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("update_draft", args)]
    assert answer.content == ""
    several = await answered(Calls([Call("update_draft", args), Call("approve")]), stream=stream)
    assert [(call["name"], call["args"]) for call in several.tool_calls] == [("update_draft", args), ("approve", {})]
    assert len({call["id"] for call in several.tool_calls}) == 2


async def test_words(stream: bool) -> None:
    assert (await answered(Text("Hello, who are you? " * 9), stream=stream)).content == "Hello, who are you? " * 9
    assert len((await answered(Enormous(300_000), stream=stream)).text) == 300_000


async def test_usage_is_counted_but_in_a_stream_only_if_it_is_asked_for() -> None:
    usage = (await answered(Call("update_draft", NOTHING))).usage_metadata
    assert usage
    assert usage["input_tokens"] == sum(len(str(one.content)) for one in TALK) // 4
    assert usage["output_tokens"] > 10
    streamed = await answered(Call("update_draft", NOTHING), stream=True)
    assert streamed.usage_metadata is None, "this client does not ask a server of one's own: one reason not to stream"
    async with running_model([Call("update_draft", NOTHING)]) as server:
        model: Any = client(server)
        model.disable_streaming, model.stream_usage = False, True
        [*_, last] = [piece.usage_metadata async for piece in model.astream(TALK) if piece.usage_metadata]
        assert last == usage
    async with running_model([Text("hi")], counts=False) as server:
        assert (await client(server).ainvoke(TALK)).usage_metadata is None


async def test_the_client_never_streams_whoever_runs_it() -> None:
    async with running_model([Text("Hello, who are you? " * 9)]) as server:
        assert [piece.text async for piece in client(server).astream(TALK) if piece.text] == ["Hello, who are you? " * 9]
        assert not server.requests[0].get("stream")


async def test_a_refusal_is_beside_the_content() -> None:
    answer = await answered(Refusal("I won't."))
    assert (answer.content, answer.tool_calls, answer.additional_kwargs) == ("", [], {"refusal": "I won't."})


async def test_an_empty_answer() -> None:
    answer = await answered(Empty())
    assert (answer.content, answer.tool_calls, answer.invalid_tool_calls) == ("", [], [])


@pytest.mark.parametrize("item", [Partial(), BadArguments("{'intent': 1}"), BadArguments("[" * 100_000)])
async def test_arguments_that_are_no_json_are_an_invalid_call(item: Item) -> None:
    answer = await answered(item)
    assert answer.tool_calls == []
    assert [call["name"] for call in answer.invalid_tool_calls] == ["update_draft"]


@pytest.mark.parametrize("arguments", ["", "null", "{}", "[]", "0"])
async def test_arguments_that_are_nothing_are_none(arguments: str) -> None:
    assert [call["args"] for call in (await answered(BadArguments(arguments))).tool_calls] == [{}]


@pytest.mark.parametrize("arguments", ["[1]", "5", '"x"', "NaN", "true"])
async def test_arguments_that_are_no_object_fail_in_the_client(arguments: str) -> None:
    error = await failed(BadArguments(arguments))
    assert type(error).__name__ == "ValidationError"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (402, openai.APIStatusError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
        (302, openai.APIStatusError),
    ],
)
async def test_a_status(code: int, kind: type[openai.APIStatusError]) -> None:
    for body in (None, "a page", {"error": {"message": "no", "type": "x", "param": None, "code": "a_word"}}):
        error = await failed(Status(code, body, {"Retry-After": "7"}))
        assert isinstance(error, kind)
        assert (error.status_code, error.response.status_code, error.response.headers["retry-after"]) == (code, code, "7")
        assert error.code == ("a_word" if isinstance(body, dict) else None), "a string, where there is one"
    error = await failed(Status(code))
    assert "export fails" in str(error), "an error's text may repeat what was sent"


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (Garbage(), json.JSONDecodeError),
        (Garbage(""), json.JSONDecodeError),
        (Garbage(kind="text/html"), ValueError),
        (GarbageStream(), ValueError),
        (NoChoices(), IndexError),
        (Raw({}), TypeError),
        (Raw([]), ValueError),
        (Raw({"error": "Hello, the export fails."}), ValueError),
        (Raw({"choices": [{}]}), AttributeError),
        (Raw({"choices": [{"message": {"role": "assistant", "content": 5}}]}), ValueError),
        (Raw({"choices": [{"message": {"role": "assistant", "tool_calls": [{"id": 1}]}}]}), TypeError),
    ],
)
async def test_what_is_no_answer_fails_with_no_class_of_the_provider(item: Item, kind: type[Exception]) -> None:
    error = await failed(item)
    assert isinstance(error, kind)
    assert not isinstance(error, openai.OpenAIError)
    assert not hasattr(error, "status_code")
    status = getattr(getattr(error, "response", None), "status_code", None)
    assert status == (200 if kind is json.JSONDecodeError else None), "a status that is no failure"


async def test_an_answer_in_another_role_is_no_answer_of_a_model() -> None:
    async with running_model([Raw({"choices": [{"message": {"role": "user", "content": "hi"}}]})]) as server:
        answer: Any = await client(server).ainvoke(TALK)
    assert isinstance(answer, HumanMessage)
    assert not hasattr(answer, "tool_calls")


async def test_a_hang_ends_by_the_clients_timeout_and_a_drip_does_not() -> None:
    began = time.monotonic()
    error = await failed(Hang(), "0.3")
    assert 0.25 < time.monotonic() - began < 2
    assert isinstance(error, openai.APITimeoutError)
    assert isinstance(error, openai.APIConnectionError)
    assert not hasattr(error, "status_code")
    async with running_model([Drip(0.1)]) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client(server, "0.3").ainvoke(TALK)
        await server.until(lambda: not server.under_way, what="who gave up left the request open")


async def test_a_reset() -> None:
    error = await failed(Reset())
    assert isinstance(error, openai.APIConnectionError)
    assert not isinstance(error, openai.APITimeoutError)
    assert not hasattr(error, "status_code")


async def test_a_script_goes_on_with_its_last_item_and_may_be_a_function() -> None:
    async with running_model([Text("one"), Text("two")]) as server:
        assert [(await client(server).ainvoke(TALK)).text for _ in range(3)] == ["one", "two", "two"]
        server.answer(lambda request: Text(request["messages"][-1]["content"].upper()))
        assert (await client(server).ainvoke([HumanMessage("abc")])).text == "ABC"
        assert server.count == 4
        assert server.sizes == [39, 39, 39, 3]
        assert [message["role"] for message in server.requests[0]["messages"]] == ["system", "user"]
        assert server.keys[0] == "none"


async def test_answers_may_be_late() -> None:
    async with running_model([After(0.2, Text("late"))]) as server:
        model, began = client(server), time.monotonic()
        await asyncio.gather(*(model.ainvoke(TALK) for _ in range(3)))
        assert time.monotonic() - began >= 0.2
        assert server.most_at_once == 3


async def test_it_is_strict() -> None:
    async with running_model([Text("hi")]) as server:
        assert isinstance(await _raised(client(server), []), openai.BadRequestError)
        server.url += "/somewhere"
        assert isinstance(await _raised(client(server), TALK), openai.NotFoundError)
        assert server.count == 0


async def _raised(model: BaseChatModel, talk: list[Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - see above
        await model.ainvoke(talk)
    return caught.value


def test_in_a_thread() -> None:
    with model_in_thread([Text("hi"), Hang()]) as server:
        body = json.dumps({"model": "any", "messages": [{"role": "user", "content": "Hello"}]}).encode()
        request = urllib.request.Request(f"{server.url}/chat/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as response:
            assert json.load(response)["choices"][0]["message"]["content"] == "hi"
        assert (server.count, server.sizes) == (1, [5])


RECORDED: list[Item] = [
    Call("update_draft", NOTHING),
    Calls([Call("update_draft", NOTHING), Call("update_draft", NOTHING)]),
    BadArguments("{"),
    Status(401, {"error": {"message": "no"}}, {"x-a": "b"}),
    After(0.01, Text("später")),
    Text("for ever"),
]


async def test_a_cassette_plays_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"

    async def played(script: Script, number: int) -> list[Any]:
        heard: list[Any] = []
        async with running_model(script) as server:
            bound = client(server).bind_tools([update_draft])
            for _ in range(number):
                try:
                    answer = await bound.ainvoke(TALK)
                    heard.append((answer.content, answer.tool_calls, answer.invalid_tool_calls))
                except openai.AuthenticationError as error:
                    heard.append((error.status_code, error.body, error.response.headers["x-a"]))
        return heard

    first = await played(record(path, RECORDED), len(RECORDED))
    assert len(path.read_text().splitlines()) == len(RECORDED)
    second = await played(Cassette(path), len(RECORDED) + 1)
    assert second == [*first, first[-1]]
    async with running_model(Cassette(path)) as server:
        error = await _raised(client(server), [HumanMessage("something else")])
        assert isinstance(error, openai.NotFoundError)
        assert "talk.jsonl holds no answer" in str(error)
        assert digest(server.requests[0])[:16] in str(error)
        assert "something else" in str(error)
