"""Our own secrets, which are nobody's to read: they are taken out of what trackers, models and Slack say before it is kept,
shown or logged.
"""

import base64
import json
import os
import re
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from agent.secrets import surely

_OURS = re.compile(r"(?i)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|CREDENTIALS?)$")
"""How variables that hold a secret are named, ours and those of models' providers."""

SHORTEST = 8
"""Characters of a secret; a shorter one may be any word."""

HIDDEN = "[hidden]"

_lent: set[str] = set()


def remember(secret: str) -> None:
    """Takes note of a secret of ours that no variable holds, as a token that was lent."""
    _lent.add(secret)


def hide(text: str) -> str:
    """The text without our own secrets, in any of the forms in which they are sent."""
    for secret in sorted(_own(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def discreet(text: str) -> str:
    """The text as it may stand in a log: without our secrets, and without what is surely somebody else's."""
    text = hide(text)
    for secret in {*surely(text)}:
        text = text.replace(secret, HIDDEN)
    return text


def _own() -> set[str]:
    values = {one.strip() for name, one in os.environ.items() if _OURS.search(name) and not one.startswith("/")} | _lent
    for url in [one for one in os.environ.values() if "://" in one and "@" in one]:
        with suppress(ValueError):
            parts = urlsplit(url)
            if parts.password and parts.password != parts.username:
                values |= {parts.password, unquote(parts.password)}
    values = {one for one in values if len(one) >= SHORTEST}
    if email := os.environ.get("JIRA_EMAIL", "").strip():  # it is sent with its token in one word
        token = os.environ.get("JIRA_TOKEN", "").strip()
        values.add(base64.b64encode(f"{email}:{token}".encode()).decode())
    return values | {form for one in values for form in (quote(one, safe=""), json.dumps(one)[1:-1])}
