"""`python -m tests.protocol`: explores the protocol and prints how much there is of it; see `scripts/check_protocol`."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.table import Table

from tests.protocol.checker import Report, explore, in_words
from tests.protocol.model import Bounds, Machine
from tests.protocol.scenarios import LARGE, QUICK, SMALL
from tests.protocol.variants import SEEDED, Variant, alters, mutants, rows

WORKERS = 2


def explored(scenarios: dict[str, Bounds], console: Console) -> dict[str, Report]:
    """Explores the program's own tables, some scenarios at a time, and prints what was found."""
    with ProcessPoolExecutor(WORKERS) as pool:
        reports = dict(zip(scenarios, pool.map(_explored, scenarios.values()), strict=True))
    table = Table("scenario", "states", "transitions", "depth", "seconds", "found")
    for name, report in reports.items():
        cells = f"{report.states:,}", f"{report.transitions:,}", str(report.depth), f"{report.seconds:.1f}"
        found = f"{report.invariant}: {report.wrong}" if report.wrong else "nothing" if report.complete else "not complete"
        table.add_row(name, *cells, found)
    console.print(table)
    for report in reports.values():
        for line in in_words(report.trace):
            console.print(f"  {line}", highlight=False, markup=False)
    if unused := rows() - set().union(*(report.used for report in reports.values())):
        console.print(f"rows that nothing leads to: {', '.join(f'{table}: {row}' for table, row in sorted(unused))}")
    return reports


def _explored(bounds: Bounds) -> Report:
    return explore(Machine(bounds=bounds))


def tried(variants: Iterable[Variant]) -> Iterator[tuple[Variant, Report]]:
    """Each variant with the scenario that catches it, or with the last one."""
    with ProcessPoolExecutor(WORKERS) as pool:
        given = list(variants)
        yield from zip(given, pool.map(tries, given), strict=True)


def tries(variant: Variant) -> Report:
    """What the first scenario finds that finds anything."""
    report = Report()
    for bounds in SMALL.values():
        report = explore(Machine(variant.tables, variant.ways, bounds), variant.invariants, limit=400_000)
        if report.wrong:
            break
    return report


def main(arguments: list[str] | None = None) -> int:
    """Prints what is found; the exit code is 1 if anything is that should not be."""
    parser = argparse.ArgumentParser(prog="check_protocol", description="Explores the protocol's tables, breadth first.")
    parser.add_argument("--quick", action="store_true", help="as far as the tests go")
    parser.add_argument("--mutants", action="store_true", help="tries every mutant of every row, too")
    chosen = parser.parse_args(arguments)
    console = Console()
    reports = explored(QUICK if chosen.quick else LARGE, console)
    failed = any(report.wrong for report in reports.values())
    for variant, report in tried(SEEDED):
        failed |= not report.wrong
        console.print(f"\n{variant.name}: {report.invariant}, {report.wrong}" if report.wrong else f"\n{variant.name}: MISSED")
        for line in in_words(report.trace):
            console.print(f"  {line}", highlight=False, markup=False)
    if chosen.mutants:
        others = [one for one in mutants() if alters(one, [report.asked for report in reports.values()])]
        same = len(list(mutants())) - len(others)
        found = list(tried(others))
        for variant, report in found:
            if not report.wrong:
                console.print(f"not caught: {variant.name}", highlight=False, markup=False)
        caught = sum(bool(report.wrong) for _, report in found)
        console.print(f"{caught} mutants caught, {len(others) - caught} not; {same} say the same wherever they are asked")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
