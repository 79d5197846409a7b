"""What a surface beside the terminal needs: where cards and answers stand, when effects are due, and settings of places."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds columns and one table."""
    op.add_column("inbox", sa.Column("surface", sa.Text, nullable=True))
    previews: list[sa.Column[object]] = [
        sa.Column("people", sa.Text, nullable=True),
        sa.Column("message", sa.Text, nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest", sa.Text, nullable=True),
    ]
    for column in previews:
        op.add_column("previews", column)
    effects: list[sa.Column[object]] = [
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("problem", sa.Text, nullable=True),
    ]
    for column in effects:
        op.add_column("effects", column)
    op.create_index("effects_open", "effects", ["session_id", "id"], postgresql_where=sa.text("done_at IS NULL"))
    op.create_index("approval_history_of_session", "approval_history", ["session_id"])
    op.create_index("sessions_of_place", "sessions", ["session_id"], postgresql_ops={"session_id": "text_pattern_ops"})
    op.create_table(
        "comments",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("key", "author", "text")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    )
    op.create_table(
        "places",
        sa.Column("place", sa.Text, primary_key=True),
        sa.Column("setting", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    )
