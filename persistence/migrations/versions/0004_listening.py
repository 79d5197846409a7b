"""What a listening model and similar tickets need: what each call cost, what was found, and what filed tickets are about."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from persistence.migrate import TRIGRAMS, NoTrigrams
from persistence.similar import compared

revision = "0004"
down_revision = "0003"

BATCH = 500

OLD = sa.text(
    """
    SELECT DISTINCT ON (filing.session_id, filing.draft_hash) filing.session_id, filing.draft_hash, preview.sealed
    FROM filings filing JOIN previews preview USING (session_id, draft_hash)
    WHERE (filing.session_id, filing.draft_hash) > (:session_id, :draft_hash)
    ORDER BY filing.session_id, filing.draft_hash LIMIT :batch
    """
)
FILL = sa.text(
    """
    UPDATE filings SET tracker = :tracker, project = :project, title = :title, about = :about
    WHERE session_id = :session_id AND draft_hash = :draft_hash
    """
)


def upgrade() -> None:
    """Adds columns; what was filed before is found, too. Raises NoTrigrams."""
    calls: list[sa.Column[Any]] = [
        *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in ("model", "error")),
        *(
            sa.Column(name, sa.Integer, nullable=False, server_default="0")
            for name in ("input_tokens", "output_tokens", "milliseconds", "dropped")
        ),
    ]
    for column in calls:
        op.add_column("model_calls", column)
    op.add_column("inbox", sa.Column("found", sa.Text, nullable=True))
    for name in ("tracker", "project", "title", "about"):
        op.add_column("filings", sa.Column(name, sa.Text, nullable=False, server_default=""))
    _fill(op.get_bind())
    try:
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {TRIGRAMS}")
        op.create_index("filings_title", "filings", ["title"], postgresql_using="gin", postgresql_ops={"title": "gin_trgm_ops"})
    except sa.exc.DBAPIError as error:
        raise NoTrigrams(str(error.orig).partition("\n")[0].rstrip(". ")) from error
    op.create_index("filings_about", "filings", [sa.text("to_tsvector('simple'::regconfig, about)")], postgresql_using="gin")


def _fill(connection: sa.Connection) -> None:
    last = {"session_id": "", "draft_hash": ""}
    while rows := connection.execute(OLD, {**last, "batch": BATCH}).mappings().all():
        connection.execute(FILL, [{**row, **compared(bytes(row["sealed"]))} for row in rows])
        last = {name: rows[-1][name] for name in last}
