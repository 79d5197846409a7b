"""Processes to kill: terminals, and servers in Slack."""

from collections.abc import Iterator

import pytest

from tests.processes import Forker, forking


@pytest.fixture(scope="session")
def forkers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Forker]]:
    """What starts them."""
    with forking(tmp_path_factory.mktemp("chats")) as chat:
        with forking(tmp_path_factory.mktemp("servers"), serves=True) as serve:
            yield {"chat": chat, "serve": serve}
