"""`python -m tests.protocol`: explores the protocol and prints how much there is of it; see `scripts/check_protocol`."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from rich.console import Console
from rich.table import Table

from tests.measures import measured
from tests.protocol.checker import Report, explore, in_words
from tests.protocol.model import Bounds, Machine
from tests.protocol.scenarios import LARGE, QUICK, SMALL
from tests.protocol.variants import HARMLESS, SEEDED, Asked, Variant, alters, mutants, rows

WORKERS = 2
FATES = ("caught", "same", "harmless")
"""What becomes of a mutant: it is found out, does what the program does, or breaks nothing."""


def explored(scenarios: dict[str, Bounds], console: Console) -> dict[str, Report]:
    """Explores the program's own tables, some scenarios at a time, and prints what was found."""
    with ProcessPoolExecutor(WORKERS) as pool, console.status("exploring: some minutes"):
        reports = dict(zip(scenarios, pool.map(_explored, scenarios.values()), strict=True))
    table = Table("scenario", "states", "transitions", "depth", "seconds", "found")
    for name, report in reports.items():
        cells = f"{report.states:,}", f"{report.transitions:,}", str(report.depth), f"{report.seconds:.1f}"
        found = f"{report.invariant}: {report.wrong}" if report.wrong else "nothing" if report.complete else "not complete"
        table.add_row(name, *cells, found)
    console.print(table)
    for name, report in reports.items():
        numbers = {one: getattr(report, one) for one in ("states", "transitions", "depth")}
        measured("protocol", scenario=name, **numbers, seconds=round(report.seconds, 1), found=report.wrong)
        if report.trace:
            console.print(f"\n{name}: {report.invariant}, {report.wrong}")
        for line in in_words(report.trace):
            console.print(f"  {line}", highlight=False, markup=False)
    if (unused := unused_in(reports)) and not any(report.wrong for report in reports.values()):
        console.print(f"rows that nothing leads to: {', '.join(f'{table}: {row}' for table, row in sorted(unused))}")
    return reports


def unused_in(reports: dict[str, Report]) -> set[tuple[str, str]]:
    """The rows that nothing led to, by table and name."""
    return rows() - set().union(*(report.used for report in reports.values()))


def _explored(bounds: Bounds) -> Report:
    return explore(Machine(bounds=bounds))


def tried(variants: Iterable[Variant]) -> Iterator[tuple[Variant, Report | None]]:
    """Each variant with the report that catches it; None if the program does the same wherever it comes to."""
    with ProcessPoolExecutor(WORKERS) as pool:
        known = list(pool.map(_asked, SMALL.values()))
        given = list(variants)
        yield from zip(given, pool.map(partial(tries, known=known), given, chunksize=4), strict=True)


def tries(variant: Variant, known: Sequence[Asked] = ()) -> Report | None:
    """What the first scenario finds that finds anything; None if none differs from the program's own, by what that asks."""
    report = None
    for n, bounds in enumerate(SMALL.values()):
        if known and not alters(variant, known[n]):
            continue  # it is explored already
        report = explore(Machine(variant.tables, variant.ways, bounds), variant.invariants)
        if report.wrong:
            break
    return report


def _asked(bounds: Bounds) -> Asked:
    return _explored(bounds).asked


def main(arguments: list[str] | None = None) -> int:
    """Prints what is found; the exit code is 1 if anything is that should not be."""
    parser = argparse.ArgumentParser(prog="check_protocol", description="Explores the protocol's tables, breadth first.")
    parser.add_argument("--quick", action="store_true", help="as far as the tests go")
    parser.add_argument("--mutants", action="store_true", help="tries every mutant of every row, too")
    chosen = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    reports = explored(QUICK if chosen.quick else LARGE, console)
    failed = any(report.wrong or not report.complete for report in reports.values()) or bool(unused_in(reports))
    caught = 0
    console.print("\nWhat is known to be wrong, and how it is caught:")
    for variant in SEEDED:
        report = tries(variant)
        assert report
        caught += bool(report.wrong)
        console.print(f"\n{variant.name}: {report.invariant}, {report.wrong}" if report.wrong else f"\n{variant.name}: MISSED")
        for line in in_words(report.trace):
            console.print(f"  {line}", highlight=False, markup=False)
    failed |= caught < len(SEEDED)
    measured("variants", seeded=len(SEEDED), caught=caught)
    if chosen.mutants:
        count = Counter[str]()
        for variant, report in tried(mutants()):
            fate = "caught" if report and report.wrong else "harmless" if report else "same"
            count[fate] += 1
            why = HARMLESS.get(variant.name, "")
            failed |= (fate == "harmless") != bool(why)
            if fate == "harmless" or why:
                console.print(f"{fate}: {variant.name}{why and ': '}{why}", highlight=False, markup=False)
        console.print(f"mutants: {dict(count)}")
        measured("mutants", tried=count.total(), **{fate: count[fate] for fate in FATES})
    console.print("\nSomething is wrong: see above." if failed else "\nAll is well.")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
