"""Wrong variants of the protocol, each of which must be caught: some by hand, and mutants of every row of every table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args, get_type_hints

from agent import rules
from agent.rules import Effect, Row, first
from tests.protocol.model import Tables, Ways

FACTS: dict[str, Any] = {
    "decisions": rules.Situation,
    "judgements": rules.Click,
    "settlements": rules.Settling,
    "steps": rules.Step,
    "results": rules.Result,
    "moves": rules.Moving,
}
"""The facts of each table."""


ADDED: dict[str, tuple[tuple[Effect, ...], ...]] = {
    "decisions": (("open",),),
    "judgements": (("answer",), ("run",), ("run", "close", "record"), ("intend",)),
    "settlements": (("answer",), ("settle",), ("settle", "run")),
    "steps": (("mark",),),
}
"""Effects that the code executes on any row of a table, alone or together as far as one is nothing without the other."""

Asked = Mapping[str, Mapping[tuple[Any, ...], Row]]
"""What tables were asked, and which row fitted."""
_NONE = Row("", "", "")

HARMLESS = {
    "decisions: filed: with open": "the next ticket starts with no card",
    "decisions: left: with open": "the next ticket starts with no card",
    "decisions: linked: with open": "the next ticket starts with no card",
    "decisions: forgotten: with open": "the next ticket starts with no card",
    "decisions: filing: with open": "what comes back from there is asked about before a card is shown",
    "decisions: nothing: with open": "no card was shown of a draft that holds nothing",
    "decisions: new: with open": "no card was shown before it was looked for such a ticket",
    "judgements: unknown: with run": "there is no card that the graph could be asked about",
    "judgements: unknown: with run, close, record": "there is no card that the graph could be asked about",
    "moves: link again: whatever current": "an attempt before that comes to its end late has the ticket tied somewhat later",
    "moves: lose: filing or unknown": "it is in doubt already, and is looked for from the beginning",
    "moves: put off: filing or intended": "its pause begins anew",
    "results: made: result or found": "what is found is filed by the next row",
    "results: later: result or nothing": "what is not found is looked for again by a row below",
    "results: doubted: result or other": "people are asked about it by the last row",
    "settlements: none: with settle": "there is no filing that could move",
    "settlements: none: with settle, run": "there is no filing that could move",
    "steps: over: only due True": "what is not due rests by a row below",
    "steps: repeat: filing or intended": "it is marked when it is read, by whom does not know the tracker yet",
    "steps: repeat: filing or unknown": "sent again, it is one ticket: that is what the tracker promises",
    "steps: repeat: with mark": "it is on record as sent already, and only what is intended is marked",
    "steps: lost: with mark": "it is on record as sent already, and only what is intended is marked",
    "steps: look: with mark": "it is on record as unknown, and only what is intended is marked",
    "steps: link: with mark": "it is on record as filed, and only what is intended is marked",
}
"""Mutants that break nothing, and why."""


@dataclass(frozen=True)
class Variant:
    """The protocol, done in another way."""

    name: str
    tables: Tables = field(default_factory=Tables)
    ways: Ways = field(default_factory=Ways)
    invariants: tuple[str, ...] = ()
    """What it is to break; none: anything."""


def _with(table: str, name: str, **changed: Any) -> Tables:
    rows = tuple(replace(row, **changed) if row.name == name else row for row in getattr(Tables(), table))
    return replace(Tables(), **{table: rows})


def _search_and_retry() -> Tables:
    """A look in vain is taken for proof, so that the filing is sent again by itself."""
    moves = [row for row in rules.MOVES if row.name != "look again"]
    again = Row("look again", "intended", "", {"move": "put off", "filing": "unknown", "current": True})
    return replace(Tables(), moves=(again, *moves))


SEEDED = (
    Variant("blind retry: whoever finds it sent sends it", _with("steps", "lost", then="send"), invariants=("I3",)),
    Variant("search and retry: what is not found is sent", _search_and_retry(), invariants=("I3",)),
    Variant("check, then act: no fence, and no constraint", ways=Ways(fenced=False, unique=False), invariants=("I2",)),
    Variant("no fence: a turn commits over another", ways=Ways(fenced=False), invariants=("I5",)),
    Variant("scalar resume: an answer goes to whatever is pending", ways=Ways(bound=False), invariants=("I4",)),
    Variant("8 digits of a hash of three fields", ways=Ways(whole_hash=False), invariants=("I1",)),
    Variant("an event is accepted each time it is delivered", ways=Ways(by_key=False), invariants=("I5",)),
)


def mutants() -> Iterator[Variant]:
    """Each row dropped, swapped with each above, given another `then`, without an effect, with one more; each guard dropped,
    flipped, and added; a value more or less in each."""
    for table in FACTS:
        rows: tuple[Row, ...] = getattr(Tables(), table)
        for n, row in enumerate(rows):
            for told, changed in _changed(table, rows, n):
                yield Variant(f"{table}: {row.name}: {told}", replace(Tables(), **{table: changed}))


def _changed(table: str, rows: tuple[Row, ...], n: int) -> Iterator[tuple[str, tuple[Row, ...]]]:
    row, last = rows[n], n == len(rows) - 1
    if not last:
        yield "dropped", (*rows[:n], *rows[n + 1 :])
    for m in range(n):
        yield f"swapped with {rows[m].name}", (*rows[:m], row, *rows[m + 1 : n], rows[m], *rows[n + 1 :])
    for then in dict.fromkeys(other.then for other in rows if other.then != row.then):
        yield f"then {then or 'nothing'}", (*rows[:n], replace(row, then=then), *rows[n + 1 :])
    for effect in row.effects:
        left = tuple(one for one in row.effects if one != effect)
        yield f"without {effect}", (*rows[:n], replace(row, effects=left), *rows[n + 1 :])
    for effects in ADDED.get(table, ()):
        read = row.then != "rest" and (effects != ("intend",) or "record" in row.effects)
        if read and not set(effects) & set(row.effects):
            more = tuple(dict.fromkeys((*row.effects, *effects)))
            yield f"with {', '.join(effects)}", (*rows[:n], replace(row, effects=more), *rows[n + 1 :])
    for name, wanted in row.when.items():
        if (table, name) == ("moves", "move"):
            continue  # the ledger reads a move's rows, whatever else stands in the table
        others = {one: value for one, value in row.when.items() if one != name}
        yield f"whatever {name}", (*rows[:n], replace(row, when=others), *rows[n + 1 :])
        flipped = {**row.when, name: _other(table, name, wanted)}
        yield f"not {name}", (*rows[:n], replace(row, when=flipped), *rows[n + 1 :])
        if len(_values(table, name)) > 2:
            for told, values in _one_more_or_less(table, name, wanted):
                yield f"{name} {told}", (*rows[:n], replace(row, when={**row.when, name: values}), *rows[n + 1 :])
    for name in FACTS[table].__dataclass_fields__ if not last else ():
        for value in _values(table, name) if name not in row.when else ():
            narrower = replace(row, when={**row.when, name: value})
            yield f"only {name} {value or 'none'}", (*rows[:n], narrower, *rows[n + 1 :])


def _one_more_or_less(table: str, name: str, wanted: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    asked = wanted if isinstance(wanted, tuple) else (wanted,)
    for value in asked if len(asked) > 1 else ():
        yield f"not {value or 'none'}", tuple(one for one in asked if one != value)
    others = _other(table, name, wanted)
    for value in others if len(others) > 1 else ():  # with the only other one it is no guard
        yield f"or {value or 'none'}", (*asked, value)


def _values(table: str, name: str) -> tuple[Any, ...]:
    hint = get_type_hints(FACTS[table])[name]
    return (False, True) if hint is bool else get_args(hint)


def _other(table: str, name: str, wanted: Any) -> Any:
    asked = wanted if isinstance(wanted, tuple) else (wanted,)
    return tuple(value for value in _values(table, name) if value not in asked)


def alters(variant: Variant, asked: Asked) -> bool:
    """Whether the variant answers anything otherwise that the program's own tables were asked: if not, it does the same."""
    for table, known in asked.items():
        rows = getattr(variant.tables, table)
        if rows == getattr(Tables(), table):
            continue
        for facts, row in known.items():
            other = next((one for one in rows if first((one, _NONE), FACTS[table](*facts)) is one), _NONE)
            if (other.name, other.then, other.effects) != (row.name, row.then, row.effects):
                return True
    return False


def rows() -> set[tuple[str, str]]:
    """Every row of every table, by the table's name and its own."""
    return {(one.name, row.name) for one in fields(Tables) for row in getattr(Tables(), one.name)}
