"""The check of the model that listens."""

from agent.cli.doctor.check import Check, parts
from agent.model import BadModel, configured_listener, probe


async def model_check() -> Check:
    """Whether the model answers, and as it should."""
    try:
        listener = configured_listener()
    except BadModel as error:
        return Check("model", "wrong", *parts(str(error)))
    if listener.guided:
        return Check("model", "skipped", "SIGNOFF_MODEL is not set, so conversations are guided interviews")
    if wrong := await probe(listener):
        return Check("model", "wrong", wrong.rstrip("."), "see docs/listening.md")
    return Check("model", "ok", f"{listener.name} answers, and calls its tool")
