"""A language model of our own on loopback, over real HTTP: OpenAI's chat completions, by a script, with all that goes wrong.

`async with running_model([Call("update_draft", {...}), Status(500)]) as server:` starts one; the agent under test gets
`SIGNOFF_MODEL=openai:any SIGNOFF_MODEL_URL={server.url}`. Each item answers one request, the last one also all that follow; a
function from the request to an item does as well. `with model_in_thread(script) as server:` is for tests that start processes.
"""

from tests.model_sim.answers import (
    After,
    Answer,
    BadArguments,
    Call,
    Calls,
    Drip,
    Empty,
    Enormous,
    Garbage,
    GarbageStream,
    Hang,
    Item,
    NoChoices,
    Partial,
    Raw,
    Refusal,
    Reset,
    Status,
    Text,
)
from tests.model_sim.cassette import Cassette, digest, record
from tests.model_sim.server import Model, Script, model_in_thread, running_model

__all__ = [
    "After",
    "Answer",
    "BadArguments",
    "Call",
    "Calls",
    "Cassette",
    "Drip",
    "Empty",
    "Enormous",
    "Garbage",
    "GarbageStream",
    "Hang",
    "Item",
    "Model",
    "NoChoices",
    "Partial",
    "Raw",
    "Refusal",
    "Reset",
    "Script",
    "Status",
    "Text",
    "digest",
    "model_in_thread",
    "record",
    "running_model",
]
