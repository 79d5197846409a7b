"""Sealing: the exact payload that would be filed, as bytes, and the hash that stands for it.

What is hashed is what is sent, so the hash changes when anything filed changes and never otherwise: evidence, authors and
counters are not in the payload. Order of keys, spacing and Unicode form are fixed by `canonical`.
"""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

FORMAT = 1
"""Version of the payload's form; it is part of the hash, so that a new form never passes for an old one."""

SHORT = 8
"""How many characters of a hash people see and type."""


PROJECT = r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,199}$"
"""What a project's name may be: a key, or the path of a repository."""


class Destination(BaseModel):
    """Where tickets go: a tracker's name and the project in it."""

    tracker: str = "local"
    project: str = "LOCAL"


class FieldChange(BaseModel):
    """What differs in one filed field between two sealed tickets: values that went and values that came."""

    field: str
    removed: list[str] = Field(default_factory=list)
    added: list[str] = Field(default_factory=list)


def canonical(payload: Mapping[str, Any]) -> bytes:
    """The one spelling of a payload: UTF-8, NFC, sorted keys, no insignificant space.

    Takes JSON values without floats (their spelling is not one); raises TypeError or ValueError for anything else.
    """
    return json.dumps(_normal(payload), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _normal(value: Any) -> Any:
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case bool() | int() | None:
            return value
        case Mapping():
            return {unicodedata.normalize("NFC", key): _normal(item) for key, item in value.items()}
        case list() | tuple():
            return [_normal(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


class SealedTicket(BaseModel):
    """A payload and its hash, which always belong together: a pair that does not match is refused when it is made."""

    payload: dict[str, Any]
    draft_hash: str = ""

    @model_validator(mode="after")
    def _belongs(self) -> Self:
        digest = hashlib.sha256(canonical(self.payload)).hexdigest()
        self.draft_hash = self.draft_hash or digest
        if self.draft_hash != digest:
            raise ValueError(f"the payload hashes to {digest}, not to {self.draft_hash}")
        return self

    @classmethod
    def of(cls, stored: "bytes", draft_hash: str) -> Self:
        """The ticket whose bytes were stored. Raises ValueError if they do not hash to this."""
        if (digest := hashlib.sha256(stored).hexdigest()) != draft_hash:
            raise ValueError(f"the stored bytes hash to {digest}, not to {draft_hash}")
        return cls(payload=json.loads(stored), draft_hash=draft_hash)

    @property
    def bytes(self) -> bytes:
        """What is stored with the preview and handed to the tracker."""
        return canonical(self.payload)


def seal(destination: Destination, rendered: Mapping[str, Any]) -> SealedTicket:
    """Seals what a tracker's `render` made of a draft (`type`, `title`, `body`, `fields`) for this destination."""
    payload = {"format": FORMAT, **destination.model_dump(), **rendered}
    return SealedTicket(payload=json.loads(canonical(payload)))


def diff(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[FieldChange]:
    """Field by field what changed from one payload to the next; empty if there was none before.

    The rendered body only repeats the fields, so it is named only when nothing else accounts for a difference.
    """
    if before is None:
        return []
    old, new = _flat(before), _flat(after)
    changes = []
    for field in sorted(old.keys() | new.keys(), key=list({**new, **old}).index):
        gone, come = Counter(old.get(field, [])), Counter(new.get(field, []))
        if old.get(field, []) != new.get(field, []):
            same = gone == come  # only the order changed: show it whole
            removed = old.get(field, []) if same else list((gone - come).elements())
            added = new.get(field, []) if same else list((come - gone).elements())
            changes.append(FieldChange(field=field, removed=removed, added=added))
    if not changes and before.get("body") != after.get("body"):
        return [FieldChange(field="body", removed=[str(before.get("body"))], added=[str(after.get("body"))])]
    return changes


def _flat(payload: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each filed field as a list of its values' texts, without those that only repeat others."""
    values = {key: value for key, value in payload.items() if key not in ("fields", "body", "format")}
    fields = dict(payload.get("fields", {}))
    values |= {f"custom.{name}": value for name, value in fields.pop("custom", {}).items()}
    values |= fields
    return {key: texts for key, value in values.items() if (texts := _texts(value))}


def _texts(value: Any) -> list[str]:
    match value:
        case None | "":
            return []
        case list():
            return [text for item in value for text in _texts(item)]
        case Mapping():
            named = {key: item for key, item in value.items() if item not in ("", None)}
            return [", ".join(f"{key}: {item}" for key, item in named.items())]
    return [str(value)]


def marker(session_id: str, draft_hash: str) -> str:
    """What a ticket carries so that it can be found again: one for each approval, and derived from nothing else."""
    return "signoff-" + hashlib.sha256(f"{session_id}\n{draft_hash}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
