"""The tables, as the newest migration leaves them. `tests/persistence` holds them to the migrations."""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.types import TypeDecorator


def storable(value: str) -> str:
    """The text without what PostgreSQL's `text` refuses: NUL and lone surrogates."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()


class Json(TypeDecorator[Any]):
    """JSON kept as ASCII text: unlike `jsonb` it takes whatever people send, NUL and lone surrogates included."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        """Python value -> text."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        """Text -> Python value."""
        return None if value is None else json.loads(value)


def _now() -> Column[Any]:
    # now() is the start of the transaction and disagrees with the order of commits
    return Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())


metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),  # the newest event's place in the session
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("state", Json, nullable=True),
    Column("pending", Json, nullable=True),
    Column("checkpoint", LargeBinary, nullable=True),
    _now(),
)

Index("sessions_of_place", sessions.c.session_id, postgresql_ops={"session_id": "text_pattern_ops"})  # by a prefix

inbox = Table(
    "inbox",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("verdict", Json, nullable=True),
    Column("surface", Json, nullable=True),
    _now(),
    Column("processed_at", DateTime(timezone=True), nullable=True),
    Column("outcome", Text, nullable=True),
    Column("found", Json, nullable=True),  # agent.protocol.Found, if its turn had it looked for similar tickets
    UniqueConstraint("session_id", "seq"),
)
Index("inbox_unprocessed", inbox.c.session_id, inbox.c.seq, postgresql_where=text("processed_at IS NULL"))

previews = Table(
    "previews",
    metadata,
    Column("preview_id", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("draft_hash", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("people", Json, nullable=True),  # who asked for the ticket, and who contributed: what the card says for good
    Column("message", Json, nullable=True),  # where the surface shows it; moves to the card that is shown there next
    Column("posted_at", DateTime(timezone=True), nullable=True),
    Column("shown_at", DateTime(timezone=True), nullable=True),
    Column("digest", Text, nullable=True),  # of what its message shows
    _now(),
)
Index("previews_one_open", previews.c.session_id, unique=True, postgresql_where=text("status = 'open'"))
Index("previews_by_hash", previews.c.session_id, previews.c.draft_hash)

_DECISION = ("session_id", "draft_hash", "status", "approved_by", "preview_id", "event_id")
_RECEIPT = ("name", "thread")  # what a ticket says of its approval beside who and when

approvals = Table(
    "approvals",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("draft_hash", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in _DECISION[2:]),
    *(Column(name, Text, nullable=False, server_default="") for name in _RECEIPT),
    _now(),
)

approval_history = Table(
    "approval_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    *(Column(name, Text, nullable=False) for name in _DECISION),
    *(Column(name, Text, nullable=False, server_default="") for name in _RECEIPT),
    _now(),
)

Index("approval_history_of_session", approval_history.c.session_id)

filings = Table(
    "filings",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("draft_hash", Text, primary_key=True),
    Column("marker", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),  # agent.rules.FilingStatus
    Column("origin", Text, nullable=False),
    Column("key", Text, nullable=True),
    Column("url", Text, nullable=True),
    Column("reason", Text, nullable=True),
    _now(),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),  # of this attempt
    Column("due_at", DateTime(timezone=True), nullable=True, server_default=func.clock_timestamp()),  # for its next step
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("asked_at", DateTime(timezone=True), nullable=True),  # people were, what became of it
    Column("doubted", Boolean, nullable=False, server_default=false()),  # no answer came to an attempt, this or an earlier one
    *(Column(name, Text, nullable=False, server_default="") for name in ("tracker", "project", "title", "about")),
    ForeignKeyConstraint(["session_id", "draft_hash"], ["approvals.session_id", "approvals.draft_hash"]),
)

Index("filings_due", filings.c.due_at, postgresql_where=text("due_at IS NOT NULL"))
Index("filings_by_key", filings.c.key)
Index("filings_title", filings.c.title, postgresql_using="gin", postgresql_ops={"title": "gin_trgm_ops"})
Index("filings_about", text("to_tsvector('simple'::regconfig, about)"), postgresql_using="gin", _table=filings)

effects = Table(
    "effects",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),  # a terminal's cursor
    Column("key", Text, nullable=False, unique=True),
    Column("session_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("body", Json, nullable=False),
    _now(),
    Column("done_at", DateTime(timezone=True), nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("problem", Text, nullable=True),  # why it cannot be delivered, for an operator
)
Index("effects_of_session", effects.c.session_id, effects.c.id)
Index("effects_open", effects.c.session_id, effects.c.id, postgresql_where=text("done_at IS NULL"))

comments = Table(
    "comments",
    metadata,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("key", "author", "text")),
    _now(),
)

places = Table(
    "places",
    metadata,
    Column("place", Text, primary_key=True),
    Column("setting", Json, nullable=False),
    Column("changed_by", Text, nullable=False),
    _now(),
)

model_calls = Table(
    "model_calls",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("answer", Json, nullable=False),
    *(Column(name, Text, nullable=False, server_default="") for name in ("model", "error")),
    *(
        Column(name, Integer, nullable=False, server_default="0")
        for name in ("input_tokens", "output_tokens", "milliseconds", "dropped")
    ),
)

tickets = Table(
    "tickets",
    metadata,
    Column("marker", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("draft_hash", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("receipt", Json, nullable=True),
    Column("filed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    UniqueConstraint("project", "number"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # one after the other, without a gap
    Column("at", DateTime(timezone=True), nullable=False),
    *(Column(name, Text, nullable=False) for name in ("session_id", "event_id", "kind", "body", "previous", "hash")),
)
Index("audit_of_session", audit.c.session_id, audit.c.seq)
