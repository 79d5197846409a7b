"""What the tests of reliability count, for `scripts/reliability` to write into `docs/reliability.md`."""

import json
import os
from typing import Any


def measured(name: str, **numbers: Any) -> None:
    """Appends one line of JSON to the file that SIGNOFF_MEASURES names, if it names one."""
    if path := os.environ.get("SIGNOFF_MEASURES"):
        with open(path, "a") as lines:
            lines.write(json.dumps({"name": name, **numbers}) + "\n")
