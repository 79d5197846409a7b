"""The prompt of a person's terminal: editing, history, completion of acts."""

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout

from agent.draft import FIELDS
from persistence.embedded import default_data_dir

ACTS = ["/approve", "/reject", "/show", "/help", "/quit", *(f"/edit {field}=" for field in FIELDS)]


class Prompt:
    """Asks for lines. A block pasted into it stays one message, line ends and all."""

    def __init__(self, speaker: str, session: str) -> None:
        self._label = FormattedText([("bold ansicyan", f"{speaker} › ")])
        self._toolbar = f" session {session} · /approve  /reject  /edit  /show  /help  /quit "
        self._session: PromptSession[str] = PromptSession(
            history=_history(), completer=WordCompleter(ACTS, sentence=True), complete_while_typing=False
        )

    async def line(self) -> str | None:
        """The next line, empty if it was dropped by Ctrl-C; None at the end of input (Ctrl-D)."""
        try:
            with patch_stdout(raw=True):
                return await self._session.prompt_async(self._label, bottom_toolbar=self._toolbar)
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None


def _history() -> History:
    path = default_data_dir() / "history"
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
