"""That each row of the protocol is needed: some minutes, so that CI leaves it to `./scripts/check_protocol --mutants`."""

from tests.protocol.__main__ import tried
from tests.protocol.variants import HARMLESS, mutants


def test_no_row_can_be_dropped() -> None:
    dropped = [variant for variant in mutants() if variant.name.endswith(": dropped")]
    missed = {variant.name for variant, report in tried(dropped) if not (report and report.wrong)}
    assert missed == {name for name in HARMLESS if name.endswith(": dropped")}
