"""Asking a model: within a time limit, once more where that may help, and not at all for a while when it does not answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import ValidationError

from agent.ports import NotYet

PATIENCE = 20.0
"""Seconds that an answer may take, all tries together."""

PAUSES = (0.5, 1.5, 3.0)
"""Seconds between tries. The provider may ask for longer ones; one over the last of these ends them."""

FAILURES = 2
"""Calls in a row that fail before the model is given a rest."""

REST = 30.0
"""Seconds of that rest."""

AT_ONCE = 3
"""Calls that may be under way in one process: fewer than it takes turns, so that clicks never wait for a model."""

PAUSE = 1.0
"""Seconds for which a message waits that would be one too many."""

PASSING = (408, 409, 425, 429)
"""Status codes that may be better in a moment, as those from 500 on."""

OURS = (400, 413, 422)
"""Status codes that are about one request, its length or what a filter finds in it: the next one may well be answered."""

DEPTH = 50
"""Levels of a call's arguments; the form has three, and what goes hundreds deep can be read but not written down again."""

NO_CALL = InvalidToolCall(type="invalid_tool_call", id=None, name=None, args=None, error=None)
"""Stands for a call that cannot be kept as it came."""


class Unanswered(Exception):
    """The model gave no answer; the text says why, to be put in a sentence for people.

    `again`: it may answer if it is asked once more, as after a hang, or an answer that could not be read.
    """

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


@dataclass
class Asker:
    """A model with the tools it may call; one for all conversations of a process."""

    model: BaseChatModel
    tools: Sequence[BaseTool]
    patience: float = PATIENCE
    _bound: Runnable[list[BaseMessage], AIMessage] = field(init=False)
    _failures: int = 0
    _rests_until: float = 0.0
    _under_way: int = 0

    def __post_init__(self) -> None:
        self._bound = self.model.bind_tools(self.tools)

    @property
    def crowded(self) -> bool:
        """Whether as many calls are under way as may be."""
        return self._under_way >= AT_ONCE

    async def ask(self, request: list[BaseMessage]) -> AIMessage:
        """The model's answer. Raises Unanswered, and NotYet while as many calls are under way as may be."""
        if time.monotonic() < self._rests_until:
            raise Unanswered("it did not answer before, and is tried again in half a minute")
        if self.crowded:
            raise NotYet(PAUSE)
        self._under_way += 1
        try:
            async with asyncio.timeout(self.patience):
                answer = await self._try(request)
        except TimeoutError:
            raise self._failed(f"no answer came within {self.patience:g} seconds", again=True) from None
        except Unanswered:
            raise
        except Exception as error:  # providers raise whatever they like, also for an answer that they cannot read
            unread = status_of(error) is None and not passes(error)
            raise self._failed(reason(error), again=unread, counts=status_of(error) not in OURS) from error
        finally:
            self._under_way -= 1
        self._failures = 0
        return answer

    async def _try(self, request: list[BaseMessage]) -> AIMessage:
        for pause in (*PAUSES, None):
            try:
                return _answer(await self._bound.ainvoke(request))
            except Exception as error:
                if (malformed := _malformed(error)) is not None:
                    return malformed
                asked_for = wanted(error) or 0.0
                if pause is None or not passes(error) or asked_for > PAUSES[-1]:
                    raise
            await asyncio.sleep(max(pause, asked_for))
        raise AssertionError("the last try returns or raises")

    def _failed(self, why: str, *, again: bool, counts: bool = True) -> Unanswered:
        self._failures += counts
        if counts and self._failures >= FAILURES:
            self._rests_until = time.monotonic() + REST
        return Unanswered(why, again=again)


def _answer(came: BaseMessage) -> AIMessage:
    if not isinstance(came, AIMessage):  # a server that names another role
        raise TypeError(type(came).__name__)
    if any(_unkept(call["args"], DEPTH) for call in came.tool_calls):
        return came.model_copy(update={"tool_calls": [], "invalid_tool_calls": [NO_CALL]})
    return came


def _unkept(value: object, levels: int) -> bool:
    """Whether a checkpoint cannot hold it: it has more levels than these, or a number of more than 64 bits."""
    if isinstance(value, int):
        return not -(2**63) <= value < 2**64
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _unkept(one, levels - 1) for one in inner)


def _malformed(error: Exception) -> AIMessage | None:
    """The answer that a client could not take, because the model called the tool with arguments that are no object."""
    if not isinstance(error, ValidationError):
        return None
    where = {one["loc"][:1] for one in error.errors(include_url=False, include_context=False, include_input=False)}
    if not where or not where <= {("tool_calls",), ("invalid_tool_calls",)}:
        return None
    return AIMessage("", invalid_tool_calls=[NO_CALL])


def status_of(error: BaseException) -> int | None:
    """The HTTP status of a failure that a provider's error carries, where its package keeps it."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "code"):
            found = getattr(holder, name, None)
            if isinstance(found, int) and 400 <= found < 600:  # an answer that cannot be read has a status, too: 200
                return found
    return None


def used_up(error: BaseException) -> bool:
    """Whether there is nothing left to pay with. OpenAI says so by the status of a pause, which no pause ends."""
    told = (getattr(error, "code", None), getattr(error, "type", None))
    return status_of(error) == 402 or "insufficient_quota" in told


def passes(error: BaseException) -> bool:
    """Whether a provider's error may be better in a moment."""
    if used_up(error):
        return False
    if (status := status_of(error)) is not None:
        return status in PASSING or status >= 500
    names = " ".join(kind.__name__ for kind in type(error).__mro__).lower()
    return isinstance(error, OSError) or any(word in names for word in ("connect", "timeout", "transporterror"))


def wanted(error: BaseException) -> float | None:
    """The pause in seconds that a provider asks for, as a number or as a date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    told = str(headers.get("retry-after") or "")
    try:
        return float(told)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(told).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def reason(error: BaseException) -> str:
    """An error in a few words, without what the provider says: that may repeat what was sent."""
    if used_up(error):
        return "the provider's quota is used up"
    match status_of(error):
        case 401 | 403:
            return "the provider refuses the key"
        case 404:
            return "the provider does not know this model, or its address is wrong"
        case 429:
            return "the provider wants a pause"
        case int(status):
            return f"the provider answers with the status {status}"
    if passes(error):
        return "the provider cannot be reached"
    return f"what the provider answers cannot be read ({type(error).__name__})"
