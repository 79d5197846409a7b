"""Which listener the settings choose. With no model configured it is the guided interview."""

from agent.graph import Listener
from agent.interview import GuidedInterview


def configured_listener() -> Listener:
    """The guided interview, which matches an answer to one question at a time, and takes words for what they are labelled."""
    return Listener(GuidedInterview(), questions=1, overhears=False)
