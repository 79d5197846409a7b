"""What a tracker says of a project: its types of tickets and their fields. It is plain data, so that rendering stays pure."""

from typing import Literal

from pydantic import BaseModel, Field

PLAIN = ("priority", "labels", "assignee", "parent")
"""Ids of the fields that a draft has fields of its own for."""

Kind = Literal["text", "paragraph", "number", "date", "option", "options", "labels", "user", "epic", "other"]
"""What a field takes; `other` is something that cannot be said in words, such as a file."""


class ProjectField(BaseModel):
    """A field of a type of ticket. Its name is what people call it; a draft knows it as `custom.NAME`."""

    id: str
    name: str
    kind: Kind = "text"
    required: bool = False
    options: list[str] = Field(default_factory=list)
    """The values that it takes, if those are given; at most `OPTIONS`."""


class TicketType(BaseModel):
    """A type of ticket, with the fields that can be filled in when one is made."""

    id: str
    name: str
    fields: list[ProjectField] = Field(default_factory=list)

    def field(self, name: str) -> ProjectField | None:
        """The field of this id, or of this name in any case."""
        return next((one for one in self.fields if one.id == name or one.name.casefold() == name.casefold()), None)

    def custom(self) -> list[str]:
        """The names of the fields that a draft knows as `custom.NAME`, and that words can fill in."""
        return [one.name for one in self.fields if one.kind not in ("epic", "other") and one.id not in PLAIN]


class Project(BaseModel):
    """A place that tickets are filed to, as its tracker describes it; the fields that a draft has no use for are left out."""

    key: str
    form: str = ""
    """Which of its forms the tracker has, where it has several, such as Jira's `cloud` and `server`."""
    types: list[TicketType] = Field(default_factory=list)

    def type_for(self, wanted: str) -> TicketType | None:
        """The type that a draft's `story`, `bug` or `task` is filed as: of that name, or of one that stands in for it."""
        by_name = {one.name.casefold(): one for one in self.types}
        for name in (wanted, *STANDS_IN.get(wanted, ())):
            if found := by_name.get(name):
                return found
        return self.types[0] if self.types else None


STANDS_IN = {"story": ("user story", "feature", "improvement", "task", "issue"), "bug": ("defect", "fault", "task", "issue"),
             "task": ("to-do", "issue", "story")}  # fmt: skip
"""The names of types that stand in for one that a project does not have, the nearest first."""

OPTIONS = 100
"""Options of one field that are kept of a description."""
