"""`signoff chat` with a model behind real HTTP: it listens, dies in mid-thread and comes back, and can be replayed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.model_sim import Call, Item, Model, Status, Text, model_in_thread
from tests.processes import Forker, Signoff

HELLO = Call("update_draft", {"intent": "small_talk", "operations": []})
"""What the probe at the start gets."""


def _new(request: dict[str, Any]) -> list[dict[str, Any]]:
    new: list[dict[str, Any]] = json.loads(request["messages"][1]["content"])["new"]
    return new


def listens(request: dict[str, Any]) -> Item:
    """Writes down, of each new message, what stands behind *title is*, *it is wrong that* and *on*."""
    operations = []
    for message in _new(request):
        for field, cue in (("title", "title is "), ("problem", "it is wrong that "), ("environment", "on ")):
            _, found, said = message["text"].partition(cue)
            if found:
                value = said.partition(",")[0]
                operations.append(_set(field, value, cue + value, message["id"]))
        if "it is wrong" in message["text"]:
            operations.append(_set("issue_type", "bug", "wrong", message["id"]))
    return Call("update_draft", {"intent": "information", "operations": operations})


def _set(field: str, value: str, quote: str, message: str) -> dict[str, Any]:
    return {"op": "set", "field": field, "value": value, "quote": quote, "message": message}


def environ(model: Model) -> dict[str, str]:
    return {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": model.url, "SIGNOFF_MODEL_TIMEOUT": "5"}


def chat(signoff: Forker, dsn: str, model: Model, session: str) -> Signoff:
    return signoff.start(dsn, "chat", "--json", "--as", "ann", "--session", session, environ=environ(model))


SAID = "so the title is export fails, it is wrong that it ends with 500"


def test_people_talk_and_the_ticket_is_what_they_said(signoff: Forker, dsn: str) -> None:
    with model_in_thread(listens) as model, chat(signoff, dsn, model, "talk") as ann:
        ann.send(SAID)
        card = ann.wait_for("preview")
        assert (card["sealed"]["title"], card["sealed"]["type"]) == ("export fails", "bug")
        assert card["sealed"]["fields"]["problem"] == "it ends with 500"
        assert card["unsaid"] == []
        assert model.count == 2, "one for the probe, one for the message"
        ann.send("/approve")
        ann.wait_for("filed")
        assert (ann.wait(), ann.stderr) == (0, "")


def test_a_provider_that_dies_in_mid_thread_loses_nothing(signoff: Forker, dsn: str) -> None:
    alive = True

    def sometimes(request: dict[str, Any]) -> Item:
        return listens(request) if alive else Status(400)

    with model_in_thread(sometimes) as model, chat(signoff, dsn, model, "dies") as ann:
        ann.send(SAID)
        ann.wait_for("preview")
        alive = False
        ann.send("we saw it on staging, too")
        assert "guided interview" in ann.wait_for("say")["text"]
        ann.send("Priority: high")
        assert ann.wait_for("preview", 2)["sealed"]["fields"]["priority"] == "high"
        assert ann.of_kind("preview")[-1]["unread"] == 1
        alive = True
        ann.wait()
        with chat(signoff, dsn, model, "dies") as again:  # a new process has not been refused yet
            again.send("so?")
            assert again.wait_for("preview", 2)["sealed"]["fields"]["environment"] == "staging"
            again.send("/approve")
            assert again.wait_for("filed")["key"] == "LOCAL-1"


@pytest.mark.parametrize(
    ("item", "told"),
    [(Status(401), "refuses the key"), (Status(404), "does not know this model"), (Text("Hi"), "calls no tool")],
)
def test_what_is_wrong_with_the_model_is_said_at_the_start(signoff: Forker, dsn: str, item: Item, told: str) -> None:
    with model_in_thread([item]) as model:
        with chat(signoff, dsn, model, "probe") as ann:
            ann.send("Title: t\\nProblem: p\\nAcceptance criteria: a")
            ann.wait_for("preview")
            assert ann.wait() == 0
            assert told in ann.stderr
            assert "guided interview" in ann.stderr
        doctor = signoff.start(dsn, "doctor", "--json", script="", environ=environ(model))
        doctor.wait()
        [check] = [check for check in doctor.shows if check["check"] == "model"]
        assert (check["status"], told in check["found"]) == ("wrong", True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"SIGNOFF_MODEL": "gpt-5"}, "write provider:model"),
        ({"SIGNOFF_MODEL": "nobody:any"}, "SIGNOFF_MODEL"),
        ({"SIGNOFF_MODEL": "openai:any", "OPENAI_API_KEY": ""}, "OPENAI_API_KEY is not set"),
        ({"SIGNOFF_MODEL": "anthropic:any", "ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY is not set"),
        ({"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": "junk"}, "SIGNOFF_MODEL_URL"),
        ({"SIGNOFF_MODEL": "openai:any", "OPENAI_API_KEY": "k", "SIGNOFF_MODEL_TIMEOUT": "never"}, "SIGNOFF_MODEL_TIMEOUT"),
        ({"SIGNOFF_MODEL": "openai:any", "OPENAI_API_KEY": "k", "SIGNOFF_MODEL_BUDGET": "-1"}, "SIGNOFF_MODEL_BUDGET"),
    ],
)
def test_a_model_that_cannot_be_used_is_told_in_a_sentence(signoff: Forker, dsn: str, given: dict[str, str], told: str) -> None:
    ended = signoff.start(dsn, "chat", "--json", script="hello\n", environ=given)
    assert ended.wait() == 2
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_what_a_model_read_is_replayed_without_one_and_read_anew_by_another(
    signoff: Forker, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_in_thread(listens) as model:
        with chat(signoff, dsn, model, "kept") as ann:
            ann.send(SAID)
            ann.wait_for("preview")
            ann.send("/approve")
            ann.wait_for("filed")
            ann.wait()
        kept = tmp_path / "kept.jsonl"
        kept.write_text(signoff.run(dsn, "export", "kept").stdout)
        assert json.loads(kept.read_text().splitlines()[0])["overhears"]
        count = model.count
        assert signoff.run(dsn, "replay", str(kept)).status == 0
        assert model.count == count, "a replay asks nobody"
        same = signoff.start(dsn, "replay", "--live", str(kept), script="", environ=environ(model))
        assert (same.wait(), model.count) == (0, count + 1)

    def otherwise(request: dict[str, Any]) -> Item:
        [new] = _new(request)
        operations = [_set("title", "it ends with 500", "it ends with 500", new["id"])]
        return Call("update_draft", {"intent": "information", "operations": operations})

    with model_in_thread(otherwise) as model:
        other = signoff.start(dsn, "replay", "--live", str(kept), script="", environ=environ(model))
        assert other.wait() == 1
        assert [line for line in other.stdout.splitlines() if line.startswith("  title")] == ["  title, at event 2"]
        assert "recorded export fails" in other.stdout
        assert "today    it ends with 500" in other.stdout
    with model_in_thread([Status(401)]) as model:
        none = signoff.start(dsn, "replay", "--live", str(kept), script="", environ=environ(model))
        assert none.wait() == 1
        assert "the model did not read it: the provider refuses the key" in none.stdout
    without = signoff.run(dsn, "replay", "--live", str(kept))
    assert (without.status, "set SIGNOFF_MODEL" in without.stderr) == (2, True)


def test_it_is_this_one_links_and_files_nothing(signoff: Forker, dsn: str) -> None:
    complete = "Title: Export of {} fails\\nProblem: The export of invoices ends with 500.\\nAcceptance criteria: it ends well"
    first = signoff.run(dsn, "chat", "--json", script=f"{complete.format('invoices')}\n/approve\n")
    assert [show["key"] for show in first.of_kind("filed")] == ["LOCAL-1"]
    with signoff.start(dsn, "chat", "--json", "--as", "bob", "--session", "same") as bob:
        bob.send(complete.format("invoices again"))
        similar = bob.wait_for("similar")
        assert [ticket["key"] for ticket in similar["tickets"]] == ["LOCAL-1"]
        bob.wait_for("preview")
        bob.send("/same LOCAL-9")
        assert bob.wait_for("decision")["row"] == "unlinked"
        bob.send("/same LOCAL-1")
        assert bob.wait_for("decision", 2)["status"] == "rejected"
        assert "It is LOCAL-1, which is linked" in bob.wait_for("say", 2)["text"]
        bob.send("/approve")
        assert bob.wait_for("decision", 3)["status"] != "approved"
        bob.wait()
    assert len(signoff.run(dsn, "tickets", "--json").shows) == 1
    shown = signoff.run(dsn, "tickets", "show", "LOCAL-1").stdout
    assert "is said there to be this ticket" in shown
