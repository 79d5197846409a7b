"""What makes up a good ticket of each type, and the words by which its type is chosen from the talk."""

import re

FIELDS_OF = {
    "bug": ("steps", "expected", "actual", "environment"),
    "story": ("who", "what", "why"),
    "task": (),
}
"""Fields that only a type has a use for. None of them has to be filled in; a card says which are not."""

_CUES = {
    "bug": re.compile(
        r"\b(bugs?|defects?|crash\w*|br(oke|oken|eaks?)|fail(s|ed|ing|ure)?|errors?|exceptions?|regressions?|outages?"
        r"|incidents?|stack ?traces?|traceback|hangs?|freezes?|times? out|wrong|incorrect|not? work(s|ing)?|doesn't work|5\d\d"
        r"|fehler|erreur|fallo|errore|bogue|absturz|kaputt|panne)\b|(n't|not?|stopped) work"
        r"|バグ|エラー|错误|故障|崩溃|ошибк|오류",
        re.IGNORECASE,
    ),
    "story": re.compile(
        r"\b(stor(y|ies)|features?|as an? |i want|we want|we need|i need|needs? to|please add|would like|wish|"
        r"it would be (nice|great|good)|could we|can we have|"
        r"let (me|us|users|people)|allow|support for|feature request|wunsch|fonctionnalité)\b",
        re.IGNORECASE,
    ),
    "task": re.compile(
        r"\b(tasks?|chores?|to-?dos?|upgrade|update|migrate|rotate|renew|clean ?up|remove|rename|document|refactor|bump|move|"
        r"set up|aufgabe|tâche|tarea)\b",
        re.IGNORECASE,
    ),
}


def cued_at(quote: str, issue_type: str) -> tuple[int, int] | None:
    """From where to where somebody who says this speaks of a ticket of this type; None if they do not."""
    found = _CUES[issue_type].search(quote) if issue_type in _CUES else None
    return found.span() if found else None
