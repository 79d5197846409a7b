"""What the tests of reliability count, for `scripts/reliability` to write into `docs/reliability.md`."""

import json
import os
from typing import Any


def measured(what: str, **numbers: Any) -> None:
    """Appends one line of JSON to the file that SIGNOFF_MEASURES names, if it names one."""
    if path := os.environ.get("SIGNOFF_MEASURES"):
        with open(path, "ab", buffering=0) as lines:  # in one write: several processes append
            lines.write((json.dumps({"what": what, **numbers}) + "\n").encode())
