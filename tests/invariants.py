"""The invariants I1 to I8 of the protocol as queries: each gives the rows that offend against one, and none is to give any.

`ALWAYS` holds after every commit; `AT_REST` once nothing more will come of what was accepted. A kill, a race or a random
story is judged by them, whatever it did.
"""

from typing import Any

import psycopg
from psycopg.rows import dict_row

_DECIDED = """(
    SELECT session_id, draft_hash, status, approved_by, preview_id, event_id FROM approvals
    UNION ALL SELECT session_id, draft_hash, status, approved_by, preview_id, event_id FROM approval_history
)"""

_PENDING = "session.pending::json #>> '{request,action_requests,0,%s}'"

ALWAYS = {
    "I1: a filing has an approval of the same session and hash": """
        SELECT filing.session_id, filing.draft_hash FROM filings filing
        LEFT JOIN approvals approval USING (session_id, draft_hash)
        WHERE approval.status IS DISTINCT FROM 'approved'
    """,
    "I1: what a card seals hashes to the card's hash": """
        SELECT preview_id FROM previews WHERE encode(sha256(sealed), 'hex') <> draft_hash
    """,
    "I1: a decision is about a card of its session with its hash": f"""
        SELECT decided.event_id FROM {_DECIDED} decided LEFT JOIN previews card
        ON card.preview_id = decided.preview_id AND card.session_id = decided.session_id
        AND card.draft_hash = decided.draft_hash
        WHERE card.preview_id IS NULL
    """,
    "I1: a local ticket is one that was approved, byte by byte": """
        SELECT ticket.marker FROM tickets ticket LEFT JOIN filings filing ON filing.marker = ticket.marker
        LEFT JOIN approvals approval ON approval.session_id = filing.session_id AND approval.draft_hash = filing.draft_hash
        LEFT JOIN previews card ON card.preview_id = approval.preview_id
        WHERE card.sealed IS DISTINCT FROM ticket.sealed
    """,
    "I2: a card that was decided has one decision on record": f"""
        SELECT card.preview_id, card.status, count(decided.event_id) FROM previews card
        LEFT JOIN {_DECIDED} decided ON decided.preview_id = card.preview_id AND decided.status = card.status
        WHERE card.status IN ('approved', 'rejected') GROUP BY 1, 2 HAVING count(decided.event_id) <> 1
    """,
    "I2: a decision is what one event came to": f"""
        SELECT decided.event_id, event.outcome FROM {_DECIDED} decided LEFT JOIN inbox event USING (event_id)
        WHERE event.outcome IS DISTINCT FROM decided.status OR event.kind NOT IN ('approve', 'reject')
    """,
    "I2: an event that decided has its decision on record": f"""
        SELECT event.event_id FROM inbox event LEFT JOIN {_DECIDED} decided USING (event_id)
        WHERE event.kind IN ('approve', 'reject') AND event.outcome IN ('approved', 'rejected') AND decided.event_id IS NULL
    """,
    "I2: of a hash one approval at most is told to have won": """
        SELECT * FROM (
            SELECT session_id, body::json ->> 'draft_hash' AS draft_hash, count(*) AS told FROM effects
            WHERE body LIKE '{"kind":"decision","status":"approved"%' GROUP BY 1, 2
        ) winner WHERE told > 1 + (
            SELECT count(*) FROM approval_history history WHERE history.session_id = winner.session_id
            AND history.status = 'approved' AND history.draft_hash = winner.draft_hash
        )
    """,
    "I3: a ticket is told to be filed once": """
        SELECT session_id, body::json ->> 'draft_hash' AS draft_hash FROM inbox
        WHERE kind = 'outcome' AND body::json ->> 'status' = 'filed' GROUP BY 1, 2 HAVING count(*) > 1
    """,
    "I3: a filing that is filed has a key, and its session is told": """
        SELECT session_id, draft_hash FROM filings WHERE status = 'filed' AND (key IS NULL OR NOT EXISTS (
            SELECT FROM inbox WHERE inbox.session_id = filings.session_id
            AND (kind = 'settle' AND outcome = 'filed'
                 OR kind = 'outcome' AND body::json ->> 'draft_hash' = filings.draft_hash AND body::json ->> 'status' = 'filed')
        ))
    """,
    "I4: the open card is the one that its session waits for": f"""
        SELECT session.session_id FROM sessions session LEFT JOIN previews card
        ON card.session_id = session.session_id AND card.status = 'open'
        WHERE card.preview_id IS DISTINCT FROM CASE {_PENDING % "name"} WHEN 'preview_ticket'
              THEN {_PENDING % "args,preview_id"} END
    """,
    "I4: a decision names the card that it decided": f"""
        SELECT event.event_id FROM inbox event JOIN {_DECIDED} decided USING (event_id)
        WHERE NOT starts_with(decided.draft_hash, coalesce(event.body::json ->> 'draft_hash', '-'))
        OR coalesce(event.body::json ->> 'preview_id', decided.preview_id) <> decided.preview_id
    """,
    "I4: a card is decided within its time": f"""
        SELECT decided.event_id FROM {_DECIDED} decided JOIN previews card USING (preview_id)
        JOIN inbox event ON event.event_id = decided.event_id WHERE event.at > card.at + interval '30 days'
        AND NOT EXISTS (
            SELECT FROM effects WHERE session_id = card.session_id AND at > event.at - interval '30 days'
            AND body LIKE '{{"kind":"preview"%"preview_id":"' || card.preview_id || '"%'
        )
    """,
    "I5: a session has taken as many turns as it has processed events": """
        SELECT session_id, turn FROM sessions session WHERE turn <> (
            SELECT count(*) FROM inbox WHERE inbox.session_id = session.session_id
            AND processed_at IS NOT NULL AND outcome <> 'read before'
        )
    """,
    "I5: events are processed in the order in which they were accepted": """
        SELECT later.event_id FROM inbox later JOIN inbox earlier USING (session_id)
        WHERE later.seq > earlier.seq AND later.outcome <> 'read before' AND coalesce(earlier.outcome, '') <> 'read before'
        AND (earlier.processed_at IS NULL OR earlier.processed_at > later.processed_at) AND later.processed_at IS NOT NULL
    """,
    "I5: places in a session have no gap": """
        SELECT session_id FROM sessions session WHERE last_seq <> (
            SELECT coalesce(max(seq), 0) FROM inbox WHERE inbox.session_id = session.session_id
        )
    """,
    "I6: who decided was allowed to": """
        SELECT event_id FROM inbox WHERE (
            kind IN ('approve', 'reject') AND outcome IN ('approved', 'rejected')
            OR kind = 'settle' AND outcome IN ('intended', 'filed', 'left', 'withdrawn')
        ) AND (verdict::json ->> 'allowed') IS DISTINCT FROM 'true'
    """,
    "I7: another attempt was let go by a person": """
        SELECT session_id, draft_hash, attempt FROM filings filing WHERE attempt > 1 + (
            SELECT count(*) FROM inbox WHERE inbox.session_id = filing.session_id AND kind = 'settle' AND outcome = 'intended'
        )
    """,
    "I7: a person's word counts for the attempt that it is about": """
        SELECT event_id FROM inbox WHERE kind = 'settle' AND outcome IN ('intended', 'filed', 'left', 'withdrawn')
        AND body::json ->> 'attempt' <> verdict::json #>> '{filing,attempt}'
    """,
    "I7: what was left in doubt was left by a person": """
        SELECT session_id, draft_hash FROM filings filing WHERE status = 'left' AND NOT EXISTS (
            SELECT FROM inbox WHERE inbox.session_id = filing.session_id AND kind = 'settle' AND outcome = 'left'
        )
    """,
    "I8: a click and a word on a filing are answered": """
        SELECT event_id, outcome FROM inbox event WHERE kind IN ('approve', 'reject', 'settle') AND processed_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM effects WHERE starts_with(effects.key, event.event_id || ':'))
    """,
    "I8: who speaks to the agent is answered": """
        SELECT event_id, outcome FROM inbox event WHERE kind = 'reply' AND processed_at IS NOT NULL
        AND outcome NOT IN ('overheard', 'read before') AND body NOT LIKE '%"addressed":false%'
        AND NOT EXISTS (SELECT FROM effects WHERE starts_with(effects.key, event.event_id || ':'))
    """,
}

AT_REST = {
    "every event that was accepted is processed": "SELECT event_id FROM inbox WHERE processed_at IS NULL",
    "no event came to nothing": """
        SELECT event_id, outcome FROM inbox WHERE outcome IN ('failed', 'unheard') AND kind <> 'outcome'
    """,
    "every effect in Slack is delivered": """
        SELECT key, body, problem FROM effects WHERE session_id ~ '^[TE][A-Z0-9]*:' AND (done_at IS NULL OR problem IS NOT NULL)
    """,
    "no filing is under way": """
        SELECT session_id, draft_hash, status FROM filings
        WHERE status IN ('intended', 'sent') OR (status = 'unknown' AND asked_at IS NULL)
        OR (status = 'filed' AND due_at IS NOT NULL)  -- it is still to be tied to its conversation
    """,
    "no job is left": """
        SELECT id, task_name, status, args FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND task_name <> 'nudge'
    """,
}


def broken(dsn: str, *, at_rest: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The invariants that do not hold, each with the rows that offend."""
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        return broken_on(connection, at_rest=at_rest)


def broken_on(connection: psycopg.Connection[Any], *, at_rest: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The same on an open connection."""
    queries = ALWAYS | AT_REST if at_rest else ALWAYS
    found = {}
    with connection.pipeline():
        cursors = {name: connection.cursor().execute(query.encode()) for name, query in queries.items()}
        for name, cursor in cursors.items():
            if rows := cursor.fetchall():
                found[name] = rows
    return found
