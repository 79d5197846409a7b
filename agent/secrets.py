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
            r"\b(?:gl(?:pat|dt|rt|cbt|ptt|ft|soat)-|npm_|pypi-|lin_(?:api|oauth)_|hf_|do[opr]_v1_|ATATT3|ATCTT3|ATBB|dckr_pat_"
            r"|shp(?:at|ca|pa|ss)_|hv[bs]\.|dapi|GOCSPX-|ya29\.|whsec_|figd_|ntn_|rubygems_|sbp_|pscale_(?:tkn|pw|oauth)_|gls?[ac]_"
            r"|gsk_|r8_|sq0(?:atp|csp)-|dp\.(?:pt|st|ct|sa)\.|NRAK-|PMAK-|sntry[su]_|nvapi-|xkeysib-|AGE-SECRET-KEY-1|GR1348941)"
            r"[A-Za-z0-9_=.-]{18,}"
            r"|\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{20,}|\bkey-[0-9a-f]{32}\b"
            r"|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
            r"|\b(?:SK|AC)[0-9a-f]{32}\b|\b\d{8,10}:AA[A-Za-z0-9_-]{32,}"
        ),
    ),
    ("a JSON web token", re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")),
    ("a password", re.compile(r"(?i)\b(?:password|passwd|pwd|secret|token|api[_-]?key)\b\s*[:=]\s*(?=\S{0,200}\d)(\S{6,})")),
    ("credentials in a link", re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://([^\s/:@]+:[^\s/@]+)@")),
)
"""Names and forms; where a form has a group, that is the secret."""

_WORDS = (
    r"(?:passw(?:or)?d|passphrase|pwd|passwort|kennwort|mot de passe|contrase[nñ]a|senha|wachtwoord|парол[ья]|密码|パスワード"
    r"|secret|token|credential|(?:api|access|account|signing|encryption)[_-]?key|client-(?:key|certificate)-data)"
)
_NAMED = _WORDS + r"[\w.-]{0,40}"
_MIXED = r"(?=\S{0,200}\d|\S{0,200}=|(?-i:\S{0,200}[a-z]\S{0,200}[A-Z]))"
"""What a word hardly is."""

_LIKELY = (
    re.compile(rf"(?i){_NAMED}[\"']?\s*(?:=>?|:=)\s*[\"'`]?([^\s\"'`,;<>]{{3,}})"),
    re.compile(rf"(?i){_NAMED}[\"']?\s*:\s*[\"'`]?([^\s\"'`,;<>]{{4,}})"),
    re.compile(rf"(?i){_NAMED}[\"']?\s*(?:=>?|:=?)\s*([\"'`])([^\"'`\n]{{3,200}})\1"),
    re.compile(
        r"(?i)\b(?:password|passwd|pwd|passphrase|passwort|kennwort|pin)\s+(?:is|was|ist|lautet)\s+[\"'`]?((?=[^\s]*\d)[^\s\"'`,;<>]{4,})"
    ),
    re.compile(
        r"(?i)\b(?:password|passwd|pwd|passphrase|passwort|kennwort)\s+(?:is|was|ist|lautet)\s+[\"'`“„]([^\"'`”“\n]{3,200})[\"'`”“]"
    ),
    re.compile(r"(?i)\bapp[ -]password\W{1,5}(?:is\W{1,3})?([a-z]{4}(?: [a-z]{4}){3})\b"),
    re.compile(
        r"(?i)\b(?:otp|[2m]fa|verification|one-time|security|login)[ -](?:code|pin|password)\W{1,3}(?:is\W{1,2})?(\d{4,8})\b"
    ),
    re.compile(rf"(?i)<[\w:.-]{{0,40}}{_WORDS}[\w.-]{{0,40}}>([^<\s][^<\n]{{2,200}})<"),
    re.compile(rf"(?i)\bname:[ \t]*[\"']?[\w.-]{{0,60}}?{_NAMED}[\"']?[ \t]*\r?\n[ \t]*value:[ \t]*[\"']?([^\s\"']{{3,}})"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9_.~+/=-]{8,})"),
    re.compile(rf"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:[a-z][\w-]{{0,30}}\s+)?{_MIXED}([^\s\"'`,;<>]{{8,}})"),
    re.compile(rf"(?i)(?<![a-z])auth[\"']?\s*[:=]\s*[\"']?{_MIXED}([A-Za-z0-9+/_-]{{8,}}={{0,2}})"),
    re.compile(r"(?i)[?&](?:sig|code|key|auth|[a-z-]{0,20}signature)=([^\s&\"'`<>#]{6,})"),
    re.compile(r"(?i)(?:sess(?:ion)?[_.-]?id|(?<![a-z])sid|[cx]srf)[\w.-]{0,20}=([^\s;,&\"'`<>]{6,})"),
    re.compile(r"(?i)\s(?:--password|--token|-p)[ =]([^\s\"'`]{4,})"),
    re.compile(r"(?i)\bmysql\w{0,10}\s[^\n]{0,200}?\s-p([^\s\"'`]{4,})"),
    re.compile(r"\s(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"'`]{1,100}:([^\s\"'`]{3,})"),
    re.compile(r"\s(?:-b|--cookie)[ =][\"']?[^\s=\"'`]{1,100}=([^\s;\"'`]{4,})"),
    re.compile(r"(?<![^\s\"'`])[^\s:]{1,253}:(?:\d{1,5}|\*):[^\s:]{1,63}:[^\s:]{1,63}:([^\s:\"'`]{3,})(?![^\s\"'`])"),
    re.compile(r"(?i)\blogin\s+\S{1,100}\s+password\s+(\S{3,})"),
    re.compile(r"(?i)\bjdbc:oracle:\w{1,10}:[^\s/:@]{1,60}/([^\s@]{2,})@"),
    re.compile(r"\bPrivate-Lines: \d{1,4}\s((?:[A-Za-z0-9+/=]{4,64}(?:\n|$))+)"),
    re.compile(r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2})"),
    re.compile(r"(?<![\w-])([MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,})"),
    re.compile(r"\b((?:ABIA|ACCA|AROA|AIDA)[0-9A-Z]{16,17}|EAA[A-Za-z0-9]{20,}|1//0[A-Za-z0-9_-]{20,}|cio[A-Za-z0-9]{32})\b"),
    re.compile(r"(?<![0-9A-Za-z])(?=[a-f]*\d)(?=\d*[a-f])([0-9a-f]{32,48})(?![0-9A-Za-z])", re.IGNORECASE),
    re.compile(r"(?<![\w-])((?!000|666|9)\d{3}-\d{2}-\d{4})(?![\w-])"),
    re.compile(
        r"(?<![A-Za-z0-9+/_=-])(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*\d)"
        r"([A-Za-z0-9+/_-]{32,}={0,2})(?![A-Za-z0-9+/_=-])"
    ),
)
"""What is too often none to warn of, and is left out all the same where strangers read it; the group is the secret."""

_COOKIES = re.compile(r"(?i)\bcookies?[\"']?\s*[:=]\s*[\"']?([^\s=;,\"']{1,100}=[^\n]*)")
_COOKIE = re.compile(r"(?i)(?<![^\s;\"'])(?!(?:path|domain|expires|max-age|samesite)=)[^\s=;,\"']{1,100}=([^\s;,\"'`]{4,})")
_CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){10,12}(?![\w-]|\.\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")


def secrets_in(sealed: Mapping[str, Any]) -> list[str]:
    """What in the ticket looks like a secret, in words that do not repeat it."""
    text = "\n".join(_strings(sealed))
    return [name for name, pattern in _SECRETS if pattern.search(text)]


def spans(text: str) -> list[tuple[int, int]]:
    """Where the text has what is a secret or likely one, in no order; they may overlap."""
    forms = [*(pattern for _, pattern in _SECRETS), *_LIKELY]
    found = [match.span(pattern.groups) for pattern in forms for match in pattern.finditer(text)]
    for line in _COOKIES.finditer(text):
        found += [match.span(1) for match in _COOKIE.finditer(text, *line.span(1))]
    found += [match.span() for match in _CARD.finditer(text) if _is_card(match[0])]
    found += [match.span() for match in _IBAN.finditer(text) if _is_iban(match[0])]
    return [(start, start + len(text[start:end].rstrip(".,;:!?)]}\"'`"))) for start, end in found]


def surely(text: str) -> Iterator[str]:
    """The secrets in the text whose form nothing else has."""
    for _, pattern in _SECRETS:
        for found in pattern.finditer(text):
            yield found[pattern.groups]


def _is_card(text: str) -> bool:
    """Whether the digits' sum is a card's."""
    digits = [int(one) for one in text if one.isdigit()][::-1]
    return sum(one if n % 2 == 0 else sum(divmod(one * 2, 10)) for n, one in enumerate(digits)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Whether the number is a bank account's."""
    known = "".join(text.split())
    return int("".join(str(int(one, 36)) for one in known[4:] + known[:4])) % 97 == 1


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
