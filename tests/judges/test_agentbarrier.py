"""AgentBarrier, a judge that nobody here wrote: all of its checks, and which of them notice what."""

from agentbarrier import RunnerOptions, SuiteRunner

from persistence.database import Database
from tests.judges.barrier import SignoffAdapter, Worker
from tests.judges.sentinel import running_sentinel

CHECKS = (
    "approval_hold", "rejection", "argument_binding", "replay", "outcome_ambiguity", "outcome_reconciliation", "cancellation",
    "timeout", "parallel_barrier", "delegation", "audit_receipts",
)  # fmt: skip

ANSWERS_WITHIN = 2.0
"""Seconds that the tracker has to answer; half a minute elsewhere."""


async def test_all_checks_of_agentbarrier_pass(database: Database, dsn: str) -> None:
    options = RunnerOptions(
        settle_seconds=0.3, operation_timeout_seconds=30, tool_timeout_seconds=ANSWERS_WITHIN, strict_skips=True
    )
    async with running_sentinel() as github:
        worker = Worker(dsn, github, ANSWERS_WITHIN)
        try:
            result = await SuiteRunner(options).verify(SignoffAdapter(database, github, worker))
        finally:
            await worker.kill()
    found = {one.scenario_id: (one.status.value, one.detail) for one in result.results}
    assert found == dict.fromkeys(CHECKS, ("passed", None))
