"""The agent: draft, protocol and graph, the shell that runs turns, and the command line."""

import os

# LangGraph reads this when it is first imported: checkpoints then load our own types and no others.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
