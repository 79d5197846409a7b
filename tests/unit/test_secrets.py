"""Our own secrets are hidden in every form in which they are sent; what is surely a secret is in no log."""

import base64
import logging
import sys

import pytest

from agent.cli.discreet import Formatter, install
from agent.hiding import HIDDEN, SHORTEST, discreet, hide, remember
from agent.trackers import LONGEST, Later, Refused, Unsure

BASIC = base64.b64encode(b"bot@acme.test:abcdefgh12345").decode()


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "JIRA_TOKEN": "abcdefgh12345",
        "JIRA_EMAIL": "bot@acme.test",
        "SLACK_SIGNING_SECRET": "ends-like-more",
        "SOME_API_KEY": "ends-like-more-of-it",
        "PG_TOKEN": "short",
        "GITHUB_APP_KEY": "/etc/signoff/key.pem",
        "DATABASE_URL": "postgresql://signoff:p%40ss%2Fword9@db/x",
        "HTTPS_PROXY": "http://me:proxypass1@proxy:8080",
        "OTHER_URL": "postgresql://postgres:postgres@db/x",
        "BROKEN_URL": "http://[me:pw@",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "secret", ["abcdefgh12345", BASIC, "ends-like-more-of-it", "ends-like-more", "p@ss/word9", "p%40ss%2Fword9", "proxypass1"]
)
def test_our_secrets_are_hidden(secret: str) -> None:
    assert hide(f"it said: {secret}!") == f"it said: {HIDDEN}!"
    assert str(Refused(f"no {secret}", {"title": secret})) == f"no {HIDDEN}"
    assert Refused("no", {"title": secret}).fields == {"title": HIDDEN}
    assert secret not in str(Later(secret)) + str(Unsure(secret))


@pytest.mark.parametrize("word", ["short", "/etc/signoff/key.pem", "postgres", "signoff", "bot@acme.test"])
def test_words_are_not(word: str) -> None:
    assert len("short") < SHORTEST
    assert hide(word) == word


def test_one_that_was_lent_is_hidden() -> None:
    remember("ghs_lent-for-an-hour")
    assert hide("Bearer ghs_lent-for-an-hour") == f"Bearer {HIDDEN}"


def test_what_a_tracker_says_is_kept_in_part() -> None:
    assert len(str(Refused("x" * 100_000))) == LONGEST + 2


@pytest.mark.parametrize(
    "said",
    [
        "ghp_" + "a1" * 20,
        "xoxb-1234567890-abc",
        "password=hunter22",
        "https://ann:pw@host/",
        "AKIA" + "A" * 16,
        "abcdefgh12345",
    ],
)
def test_a_log_holds_no_secret(said: str) -> None:
    try:
        raise ValueError(f"cannot read {said}")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "it was %s", (said,), sys.exc_info())
    told = Formatter("%(levelname)s %(message)s").format(record)
    assert told.startswith("ERROR it was ")
    assert "Traceback" in told
    for part in (said, "hunter22", "ann:pw"):
        assert part not in told
    assert discreet("nothing to hide: 12 of 40") == "nothing to hide: 12 of 40"


def test_what_ends_the_process_is_told_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    install()
    sys.excepthook(ValueError, ValueError("abcdefgh12345"), None)
    assert capsys.readouterr().err == f"ValueError: {HIDDEN}\n"
