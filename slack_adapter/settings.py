"""What is settled for a channel: where its tickets go, what they start with, and who may approve.

Three layers, the later over the earlier: `[default]` of the settings file, what `/signoff setup` has stored for the channel,
and the channel's own table in the file, which nobody in Slack can change.
"""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.protocol import Setting
from agent.sealing import PROJECT, Destination
from agent.surfaces import Places

UserId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]+$")]
GroupId = Annotated[str, Field(pattern=r"^S[A-Z0-9]+$")]
ChannelId = Annotated[str, Field(pattern=r"^[CG][A-Z0-9]+$")]


class BadSettings(Exception):
    """The settings file cannot be used; the text says where and why."""


class Approvers(BaseModel):
    """Who may approve. Guests, bots, strangers and people of other organisations only if they are listed by name."""

    model_config = ConfigDict(extra="forbid")

    who: Literal["members", "workspace", "listed"] = "members"
    """Full members of the channel, of the workspace, or only those listed."""
    people: list[UserId] = Field(default_factory=list)
    groups: list[GroupId] = Field(default_factory=list)
    not_requester: bool = False
    """Somebody else than the one who asked for the ticket has to approve it."""

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.who == "listed" and not (self.people or self.groups):
            raise ValueError("nobody is listed, so nobody could approve")
        return self


class ChannelSetting(BaseModel):
    """Everything that is settled for a channel."""

    model_config = ConfigDict(extra="forbid")

    tracker: str = "local"
    project: str = Field(default="LOCAL", pattern=PROJECT)
    issue_type: Literal["", "story", "bug", "task"] = ""
    labels: list[str] = Field(default_factory=list)
    assignee: str = ""
    open_to: Literal["everyone", "channel"] = "everyone"
    """Who can read the project; `channel`: nobody who cannot read the channel."""
    approvers: Approvers = Field(default_factory=Approvers)

    def setting(self) -> Setting:
        """The part that the draft and its destination follow."""
        destination = Destination(tracker=self.tracker, project=self.project)
        return Setting(destination=destination, issue_type=self.issue_type, labels=self.labels, assignee=self.assignee)


class SettingsFile(BaseModel):
    """The settings file (TOML), which `SIGNOFF_SETTINGS` names."""

    model_config = ConfigDict(extra="forbid")

    default: dict[str, Any] = Field(default_factory=dict)
    channels: dict[ChannelId, dict[str, Any]] = Field(default_factory=dict)
    home: dict[str, ChannelId] = Field(default_factory=dict)
    """Workspace -> the channel whose settings hold for direct messages, and where their cards go if need be."""


def load(path: str | None, trackers: Collection[str]) -> SettingsFile:
    """Reads the file, and tries each channel's settings, which may name these trackers. Raises BadSettings."""
    if not path:
        return SettingsFile()
    table = ""
    try:
        with Path(path).open("rb") as file:
            settings = SettingsFile.model_validate(tomllib.load(file))
        for name, given in {"default": settings.default, **settings.channels}.items():
            table = name
            tracker = ChannelSetting.model_validate({**settings.default, **given}).tracker
            if tracker not in trackers:
                known = ", ".join(trackers)
                raise BadSettings(f"{path}: {name} names the tracker {tracker!r}, and there are {known}: see docs/trackers.md.")
    except OSError as error:
        raise BadSettings(f"{path} cannot be read ({error.strerror}): correct SIGNOFF_SETTINGS, or unset it.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path} is no TOML ({error}): mend it.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (table, *first["loc"]) if table else first["loc"]))
        what = "is no key that there is" if first["type"] == "extra_forbidden" else f"is not as it should be ({first['msg']})"
        raise BadSettings(f"{path}: {where} {what}: mend it, see docs/slack.md.") from None
    return settings


class Settings:
    """The settings of every channel."""

    def __init__(self, file: SettingsFile, places: Places, destination: Destination) -> None:
        self._file, self._places, self._destination = file, places, destination.model_dump()

    async def of(self, team: str, channel: str) -> ChannelSetting:
        """What holds in a channel now."""
        stored = await self._places.read(f"{team}:{channel}")
        given = {**self._destination, **self._file.default, **stored, **self._file.channels.get(channel, {})}
        return ChannelSetting.model_validate(given)

    def fixed(self, channel: str) -> bool:
        """Whether the file settles this channel, so that nobody in Slack can."""
        return channel in self._file.channels

    async def place(self, team: str, channel: str) -> str:
        """The channel whose settings hold in this one: itself, or for a direct message the home of those if there is one."""
        return (await self.home(team) if channel.startswith("D") else "") or channel

    async def home(self, team: str) -> str:
        """The channel that stands in for direct messages; empty if there is none."""
        return self._file.home.get(team) or str((await self._places.read(team)).get("home", ""))

    async def set_home(self, team: str, channel: str, by: str) -> None:
        """Settles which channel stands in for direct messages."""
        await self._places.write(team, {"home": channel}, by)

    async def store(self, team: str, channel: str, setting: ChannelSetting, by: str) -> None:
        """Keeps what somebody settled in Slack."""
        await self._places.write(f"{team}:{channel}", setting.model_dump(), by)
