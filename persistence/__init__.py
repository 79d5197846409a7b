"""Where sessions, approvals and tickets are kept: PostgreSQL, and nothing else."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.ports import ApprovalRecord as ApprovalRecord
    from persistence.approvals import ApprovalStore as ApprovalStore


def __getattr__(name: str) -> Any:
    """Gives the public names when they are first asked for, so that starting a server need not wait for SQLAlchemy."""
    if name == "ApprovalStore":
        from persistence.approvals import ApprovalStore

        return ApprovalStore
    if name == "ApprovalRecord":
        from agent.ports import ApprovalRecord

        return ApprovalRecord
    raise AttributeError(name)
