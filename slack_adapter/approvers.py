"""Who may approve, and who may discard. What cannot be found out means no, and every no says why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.ports import Verdict
from slack_adapter.settings import Approvers
from slack_adapter.workspaces import UNANSWERED, Workspace, passes
from slack_adapter.workspaces import named as slack_error

NAMED = 10
"""People, and groups, that a refusal names."""

COULD_NOT_ASK = "Slack could not be asked who you are ({reason}), and then nobody may. Click again in a minute."
NO_GROUP = "Slack does not say who is in the user group {group} ({reason}): mend it with /signoff setup."


@dataclass(frozen=True)
class Person:
    """Who clicked, as the click itself says."""

    user: str
    team: str
    """The workspace or organisation the person belongs to; empty if the click does not say."""


async def verdict(workspace: Workspace, rule: Approvers, channel: str, person: Person, requester: str) -> Verdict:
    """Whether this person may approve what `requester` asked for in this channel."""
    try:
        return await ask(workspace, rule, channel, person, requester)
    except SlackApiError as error:
        return Verdict(allowed=False, why=COULD_NOT_ASK.format(reason=slack_error(error) or "no answer"))
    except UNANSWERED:
        return Verdict(allowed=False, why=COULD_NOT_ASK.format(reason="no answer"))


async def ask(workspace: Workspace, rule: Approvers, channel: str, person: Person, requester: str) -> Verdict:
    """The same, raising what keeps Slack from being asked: for where a no has consequences."""
    why = await _refused(workspace, rule, channel, person, requester)
    if why is None:
        return Verdict()
    return Verdict(allowed=False, why=" ".join(filter(None, (why, await told(workspace, rule)))))


async def _refused(workspace: Workspace, rule: Approvers, channel: str, person: Person, requester: str) -> str | None:
    """Why somebody may not; None if they may, and empty if they are simply none of those who may."""
    if rule.not_requester and person.user == requester:
        return "it takes somebody else than the one who asked for the ticket."
    user = await workspace.user(person.user)
    if user.get("deleted"):
        return "this account is deactivated."
    if person.user in rule.people:
        return None
    if why := outside(workspace, user, person):
        return why
    if rule.who == "workspace" and _at_home(workspace, user):
        return None
    if rule.who == "members" and person.user in await workspace.members(channel):
        return None
    unknown = ""
    for group in rule.groups:
        try:
            if person.user in await workspace.group(group):
                return None
        except SlackApiError as error:
            if passes(error):
                raise
            unknown = NO_GROUP.format(group=group, reason=slack_error(error))
    return unknown


def outside(workspace: Workspace, user: Mapping[str, Any], person: Person) -> str:
    """Why somebody does not count as a member of the organisation; empty for those who do.

    On Enterprise Grid a click may name another of the organisation's workspaces, or the organisation itself.
    """
    homes = {workspace.team, workspace.enterprise} - {""}
    grid = (user.get("enterprise_user") or {}).get("enterprise_id") or ""
    if not person.team or not (person.team in homes or grid in homes):
        return "only people of this organisation may."
    if user.get("is_bot") or user.get("is_workflow_bot") or user.get("id") == "USLACKBOT":
        return "an app may not."
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return "guests may not."
    if user.get("is_stranger") or not (grid in homes or user.get("team_id", workspace.team) in homes):
        return "only people of this organisation may."
    return ""


def _at_home(workspace: Workspace, user: Mapping[str, Any]) -> bool:
    """Whether somebody of the organisation is in this workspace of it."""
    teams = (user.get("enterprise_user") or {}).get("teams") or [user.get("team_id", workspace.team)]
    return workspace.team in teams


def awaited(rule: Approvers, requester: str) -> list[str]:
    """Mentions of those who may approve, where only they may: nobody else would think of it."""
    if rule.who != "listed":
        return []
    people = [person for person in rule.people if not (rule.not_requester and person == requester)]
    return [f"<@{person}>" for person in people[:NAMED]] + [f"<!subteam^{group}>" for group in rule.groups[:NAMED]]


async def told(workspace: Workspace, rule: Approvers) -> str:
    """Who may, in a sentence."""
    named = [f"@{await workspace.name('user', user)}" for user in rule.people[:NAMED]]
    named += [f"@{await workspace.name('group', group)}" for group in rule.groups[:NAMED]]
    if len(rule.people) > NAMED or len(rule.groups) > NAMED:
        named.append("others")
    if rule.who == "workspace":
        named = ["every full member of the workspace", *named]
    elif rule.who == "members":
        named = ["the full members of this channel", *named]
    if not named:
        return "Nobody may approve here yet: an admin of the workspace can name approvers with /signoff setup."
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"{listed[0].upper()}{listed[1:]} may approve" + (", but not who asked." if rule.not_requester else ".")
