"""Asking a model: within a time limit, once more where that may help, and not at all for a while when it does not answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

PATIENCE = 20.0
"""Seconds that an answer may take, all tries together."""

PAUSES = (0.5, 1.5, 3.0)
"""Seconds between tries; a longer pause that the provider asks for ends them."""

FAILURES = 2
"""Calls in a row that fail before the model is given a rest."""

REST = 30.0
"""Seconds of that rest."""

AT_ONCE = 3
"""Calls that may be under way in one process: fewer than it takes turns, so that clicks never wait for a model."""

PASSING = (408, 409, 425, 429)
"""Status codes that may be better in a moment, as those from 500 on."""


class Unanswered(Exception):
    """The model gave no answer; the text says why, to be put in a sentence for people."""


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
        self._bound = self.model.bind_tools(self.tools)  # type: ignore[assignment]

    @property
    def crowded(self) -> bool:
        """Whether as many calls are under way as may be."""
        return self._under_way >= AT_ONCE

    async def ask(self, request: list[BaseMessage]) -> AIMessage:
        """The model's answer. Raises Unanswered."""
        if time.monotonic() < self._rests_until:
            raise Unanswered("it did not answer before, and is tried again in half a minute")
        self._under_way += 1
        try:
            async with asyncio.timeout(self.patience):
                answer = await self._try(request)
        except TimeoutError:
            raise self._failed(f"no answer came within {self.patience:.0f} seconds") from None
        except Unanswered:
            raise
        except Exception as error:  # providers raise whatever they like, also for an answer that they cannot read
            raise self._failed(reason(error)) from error
        finally:
            self._under_way -= 1
        self._failures = 0
        return answer

    async def _try(self, request: list[BaseMessage]) -> AIMessage:
        for pause in (*PAUSES, None):
            try:
                return await self._bound.ainvoke(request)
            except Exception as error:
                if pause is None or not passes(error) or (wanted(error) or 0.0) > pause:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _failed(self, why: str) -> Unanswered:
        self._failures += 1
        if self._failures >= FAILURES:
            self._rests_until = time.monotonic() + REST
        return Unanswered(why)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a provider's error carries, where its package keeps it."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "code"):
            if isinstance(found := getattr(holder, name, None), int):
                return found
    return None


def passes(error: BaseException) -> bool:
    """Whether a provider's error may be better in a moment."""
    status = status_of(error)
    if status is None:
        return isinstance(error, OSError | TimeoutError) or "connect" in type(error).__name__.lower()
    return status in PASSING or status >= 500


def wanted(error: BaseException) -> float | None:
    """The pause in seconds that a provider asks for."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:
        return None


def reason(error: BaseException) -> str:
    """An error in a few words, without what the provider says: that may repeat what was sent."""
    match status_of(error):
        case 401 | 403:
            return "the provider refuses the key"
        case 404:
            return "the provider does not know this model"
        case 429:
            return "the provider wants a pause"
        case int(status):
            return f"the provider answers with the status {status}"
    if passes(error):
        return "the provider cannot be reached"
    return f"what the provider answers cannot be read ({type(error).__name__})"
