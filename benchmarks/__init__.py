"""What the project costs, measured: `python -m benchmarks.NAME [--json]`. Figures to compare, never tests to pass."""

import os

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # as in the program; langgraph reads it when it is imported
