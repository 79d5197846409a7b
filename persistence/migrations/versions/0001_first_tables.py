"""The first tables, and procrastinate's own as of 3.10."""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None


def _at(name: str = "at") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def upgrade() -> None:
    """Creates everything."""
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
        *_texts("state", "pending", nullable=True),
        sa.Column("checkpoint", sa.LargeBinary, nullable=True),
        _at(),
    )
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.Text, primary_key=True),
        *_texts("session_id"),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *_texts("origin", "kind", "body"),
        *_texts("verdict", nullable=True),
        _at(),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        *_texts("outcome", nullable=True),
        sa.UniqueConstraint("session_id", "seq"),
    )
    op.create_index("inbox_unprocessed", "inbox", ["session_id", "seq"], postgresql_where=sa.text("processed_at IS NULL"))
    op.create_table(
        "previews",
        sa.Column("preview_id", sa.Text, primary_key=True),
        *_texts("session_id", "draft_hash"),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        *_texts("status"),
        _at(),
    )
    op.create_index("previews_one_open", "previews", ["session_id"], unique=True, postgresql_where=sa.text("status = 'open'"))
    op.create_index("previews_by_hash", "previews", ["session_id", "draft_hash"])
    decision = ("status", "approved_by", "preview_id", "event_id")
    op.create_table(
        "approvals",
        *_texts("session_id", "draft_hash", *decision),
        _at(),
        sa.PrimaryKeyConstraint("session_id", "draft_hash"),
    )
    op.create_table(
        "approval_history",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        *_texts("session_id", "draft_hash", *decision),
        _at(),
    )
    op.create_table(
        "filings",
        *_texts("session_id", "draft_hash", "marker", "status", "origin"),
        *_texts("key", "url", "reason", nullable=True),
        _at(),
        sa.PrimaryKeyConstraint("session_id", "draft_hash"),
        sa.UniqueConstraint("marker"),
        sa.ForeignKeyConstraint(["session_id", "draft_hash"], ["approvals.session_id", "approvals.draft_hash"]),
    )
    op.create_table(
        "effects",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        *_texts("key", "session_id", "origin", "body"),
        _at(),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("key"),
    )
    op.create_index("effects_of_session", "effects", ["session_id", "id"])
    op.create_table(
        "model_calls",
        *_texts("event_id"),
        sa.Column("ordinal", sa.Integer, nullable=False),
        *_texts("digest"),
        sa.Column("characters", sa.Integer, nullable=False),
        *_texts("answer"),
        sa.PrimaryKeyConstraint("event_id", "ordinal"),
    )
    op.create_table(
        "tickets",
        sa.Column("marker", sa.Text, primary_key=True),
        *_texts("project"),
        sa.Column("number", sa.Integer, nullable=False),
        *_texts("draft_hash"),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _at("filed_at"),
        sa.UniqueConstraint("project", "number"),
    )
    # psycopg's own cursor: SQLAlchemy would take the schema's percent signs and colons for parameters
    cursor = op.get_bind().connection.cursor()
    cursor.execute(SchemaManager.get_schema())
    cursor.close()
