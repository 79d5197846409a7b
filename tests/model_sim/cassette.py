"""Answers in a file, by the request that they were given to: a line of JSON each."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.model_sim.answers import KINDS, After, Call, Calls, Item, Json, Status


def digest(request: Json) -> str:
    """What tells requests apart: the messages and the tools. The model and its settings do not count."""
    known = {"messages": request.get("messages"), "tools": request.get("tools")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class Cassette:
    """A script that plays what was recorded: several answers to one request in their order, the last one for ever."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[str, list[Item]] = {}
        for line in path.read_text("utf-8").splitlines():
            kept = json.loads(line)
            self._answers.setdefault(kept["request"], []).append(_from_json(kept["answer"]))

    def __call__(self, request: Json) -> Item:
        if not (answers := self._answers.get(digest(request))):
            last = str(request["messages"][-1].get("content"))[:200]
            why = f"{self._path.name} holds no answer to the request {digest(request)}, which ends in {last!r}: record it"
            return Status(404, {"error": {"message": why, "type": "invalid_request_error", "param": None, "code": "unknown"}})
        return answers.pop(0) if len(answers) > 1 else answers[0]


def record(path: Path, script: Sequence[Item] | Callable[[Json], Item]) -> Callable[[Json], Item]:
    """A script that answers as the given one does, and writes a new cassette of that."""
    path.write_text("", "utf-8")
    answers = script if callable(script) else in_order(script)

    def answer(request: Json) -> Item:
        item = answers(request)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"request": digest(request), "answer": _to_json(item)}, ensure_ascii=False) + "\n")
        return item

    return answer


def in_order(items: Sequence[Item]) -> Callable[[Json], Item]:
    """One item for each request, the last one for ever."""
    left = [*items]
    if not left:
        raise ValueError("a script has at least one answer")
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def _to_json(item: Item) -> Json:
    if isinstance(item, After):
        return {"kind": "After", "seconds": item.seconds, "item": _to_json(item.item)}
    return {"kind": type(item).__name__, **asdict(item)}  # type: ignore[arg-type]


def _from_json(kept: Json) -> Any:
    kind, values = KINDS[kept["kind"]], {name: value for name, value in kept.items() if name != "kind"}
    if kind is After:
        values["item"] = _from_json(values["item"])
    if kind is Calls:
        values["calls"] = [Call(**call) for call in values["calls"]]
    return kind(**values)
