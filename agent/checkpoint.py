"""The checkpointer of one attempt at a turn: it starts from bytes, buffers in memory, and ends as bytes.

The shell stores those bytes in the transaction that commits the turn, so that the checkpoint and all that the turn decided
stand or fall together. Only the newest checkpoint exists: nothing grows, and no old one can be resumed.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)


class UnreadableCheckpoint(Exception):
    """The stored bytes are no checkpoint that this version can read."""


class _Thread:
    """What one attempt loaded, and then what the graph wrote last."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None
        self.metadata: CheckpointMetadata = {}
        self.writes: dict[tuple[str, int], tuple[str, str, Any]] = {}


class TurnSaver(BaseCheckpointSaver[int]):
    """A saver for many attempts at once, each with a thread of its own that is gone when the attempt ends."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: dict[str, _Thread] = {}

    @contextmanager
    def attempt(self, stored: bytes | None) -> Iterator[str]:
        """A thread id whose checkpoint is the stored one. Raises UnreadableCheckpoint."""
        thread_id, thread = secrets.token_hex(8), _Thread()
        if stored is not None:
            try:
                checkpoint, metadata, writes = self.serde.loads_typed(("msgpack", stored))
                thread.checkpoint, thread.metadata = checkpoint, metadata
                thread.writes = {(task, index): (task, channel, value) for task, index, channel, value in writes}
            except Exception as error:  # whatever an older or newer version left there
                raise UnreadableCheckpoint(str(error)) from error
        self._threads[thread_id] = thread
        try:
            yield thread_id
        finally:
            del self._threads[thread_id]

    def stored(self, thread_id: str) -> bytes:
        """The attempt's newest checkpoint as bytes."""
        thread = self._threads[thread_id]
        writes = [(task, index, channel, value) for (task, index), (_, channel, value) in thread.writes.items()]
        return self.serde.dumps_typed((thread.checkpoint, thread.metadata, writes))[1]

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The attempt's checkpoint, for the graph."""
        thread = self._threads[config["configurable"]["thread_id"]]
        if thread.checkpoint is None:
            return None
        writes = [(task, channel, value) for task, channel, value in thread.writes.values()]
        return CheckpointTuple(_named(config, thread.checkpoint), thread.checkpoint, thread.metadata, None, writes)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Takes the graph's newest checkpoint; the one before is forgotten, with its writes."""
        thread = self._threads[config["configurable"]["thread_id"]]
        thread.checkpoint, thread.metadata, thread.writes = checkpoint, metadata, {}
        return _named(config, checkpoint)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Takes what a task of the newest checkpoint wrote before it ended, its interrupt included."""
        thread = self._threads[config["configurable"]["thread_id"]]
        for index, (channel, value) in enumerate(writes):
            thread.writes[task_id, WRITES_IDX_MAP.get(channel, index)] = (task_id, channel, value)


def _named(config: RunnableConfig, checkpoint: Checkpoint) -> RunnableConfig:
    names = {"thread_id": config["configurable"]["thread_id"], "checkpoint_ns": "", "checkpoint_id": checkpoint["id"]}
    return cast(RunnableConfig, {"configurable": names})
