"""What a message asks for by its words alone, whoever listens: no model is needed to tell, and none can be talked into it."""

import re
from collections.abc import Sequence
from typing import Literal

from agent.draft import ISSUE_TYPES
from agent.protocol import Question, Reply

YES, NO = "Yes", "No"
"""The options of a question of yes or no, in this order."""

Order = Literal["", "show", "new", "start over", "forget", "approve"]

_WORDS: dict[Order, re.Pattern[str]] = {
    "show": re.compile(r"show( (me|it|us|the (card|draft|ticket)))*"),
    "new": re.compile(r"new"),
    "start over": re.compile(r"(let'?s )?(start|begin) (it |this )?(over|again|afresh)( please)?|restart"),
    "forget": re.compile(
        r"(ok(ay)? |please )?(forget|drop|cancel|scrap|abandon|discard) (about )?(it|this|that|the (ticket|draft))( please)?"
        r"|cancel|never ?mind"
    ),
    "approve": re.compile(
        r"(i )?(hereby )?approve[ds]?( (it|this|that))?|(ok(ay)? |yes,? )?(lgtm|looks (good|great|fine)( to me)?|ship it|"
        r"file it|create it|submit it|go ahead)( please)?|👍|\+1"
    ),
}
_TYPE = re.compile(
    r"(no,? )?(actually,? )?((it|this|that)('s| is|s)|make (it|this|that)|type:?|file (it|this) as)? ?(a |an )?"
    rf"({'|'.join(ISSUE_TYPES)})"
)
_YES = re.compile(
    r"(yes|y|yep|yeah|sure|ja|oui|sí|si),?( please| (do|drop|forget|scrap) (it|that|this)| start over| go ahead)?"
)
_NO = re.compile(r"(no|n|nope|nah|nein|non)( thanks?| thank you|, .{1,30})?")  # a draft is kept on the slightest word


def order_in(reply: Reply) -> Order:
    """What a reply asks for with a button, or with words alone."""
    words = "" if reply.edits or reply.quoted else _plain(reply.text)
    if reply.anew:
        return "new"
    if reply.show:
        return "show"
    return next((order for order, known in _WORDS.items() if known.fullmatch(words)), "")


def type_in(text: str) -> str:
    """The type of ticket that a message names and says nothing else; empty if it is no such message."""
    found = _TYPE.fullmatch(_plain(text))
    return found[found.re.groups] if found else ""


def chosen(reply: Reply, asked: Sequence[Question], requester: str) -> tuple[Question, str] | None:
    """The question with options that a reply answers by a button, or by words that choose one, and the option.

    Words give up a draft only if they are meant for the agent: people say *yes* to each other, too.
    """
    if reply.quoted:
        return None
    text, meant = reply.text.strip(), reply.addressed or reply.by == requester
    for question in asked:
        sure = question.about in ("start over", "forget")
        if not question.options or reply.question not in ("", question.id) or (sure and not (reply.question or meant)):
            continue
        if found := next((one for one in question.options if one.casefold() == text.casefold()), None):
            return question, found
        if sure and (_YES.fullmatch(_plain(text)) or _NO.fullmatch(_plain(text))):
            return question, YES if _YES.fullmatch(_plain(text)) else NO
        if question.about == "conflict" and text.isdecimal() and 0 < int(text) <= len(question.options):
            return question, question.options[int(text) - 1]
    return None


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").strip(" *_\n\t.!`\"'").split())
