"""The tables of `agent.rules` as Markdown and Mermaid, for `docs/protocol.md`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from agent import rules
from agent.rules import Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
BEGIN, END = "<!-- drawn by scripts/pictures.py from agent/rules.py -->", "<!-- drawn until here -->"

TABLES: tuple[tuple[str, Sequence[Row], tuple[str, ...], tuple[str, ...]], ...] = (
    ("DECISIONS", rules.DECISIONS, ("outcome", "closed", "approved"), ("wish", "asked_to_show")),
    ("JUDGEMENTS", rules.JUDGEMENTS, ("card", "standing"), ("act",)),
    ("SETTLEMENTS", rules.SETTLEMENTS, ("filing",), ("act",)),
    ("STEPS", rules.STEPS, ("filing",), ()),
    ("RESULTS", rules.RESULTS, (), ("result",)),
    ("MOVES", rules.MOVES, ("filing",), ("move",)),
)
"""Each table, with the facts that are states and those that are events; the rest are guards."""


def drawn() -> str:
    """All that is drawn."""
    parts = [_effects()]
    for name, rows, states, events in TABLES:
        parts.append(f"### {name}\n\n{_table(rows, states, events)}")
        if name == "DECISIONS":
            parts.append(_mermaid(_decisions()))
        if name == "JUDGEMENTS":
            parts.append(_mermaid(_cards()))
        if name == "MOVES":
            parts.append(_mermaid(_filings()))
    return "\n\n".join(parts)


def with_drawing(document: str) -> str:
    """The document with what is drawn in its place."""
    before, rest = document.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{drawn()}\n\n{END}{after}"


def _effects() -> str:
    lines = [f"| {name} | {what} |" for name, what in rules.EFFECTS.items()]
    return "\n".join(["| effect | what it is |", "|---|---|", *lines])


def _table(rows: Sequence[Row], states: Sequence[str], events: Sequence[str]) -> str:
    lines = ["| | row | state | event | guards | then | effects | why |", "|---|---|---|---|---|---|---|---|"]
    for number, row in enumerate(rows, 1):
        guards = [name for name in row.when if name not in (*states, *events)]
        cells = [_facts(row, [name for name in row.when if name in kind]) for kind in (states, events, guards)]
        effects = ", ".join(row.effects)
        lines.append(f"| {number} | {row.name} | {' | '.join(cells)} | {_word(row.then)} | {effects} | {row.why} |")
    return "\n".join(lines)


def _facts(row: Row, names: Sequence[str]) -> str:
    return ", ".join(_fact(name, row.when[name]) for name in names)


def _fact(name: str, wanted: object) -> str:
    said = name.replace("_", " ")
    if isinstance(wanted, bool):
        return said if wanted else f"not {said}"
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    return f"{said} {' or '.join(map(str, values))}"


def _word(then: str) -> str:
    return f"`{then}`" if then else "nothing"


def _mermaid(lines: Iterator[str]) -> str:
    return "\n".join(["```mermaid", *lines, "```"])


def _decisions() -> Iterator[str]:
    yield "flowchart LR"
    last = len(rules.DECISIONS) - 1
    for number, row in enumerate(rules.DECISIONS):
        if number < last:
            yield f'    d{number}{{"{_facts(row, list(row.when))}?"}} -- "yes: {row.name}" --> {row.then}_(["{row.then}"])'
            following = f"d{number + 1}" if number + 1 < last else f"{rules.DECISIONS[-1].then}_"
            yield f"    d{number} -- no --> {following}"
    yield f'    {rules.DECISIONS[-1].then}_(["{rules.DECISIONS[-1].then}"])'


def _cards() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> open: shown"
    yield "    open --> superseded: another is shown, or the gate is left"
    for row in rules.JUDGEMENTS:
        if "close" in row.effects:
            became = row.name if row.then == "stale" else row.then
            yield f"    open --> {became}: {row.name}"


def _filings() -> Iterator[str]:
    yield "stateDiagram-v2"
    for row in rules.JUDGEMENTS:
        if "intend" in row.effects:
            yield f"    [*] --> intended: {row.name}"
    for row in rules.MOVES:
        states = row.when.get("filing", ())
        for state in states if isinstance(states, tuple) else (states,):
            yield f"    {state} --> {row.then}: {row.name}"
