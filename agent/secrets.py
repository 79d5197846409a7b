"""What looks like a secret: text that somebody should look at once more before others can read it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SECRETS = (
    (
        "a private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?:[^-]*-----(?:(?!-----BEGIN)[\s\S])*?(?:-----END [A-Z ]*-----|\Z))?"),
    ),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}")),
    ("an API key", re.compile(r"\b(?:sk|rk|pk)[-_](?:live|test|ant|proj)?[-_]?[A-Za-z0-9_-]{20,}|\bAIza[A-Za-z0-9_-]{35}")),
    (
        "an API token",
        re.compile(
            r"\b(?:glpat-|npm_|pypi-|lin_api_|hf_|dop_v1_|ATATT3|ATCTT3|dckr_pat_|shp(?:at|ca|ss)_|hv[bs]\.|dapi|GOCSPX-|ya29\.)"
            r"[A-Za-z0-9_=.-]{18,}"
            r"|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
            r"|\b(?:SK|AC)[0-9a-f]{32}\b|\b\d{8,10}:AA[A-Za-z0-9_-]{32,}"
        ),
    ),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")),
    ("a password", re.compile(r"(?i)\b(?:password|passwd|pwd|secret|token|api[_-]?key)\b\s*[:=]\s*(?=\S*\d)(\S{6,})")),
    ("credentials in a link", re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://([^\s/:@]+:[^\s/@]+)@")),
)
"""Names and forms; where a form has a group, that is the secret."""

_NAMED = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|api[_-]?key|access[_-]?key|account[_-]?key)[\w.-]{0,40}"
_LIKELY = (
    re.compile(rf"(?i){_NAMED}[\"']?\s*(?:=>?|:=)\s*[\"'`]?([^\s\"'`,;<>]{{3,}})"),
    re.compile(rf"(?i){_NAMED}[\"']?\s*:\s*[\"'`]?([^\s\"'`,;<>]{{4,}})"),
    re.compile(r"(?i)\b(?:password|passwd|pwd|passphrase|pin)\s+(?:is|was)\s+[\"'`]?((?=[^\s]*\d)[^\s\"'`,;<>]{4,})"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9_.~+/=-]{8,})"),
    re.compile(r"(?i)\s(?:--password|--token|-p)[ =]([^\s\"'`]{4,})"),
    re.compile(
        r"(?<![A-Za-z0-9+/_=-])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*\d)"
        r"([A-Za-z0-9+/_-]{32,}={0,2})(?![A-Za-z0-9+/_=-])"
    ),
)
"""What is too often none to warn of, and is left out all the same where strangers read it; the group is the secret."""


def secrets_in(sealed: Mapping[str, Any]) -> list[str]:
    """What in the ticket looks like a secret, in words that do not repeat it."""
    text = "\n".join(_strings(sealed))
    return [name for name, pattern in _SECRETS if pattern.search(text)]


def spans(text: str) -> list[tuple[int, int]]:
    """Where the text has what is a secret or likely one, in no order; they may overlap."""
    forms = [*(pattern for _, pattern in _SECRETS), *_LIKELY]
    found = [match.span(pattern.groups) for pattern in forms for match in pattern.finditer(text)]
    return [(start, start + len(text[start:end].rstrip(".,;:!?)]}\"'`"))) for start, end in found]


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)
