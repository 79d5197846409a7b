"""What leaves this process as words for operators: logs and tracebacks, without secrets."""

import logging
import sys
import traceback
from types import TracebackType

from agent.hiding import discreet


class Formatter(logging.Formatter):
    """Formats a record, its traceback included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole text of a record."""
        return discreet(super().format(record))


def log_to(handler: logging.Handler, form: str = logging.BASIC_FORMAT) -> None:
    """Has warnings and errors logged there."""
    handler.setFormatter(Formatter(form))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def install() -> None:
    """For what is logged before anything is set up, or raised to the end of the process."""
    if logging.lastResort:
        logging.lastResort.setFormatter(Formatter("%(message)s"))
    sys.excepthook = _excepthook


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(discreet("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)
