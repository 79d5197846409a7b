"""Fault points: places where a test makes a process end, wait or fail, by its environment; elsewhere they do nothing.

`SIGNOFF_FAULT` is NAME=ACT, several with commas between them. An act works once: `crash` is kill -9 (`crash:3`: when the place
is reached for the third time), `sleep:SECONDS` holds up the whole process, `raise` raises `Fault`. `note:FILE` writes the name
into a file each time, so that a sweep knows where a conversation comes by.
"""

import os
import re
import signal
import sys
import time

POINTS = {
    "event-accepting": "before an event is on record",
    "event-accepted": "after it is, before anybody is told so",
    "errand-accepting": "before an errand, or news of one, is on record",
    "errand-accepted": "after it is, before anybody is told so",
    "job-put-back": "after a job of a worker that died is free for others",
    "turn-found": "after a turn's event was read",
    "facts-known": "after the outside was asked what belongs to the event, and whether its author may decide",
    "model-asking": "before a model is asked",
    "model-answered": "after it answered",
    "similar-asking": "before a tracker is asked for similar tickets",
    "similar-answered": "after it answered",
    "same-linking": "before a ticket there is gets the comment that ties it to a conversation",
    "same-linked": "after it got it, before that is on record",
    "turn-committing": "after a turn is taken, before anything of it is written",
    "turn-written": "after all of a turn is written, before it is committed",
    "turn-committed": "after a turn without a decision is committed",
    "approval-written": "after a decision is written with its turn, before it is committed",
    "approval-committed": "after it is",
    "settlement-written": "after a person's word on a filing is written with its turn, before it is committed",
    "settlement-committed": "after it is",
    "filing-beginning": "before a filing's next step is looked up, and put on record as sent if it is that",
    "filing-sent": "after that, before anything is sent",
    "filing-posting": "right before a ticket is sent",
    "filing-posted": "after a ticket was sent and the tracker answered",
    "filing-ending": "after an outcome is written, before the event that tells of it is",
    "filing-recorded": "after it is on record that a ticket is filed",
    "filing-failed": "after it is on record that it surely is not",
    "filing-asked": "after it is on record that people are asked",
    "filing-lost": "after it is on record that no answer came",
    "filing-looking": "before a ticket is looked for",
    "filing-looked": "after it was",
    "filing-delayed": "after it is on record that a step is due later",
    "filing-linking": "before a ticket is tied to its conversation",
    "filing-linked": "after it was, before that is on record",
    "filing-rested": "after it is on record that nothing more is to be done",
    "proof-reading": "before the ticket is read that a person names",
    "proof-read": "after it was",
    "delivery-begun": "after it is on record that an effect's delivery was begun",
    "delivery-made": "after it was made, before that is on record",
    "delivery-recorded": "after that is on record",
    "delivery-delayed": "after it is on record that it is due later",
    "card-recorded": "after it is on record where a card stands, or is about to",
    "slack-posting": "before a message is posted",
    "slack-posted": "after it was",
    "slack-updating": "before a message is updated",
    "slack-updated": "after it was",
    "slack-whispering": "before something is said to one person",
    "slack-whispered": "after it was",
    "slack-deleting": "before a message is taken away",
    "slack-deleted": "after it was",
    "slack-looking": "before our messages are looked for by their keys",
    "slack-looked": "after they were",
    "slack-opening": "before a direct conversation is opened",
    "slack-opened": "after it was",
    "slack-asking": "before Slack is asked for facts: people, places, messages, files, and who we are",
    "slack-answered": "after it answered",
    "slack-adorning": "before what is an ornament is shown: what the agent is doing, prompts to begin with",
    "slack-adorned": "after it was",
    "form-opening": "before a form is opened",
    "form-opened": "after it was",
    "file-reading": "before the bytes of a file are read",
    "file-read": "after they were",
    "tracker-asking": "before any request to a tracker outside",
    "tracker-answered": "after its answer was read",
    "comment-adding": "before a comment is added to a filed ticket",
    "comment-added": "after it was",
    "setting-stored": "after a channel's settings are on record, before its cards follow",
    "schema-written": "after a database is made or upgraded, before that is committed",
    "schema-committed": "after it is",
    "terminal-shown": "after a terminal printed an answer, before that is on record",
    "terminal-recorded": "after that is on record",
}
"""Each point, and where it stands."""


class Fault(Exception):
    """What a fault point raises."""


_ACT = re.compile(r"crash(:[1-9][0-9]{0,8})?|sleep:[0-9]{1,6}(\.[0-9]{1,6})?|raise|note:.+")
_ARMED: dict[str, str] = {}


def arm() -> None:
    """Reads the environment. Raises ValueError with a sentence."""
    given = [one.partition("=") for one in os.environ.get("SIGNOFF_FAULT", "").split(",") if one]
    if unknown := [name for name, _, _ in given if name not in POINTS]:
        raise ValueError(f"SIGNOFF_FAULT names {unknown[0]}, and the points are {', '.join(POINTS)}.")
    if odd := [act for _, _, act in given if not _ACT.fullmatch(act)]:
        raise ValueError(f"SIGNOFF_FAULT asks for {odd[0]!r}: NAME=crash, crash:TIMES, sleep:SECONDS, raise or note:FILE.")
    _ARMED.update({name: act for name, _, act in given})


try:
    arm()
except ValueError as error:  # before there is a command line that could say it
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None


def point(name: str) -> None:
    """Does here what the environment asks for."""
    if _ARMED and name in _ARMED:
        _act(name)


def _act(name: str) -> None:
    kind, _, value = _ARMED[name].partition(":")
    if kind == "note":
        with open(value, "a") as notes:
            notes.write(f"{name}\n")
        return
    if kind == "crash" and value not in ("", "1"):
        _ARMED[name] = f"crash:{int(value) - 1}"
        return
    del _ARMED[name]
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "sleep":
        time.sleep(float(value))
    else:
        raise Fault(name)
