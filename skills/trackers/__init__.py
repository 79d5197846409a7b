"""The trackers: one file each, found by its name here. `docs/trackers.md` says how to add one.

A tracker's file has `RENDERER`, its pure half, and `connect(environ)`, which gives its `Tracker` if the environment has what
it needs, None if it has nothing of it, and raises ValueError with a sentence if that is wrong. Its variables begin with its
file's name, and it is imported only if one is set: `chat` starts before it needs it. The local one alone is connected by the
command line, to the database.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from agent.trackers import Renderer, Tracker

HELPERS = ("adf", "body", "compare", "http", "jira_fields", "looking", "markdown", "numbered", "wiki")
"""What trackers share."""


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name not in HELPERS]


def renderers() -> dict[str, Renderer]:
    """The pure half of every tracker, by name."""
    found = [importlib.import_module(f"{__name__}.{name}").RENDERER for name in _modules()]
    return {renderer.name: renderer for renderer in found}


def connected(environ: Mapping[str, str]) -> dict[str, Tracker]:
    """The trackers that the environment has what they need for, by name. Raises ValueError with a sentence."""
    named = [name for name in _modules() if name != "local" and any(one.startswith(f"{name.upper()}_") for one in environ)]
    trackers = [importlib.import_module(f"{__name__}.{name}").connect(environ) for name in named]
    return {tracker.name: tracker for tracker in trackers if tracker}
