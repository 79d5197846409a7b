"""The approvals: one record for each sealed ticket of a session, and the first decision stands."""

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.ports import ApprovalRecord
from persistence.tables import approvals


class ApprovalStore:
    """Reads and writes approvals on the caller's connection, so that they commit with the turn that made them."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record_approval(
        self,
        session_id: str,
        draft_hash: str,
        approved_by: str,
        status: Literal["approved", "rejected"],
        *,
        preview_id: str = "",
        event_id: str = "",
        name: str = "",
        thread: str = "",
    ) -> bool:
        """Puts a decision on record; False if there is one already, which is left as it is."""
        record = ApprovalRecord(
            session_id=session_id,
            draft_hash=draft_hash,
            approved_by=approved_by,
            status=status,
            preview_id=preview_id,
            event_id=event_id,
            name=name,
            thread=thread,
        )
        row = record.model_dump(exclude={"decided_at"})
        new = postgresql.insert(approvals).values(row).on_conflict_do_nothing().returning(approvals.c.draft_hash)
        return (await self._connection.execute(new)).first() is not None

    async def get_approval(self, session_id: str, draft_hash: str) -> ApprovalRecord | None:
        """The decision on record for this sealed ticket."""
        wanted = (approvals.c.session_id == session_id) & (approvals.c.draft_hash == draft_hash)
        return next(iter(await self._records(wanted)), None)

    async def get_approver(self, session_id: str, draft_hash: str) -> str | None:
        """Who approved this sealed ticket; None if nobody did."""
        record = await self.get_approval(session_id, draft_hash)
        return record.approved_by if record and record.status == "approved" else None

    async def get_session_approvals(self, session_id: str) -> Sequence[ApprovalRecord]:
        """All decisions on record for a session, the oldest first."""
        return await self._records(approvals.c.session_id == session_id)

    async def _records(self, wanted: object) -> list[ApprovalRecord]:
        rows = await self._connection.execute(select(approvals).where(wanted).order_by(approvals.c.at))  # type: ignore[arg-type]
        return [ApprovalRecord.model_validate({**row, "decided_at": row["at"]}) for row in rows.mappings()]
