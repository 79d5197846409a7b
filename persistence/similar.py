"""What was filed from here before, as it is compared with a ticket that is about to be: `agent.similar.Ours`."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from agent.draft import LISTS, LONG, TITLE_LIMIT
from agent.protocol import Likeness, SimilarRequest
from agent.words import ALIKE, LONGEST, MORE_IN_DOUBT, telling, words
from persistence.database import Database
from persistence.tables import storable

ASKED = 30
"""Telling words that are asked for; those of the title come first."""

EVERY_WORD = 0.6079
"""What `ts_rank` gives for a text with every word, if each counts once and in all places the same: 6 / pi squared."""

LIKE = text(
    f"""
    SELECT key, url, title, at, score FROM (
        SELECT key, url, title, at,
               greatest(similarity(title, :title), share * (1 - power({MORE_IN_DOUBT}, share * :number))) AS score
        FROM filings, LATERAL (
            SELECT ts_rank('{{1,1,1,1}}', strip(to_tsvector('simple', about)), to_tsquery('simple', :words)) / {EVERY_WORD}
                   AS share
        ) words
        WHERE (title % :title OR to_tsvector('simple', about) @@ to_tsquery('simple', :words))
        AND status = 'filed' AND tracker = :tracker AND project = :project
    ) filing WHERE score >= {ALIKE} ORDER BY score DESC, at DESC LIMIT :limit
    """
)

RECENT = timedelta(days=300)
"""For so long a date says which it is without its year."""


class OurFilings:
    """The tickets that were filed from here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def like(self, request: SimilarRequest, limit: int) -> list[tuple[Likeness, float]]:
        """Those in the same project that are like it, the likeliest first, each with how alike it is, from 0 to 1.

        They have nearly its title, or about half of its telling words. The `why` says when they were filed.
        """
        asked = telling(f"{request.title}\n{request.problem}")[:ASKED]
        if not asked:
            return []
        values = {
            "title": storable(request.title)[:TITLE_LIMIT],
            "words": " | ".join(asked),
            "number": len(asked),
            "tracker": storable(request.destination.tracker),
            "project": storable(request.destination.project),
            "limit": limit,
        }
        async with self._database.engine.connect() as connection:
            rows = (await connection.execute(LIKE, values)).all()
        return [
            (Likeness(key=row.key, url=row.url or "", title=row.title, why=f"filed from here on {_day(row.at)}"), row.score)
            for row in rows
        ]


def compared(sealed: bytes) -> dict[str, str]:
    """What a filing is compared by: its tracker, project and title, and the words of all that it says.

    Each is empty if the bytes are not those of a sealed ticket.
    """
    try:
        payload: Any = json.loads(sealed)
        named = {name: storable(str(payload[name])) for name in ("tracker", "project", "title")}
        said = [payload["title"], *(payload["fields"].get(name) for name in (*LONG, *LISTS) if name != "labels")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return dict.fromkeys(("tracker", "project", "title", "about"), "")
    return {**named, "about": " ".join(words("\n".join(_texts(said))))[:LONGEST]}


def _texts(value: Any) -> list[str]:
    """The texts in a JSON value."""
    if isinstance(value, dict | list):
        return [each for item in (value.values() if isinstance(value, dict) else value) for each in _texts(item)]
    return [value] if isinstance(value, str) else []


def _day(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b}" + ("" if datetime.now(UTC) - at < RECENT else f" {at:%Y}")
