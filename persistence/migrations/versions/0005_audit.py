"""The audit log: a table that only grows, and the function that chains rows to it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

APPEND = """
CREATE FUNCTION audit_append(sessions text[], events text[], kinds text[], bodies text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    entry audit;
BEGIN
    PERFORM pg_advisory_xact_lock(7405962);
    -- a new snapshot, and so the row of whoever held the lock before
    SELECT audit.seq, audit.hash INTO entry.seq, entry.hash FROM audit ORDER BY audit.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        entry.seq := 0;
        entry.hash := repeat('0', 64);
    END IF;
    FOR n IN 1 .. cardinality(kinds) LOOP
        entry.seq := entry.seq + 1;
        entry.at := clock_timestamp();
        entry.session_id := sessions[n];
        entry.event_id := events[n];
        entry.kind := kinds[n];
        entry.body := bodies[n];
        entry.previous := entry.hash;
        entry.hash := encode(sha256(convert_to(
            '{"at":"' || to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            || '","body":' || to_json(entry.body) || ',"event_id":' || to_json(entry.event_id)
            || ',"kind":' || to_json(entry.kind) || ',"previous":"' || entry.previous
            || '","seq":' || entry.seq || ',"session_id":' || to_json(entry.session_id) || '}', 'UTF8')), 'hex');
        INSERT INTO audit VALUES (entry.*);
    END LOOP;
END $$
"""
REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows: its rows are not changed and not deleted';
END $$
"""
GUARD = """
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()
"""


def upgrade() -> None:
    """Adds the table; what happened before is not in it."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("session_id", "event_id", "kind", "body", "previous", "hash")),
    )
    op.create_index("audit_of_session", "audit", ["session_id", "seq"])
    for statement in (APPEND, REFUSE, GUARD):
        op.get_bind().exec_driver_sql(statement)  # they have colons that are no parameters
