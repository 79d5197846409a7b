"""The protocol, explored whole within bounds; and that whatever is wrong with it would be found."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.protocol.__main__ import explored, tries, unused_in
from tests.protocol.checker import in_words
from tests.protocol.scenarios import QUICK
from tests.protocol.variants import HARMLESS, SEEDED, Variant, mutants


def test_every_invariant_holds_and_every_row_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        reports = explored(QUICK, Console())
    for name, report in reports.items():
        assert not report.wrong, f"{name}: {report.wrong}\n" + "\n".join(in_words(report.trace))
        assert report.complete
    assert not unused_in(reports)


@pytest.mark.parametrize("variant", SEEDED, ids=lambda variant: variant.name)
def test_what_is_known_to_be_wrong_is_found(variant: Variant) -> None:
    report = tries(variant)
    assert report
    assert report.invariant in variant.invariants
    print(variant.name, *in_words(report.trace), sep="\n  ")


def test_what_is_not_caught_is_told_with_its_reason() -> None:
    page = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    assert {f"- {name}: {why}." for name, why in HARMLESS.items()} == set(page.rsplit("are:\n\n", 1)[1].splitlines())
    assert set(HARMLESS) <= {variant.name for variant in mutants()}
