"""What trackers beside our own need: when a filing is due, how often it was tried, and what a ticket says of its approval."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds columns; what is on its way is due at once."""
    for table in ("approvals", "approval_history"):
        for name in ("name", "thread"):
            op.add_column(table, sa.Column(name, sa.Text, nullable=False, server_default=""))
    filings: list[sa.Column[object]] = [
        sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True, server_default=sa.func.clock_timestamp()),
        sa.Column("looks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("doubted", sa.Boolean, nullable=False, server_default=sa.false()),
    ]
    for column in filings:
        op.add_column("filings", column)
    op.execute("UPDATE filings SET due_at = NULL, since = at WHERE status IN ('filed', 'failed')")
    op.execute("UPDATE filings SET asked_at = at, doubted = true, since = at WHERE status = 'unknown'")
    op.create_index("filings_due", "filings", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index("filings_by_key", "filings", ["key"])
    op.add_column("tickets", sa.Column("receipt", sa.Text, nullable=True))
