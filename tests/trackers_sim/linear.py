"""A subset of Linear's GraphQL API. What is asked is checked against the types below, and only what is asked is answered.

Sources: linear/linear packages/sdk/src/schema.graphql (types, inputs, filters; IssueCreateInput.id "The identifier in UUID v4
format"; AttachmentCreateInput.url "If another attachment is created with the same `url` value, existing record is updated
instead"; priority 0 to 4; issue(id) and issueId take a UUID or an identifier) and packages/sdk/src/error.ts (error types, the
x-ratelimit-* headers). Recorded in several public repositories and not in Linear's documentation: the answer to an id that
is taken (HTTP 200, INPUT_ERROR, "conflict on insert of Issue", data null), "Entity not found: Issue", the 401 without data,
RATELIMITED as HTTP 400, a key sent as Bearer as HTTP 400, and that Markdown comes back changed: `-` bullets as `*`,
`_so_` as `*so*`, trailing blanks gone, a bare URL in `<>`.
"""

import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.trackers_sim.base import Json, Lag, Refusal, Sim, iso, read_body, running, seconds_of
from tests.trackers_sim.graphql import Field, SyntaxRefused, parse

PRIORITIES = ("No priority", "Urgent", "High", "Medium", "Low")
MAX_FIRST = 250

_SCALARS = {
    "User": "id name displayName email active app url",
    "Organization": "id name urlKey",
    "Team": "id key name displayName private",
    "WorkflowState": "id name type position color",
    "IssueLabel": "id name color isGroup description",
    "Project": "id name url slugId description",
    "Issue": "id identifier number title description url priority priorityLabel createdAt updatedAt archivedAt trashed "
    "labelIds branchName estimate dueDate previousIdentifiers",
    "Attachment": "id title subtitle url metadata sourceType createdAt updatedAt",
    "Comment": "id body url createdAt updatedAt issueId parentId",
    "PageInfo": "hasNextPage hasPreviousPage startCursor endCursor",
    "IssuePayload": "success lastSyncId",
    "AttachmentPayload": "success lastSyncId",
    "CommentPayload": "success lastSyncId",
    "IssueSearchPayload": "totalCount",
}
_LINKS = {
    "Query": {
        "viewer": "User",
        "organization": "Organization",
        "team": "Team",
        "teams": "TeamConnection",
        "issue": "Issue",
        "issues": "IssueConnection",
        "searchIssues": "IssueSearchPayload",
        "issueLabels": "IssueLabelConnection",
        "workflowStates": "WorkflowStateConnection",
        "projects": "ProjectConnection",
        "project": "Project",
        "comment": "Comment",
        "attachmentsForURL": "AttachmentConnection",
    },
    "Mutation": {"issueCreate": "IssuePayload", "attachmentCreate": "AttachmentPayload", "commentCreate": "CommentPayload"},
    "User": {"organization": "Organization"},
    "Team": {
        "states": "WorkflowStateConnection",
        "labels": "IssueLabelConnection",
        "projects": "ProjectConnection",
        "organization": "Organization",
        "defaultIssueState": "WorkflowState",
    },
    "WorkflowState": {"team": "Team"},
    "IssueLabel": {"team": "Team"},
    "Issue": {
        "team": "Team",
        "state": "WorkflowState",
        "assignee": "User",
        "creator": "User",
        "parent": "Issue",
        "project": "Project",
        "labels": "IssueLabelConnection",
        "comments": "CommentConnection",
        "attachments": "AttachmentConnection",
        "children": "IssueConnection",
    },
    "Attachment": {"issue": "Issue", "creator": "User"},
    "Comment": {"issue": "Issue", "user": "User"},
    "IssuePayload": {"issue": "Issue"},
    "AttachmentPayload": {"attachment": "Attachment"},
    "CommentPayload": {"comment": "Comment"},
    "IssueSearchPayload": {"nodes": "Issue", "edges": "IssueEdge", "pageInfo": "PageInfo"},
}
for _name in ("Team", "Issue", "IssueLabel", "WorkflowState", "Project", "Attachment", "Comment"):
    _LINKS[_name + "Connection"] = {"nodes": _name, "edges": _name + "Edge", "pageInfo": "PageInfo"}
    _LINKS[_name + "Edge"] = {"node": _name}
    _SCALARS[_name + "Edge"] = "cursor"
TYPES: dict[str, dict[str, str | None]] = {
    name: {"__typename": None} | dict.fromkeys(_SCALARS.get(name, "").split()) | _LINKS.get(name, {})
    for name in {**_SCALARS, **_LINKS}
}
INPUTS = {
    "issueCreate": "assigneeId completedAt createAsUser createdAt cycleId delegateId description descriptionData displayIconUrl"
    " dueDate estimate id labelIds lastAppliedTemplateId parentId preserveSortOrderOnCreate priority prioritySortOrder"
    " projectId projectMilestoneId referenceCommentId slaBreachesAt slaStartedAt slaType sortOrder sourceCommentId stateId"
    " subIssueSortOrder subscriberIds teamId templateId title useDefaultTemplate",
    "attachmentCreate": "commentBody createAsUser displayIconUrl groupBySource iconUrl id issueId metadata subtitle title url",
    "commentCreate": "body bodyData createAsUser createOnSyncedSlackThread createdAt displayIconUrl doNotSubscribeToIssue id "
    "issueId parentId projectId quotedText",
}
REQUIRED = {"issueCreate": ("teamId",), "attachmentCreate": ("issueId", "title", "url"), "commentCreate": ()}


@dataclass
class Team:
    """A team, with its states and labels as they are answered."""

    id: str
    key: str
    name: str
    states: list[Json]
    labels: list[Json]
    projects: list[Json] = field(default_factory=list)
    next_number: int = 1


@dataclass
class Issue:
    """An issue."""

    id: str
    team: Team
    number: int
    title: str
    description: str | None
    priority: int
    labels: list[Json]
    state: Json
    creator: Json
    assignee: Json | None = None
    parent: "Issue | None" = None
    project: Json | None = None
    at: float = 0
    archived: float | None = None
    attachments: list[Json] = field(default_factory=list)
    comments: list[Json] = field(default_factory=list)

    @property
    def identifier(self) -> str:
        """As in ENG-12."""
        return f"{self.team.key}-{self.number}"


class Linear(Sim):
    """The simulator, with the personal key `lin_api_test` and the OAuth token `lin_oauth_test`, both of signoff-bot."""

    def __init__(self) -> None:
        super().__init__()
        self.key = "lin_api_test"
        self.oauth_token = "lin_oauth_test"
        self.teams: list[Team] = []
        self.issues: list[Issue] = []
        self.users: list[Json] = []
        self.viewer = self.add_user("signoff-bot")
        self.workspace_labels: list[Json] = []
        self.listed = Lag()
        self.found = Lag()
        self.normalises: Literal["", "-", "*"] = ""
        self._entities: dict[str, str] = {}
        self._sync = 0

    # What a test makes

    def add_user(self, name: str) -> Json:
        """Somebody."""
        made = {"id": str(uuid.uuid4()), "name": name, "displayName": name, "email": f"{name}@example.com", "active": True}
        self.users.append(made | {"app": False, "url": f"https://linear.app/acme/profiles/{name}", **self._organization()})
        return self.users[-1]

    def add_team(self, key: str, name: str = "", labels: Iterable[str] = ("Bug",), projects: Iterable[str] = ()) -> Team:
        """A team with the usual states."""
        kinds = {
            "Backlog": "backlog",
            "Todo": "unstarted",
            "In Progress": "started",
            "Done": "completed",
            "Canceled": "canceled",
        }
        states = [
            {"id": str(uuid.uuid4()), "name": state, "type": kind, "position": at, "color": "#bec2c8"}
            for at, (state, kind) in enumerate(kinds.items())
        ]
        team = Team(str(uuid.uuid4()), key, name or key, states, [])
        self.teams.append(team)
        for state in states:
            state["team"] = lambda: self._team(team)
        for each in labels:
            self.add_label(each, team)
        for each in projects:
            slug = each.lower().replace(" ", "-")
            made = {"id": str(uuid.uuid4()), "name": each, "slugId": slug, "description": ""}
            team.projects.append(made | {"url": f"https://linear.app/acme/project/{slug}"})
        return team

    def add_label(self, name: str, team: Team | None = None) -> Json:
        """A label of a team, or of the workspace."""
        made = {"id": str(uuid.uuid4()), "name": name, "color": "#eb5757", "isGroup": False, "description": None}
        made["team"] = (lambda: self._team(team)) if team else None
        (team.labels if team else self.workspace_labels).append(made)
        return made

    def add_issue(self, team: Team, title: str, description: str | None = None, **more: Any) -> Issue:
        """An issue that somebody else made."""
        creator = more.pop("creator", None) or self.add_user("ann")
        return self._make(str(uuid.uuid4()), team, title, description, creator, more)

    def archive(self, issue: Issue) -> None:
        """Archive it: lists leave it out, `issue` still gives it."""
        issue.archived = time.time()

    # What a test switches

    def limit(self, seconds: float = 60, times: int = 1, within: str = "") -> None:
        """Refuse as when the requests of the hour are used up, requests whose body has the regular expression in it."""
        reset = str(int((time.time() + seconds) * 1000))
        headers = {"X-RateLimit-Requests-Limit": "2500", "X-RateLimit-Requests-Remaining": "0"}
        headers["X-RateLimit-Requests-Reset"] = reset
        said = "Rate limit exceeded. Only 2500 requests are allowed per 1 hour."
        self.answer(400, {"errors": [_error(said, "ratelimited", "RATELIMITED", 429)]}, headers, times=times, within=within)

    def fail(
        self, message: str, kind: str, code: str, *, status: int = 200, presentable: str = "", times: int = 1, within: str = ""
    ) -> None:
        """Answer with that error, and do nothing."""
        error = _error(message, kind, code, 400, presentable)
        self.answer(status, {"errors": [error], "data": None}, times=times, within=within)

    list_lag = seconds_of("listed")
    """After how many seconds `issues` lists an issue."""

    search_lag = seconds_of("found")
    """After how many seconds an issue is found."""

    def operations(self, name: str = "") -> list[Json]:
        """The bodies that came, of those that mention the name."""
        return [each.body for each in self.requests if isinstance(each.body, dict) and name in str(each.body.get("query"))]

    # HTTP

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The one address."""
        router.add_post("/graphql", self._serve_graphql)

    def extra_headers(self) -> dict[str, str]:
        """What every answer says about the limits."""
        reset = str(int((time.time() + 3600) * 1000))
        shown = {"X-Complexity": "1"}
        for name, limit in (("Requests", 2500), ("Complexity", 3000000)):
            shown |= {f"X-RateLimit-{name}-Limit": str(limit), f"X-RateLimit-{name}-Remaining": str(limit - 1)}
            shown[f"X-RateLimit-{name}-Reset"] = reset
        return shown

    async def _serve_graphql(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request.headers.get("Authorization", ""))
        given = await read_body(request)
        if not isinstance(given, dict) or not isinstance(given.get("query"), str):
            raise _graphql_error("POST body missing, invalid Content-Type, or JSON object has no keys.", "BAD_REQUEST")
        try:
            operation = parse(given["query"], dict(given.get("variables") or {}), given.get("operationName"))
        except SyntaxRefused as refused:
            code = "GRAPHQL_PARSE_FAILED" if str(refused).startswith("Syntax") else "GRAPHQL_VALIDATION_FAILED"
            raise _graphql_error(str(refused), code) from None
        root = operation.kind.capitalize()
        _check(root, operation.selected)
        data: Json = {}
        for each in operation.selected:
            resolved = self._resolve(each)
            data[each.alias] = _select(TYPES[root][each.name], resolved, each)
            if each.name == "issueCreate":
                self.created.set()
            if each.name == "commentCreate":
                self.commented.set()
        return web.json_response({"data": data})

    def _authenticate(self, given: str) -> None:
        if given in (self.key, f"Bearer {self.oauth_token}"):
            return
        if given == f"Bearer {self.key}":
            said = "It looks like you're trying to use an API key as a Bearer token. "
            said += "Remove the Bearer prefix from the Authorization header."
            raise Refusal(400, {"errors": [_error(said, "invalid input", "INPUT_ERROR", 400)]})
        presentable = "You need to authenticate to access this operation."
        said = "Authentication required, not authenticated"
        raise Refusal(401, {"errors": [_error(said, "authentication error", "AUTHENTICATION_ERROR", 401, presentable)]})

    # Queries

    def _resolve(self, asked: Field) -> Any:
        arguments = asked.arguments
        if asked.name in INPUTS:
            given = arguments.get("input")
            self._check_input(asked.name, given if isinstance(given, dict) else {})
            return getattr(self, "_" + re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), asked.name))(given)
        simple: dict[str, Callable[[], Any]] = {
            "viewer": lambda: self.viewer,
            "organization": lambda: self._organization()["organization"],
            "team": lambda: self._team(self._find_team(arguments.get("id"), by_key=True)),
            "teams": lambda: [self._team(each) for each in self.teams],
            "issue": lambda: self._issue(self._find_issue(arguments.get("id"))),
            "issueLabels": lambda: [*self.workspace_labels, *(each for team in self.teams for each in team.labels)],
            "workflowStates": lambda: [each for team in self.teams for each in team.states],
            "projects": lambda: [each for team in self.teams for each in team.projects],
            "project": lambda: self._find(
                "Project", arguments.get("id"), [each for team in self.teams for each in team.projects]
            ),
            "comment": lambda: self._find("Comment", arguments.get("id"), [each for at in self.issues for each in at.comments]),
            "attachmentsForURL": lambda: [
                each for at in self.issues for each in at.attachments if each["url"] == arguments.get("url")
            ],
        }
        if asked.name in simple:
            return simple[asked.name]()
        archived = bool(arguments.get("includeArchived"))
        lag = self.found if asked.name == "searchIssues" else self.listed
        shown = [each for each in reversed(self.issues) if lag.shows(each) and (archived or not each.archived)]
        if asked.name == "searchIssues":
            words = str(arguments.get("term", "")).casefold().split()
            shown = [each for each in shown if _mentions(each, words, comments=bool(arguments.get("includeComments")))]
        return [self._issue(each) for each in shown]

    def _check_input(self, name: str, given: Json) -> None:
        kind = name[0].upper() + name[1:] + "Input"
        for key in given:
            if key not in INPUTS[name].split():
                said = f'Variable "$input" got invalid value; Field "{key}" is not defined by type "{kind}".'
                raise _graphql_error(said, "BAD_USER_INPUT")
        for key in REQUIRED[name]:
            if given.get(key) is None:
                said = f'Variable "$input" got invalid value; Field "{key}" of required type "String!" was not provided.'
                raise _graphql_error(said, "BAD_USER_INPUT")
        if name == "issueCreate" and not isinstance(given.get("priority", 0), int):
            raise _graphql_error(
                'Variable "$input" got invalid value; Int cannot represent non-integer value.', "BAD_USER_INPUT"
            )
        if given.get("id") is not None and not _is_uuid4(given["id"]):
            raise _refused("Argument Validation Error", "INVALID_INPUT", "id must be a UUID.")

    def _issue_create(self, given: Json) -> Json:
        team = self._find_team(given["teamId"])
        if not str(given.get("title") or "").strip():
            raise _refused("Argument Validation Error", "INVALID_INPUT", "title should not be empty.")
        if given.get("priority", 0) not in range(5):
            raise _refused("Argument Validation Error", "INVALID_INPUT", "priority must not be greater than 4.")
        labels = [
            self._find("IssueLabel", each, [*self.workspace_labels, *team.labels], "labelIds")
            for each in given.get("labelIds") or []
        ]
        more: Json = {"labels": labels, "priority": given.get("priority", 0)}
        if given.get("stateId"):
            more["state"] = self._find("WorkflowState", given["stateId"], team.states)
        if given.get("assigneeId"):
            more["assignee"] = self._find("User", given["assigneeId"], self.users)
        if given.get("projectId"):
            more["project"] = self._find("Project", given["projectId"], [each for at in self.teams for each in at.projects])
        if given.get("parentId"):
            more["parent"] = self._find_issue(given["parentId"])
        number = self._claim("Issue", given.get("id"))
        issue = self._make(number, team, given["title"], given.get("description"), self.viewer, more)
        return self._payload(issue=self._issue(issue))

    def _attachment_create(self, given: Json) -> Json:
        issue, at = self._find_issue(given["issueId"]), iso(time.time(), milliseconds=True)
        told: Json = {key: given.get(key) for key in ("title", "subtitle", "url")} | {"metadata": given.get("metadata") or {}}
        for attachment in issue.attachments:
            if attachment["url"] == given["url"]:
                attachment |= told | {"updatedAt": at}
                return self._payload(attachment=attachment)
        made: Json = told | {
            "id": self._claim("Attachment", given.get("id")),
            "createdAt": at,
            "updatedAt": at,
            "sourceType": "api",
        }
        made |= {"creator": self.viewer, "issue": lambda: self._issue(issue)}
        issue.attachments.append(made)
        return self._payload(attachment=made)

    def _comment_create(self, given: Json) -> Json:
        if not given.get("issueId"):
            raise _refused("Argument Validation Error", "INVALID_INPUT", "issueId should not be empty.")
        issue = self._find_issue(given["issueId"])
        number, at = self._claim("Comment", given.get("id")), iso(time.time(), milliseconds=True)
        made: Json = {"id": number, "body": self._normal(given.get("body") or ""), "createdAt": at, "updatedAt": at}
        made |= {
            "issueId": issue.id,
            "parentId": given.get("parentId"),
            "user": self.viewer,
            "issue": lambda: self._issue(issue),
        }
        made["url"] = f"{self._url(issue)}#comment-{number[:8]}"
        issue.comments.append(made)
        return self._payload(comment=made)

    # Entities

    def _claim(self, kind: str, given: str | None) -> str:
        """An id that is free; one that is taken is refused as Linear does."""
        number = given or str(uuid.uuid4())
        if number in self._entities:
            raise _refused(f"conflict on insert of {kind}", "INPUT_ERROR", f"Entity {kind} with id {number} already exists.")
        self._entities[number] = kind
        return number

    def _make(self, number: str, team: Team, title: str, description: str | None, creator: Json, more: Json) -> Issue:
        more = {"labels": [], "priority": 0, "state": team.states[0], **more}
        text = None if description is None else self._normal(description)
        issue = Issue(number, team, team.next_number, title, text, creator=creator, at=time.time(), **more)
        self._entities[number] = "Issue"
        team.next_number += 1
        self.issues.append(issue)
        self.listed.note(issue)
        self.found.note(issue)
        return issue

    def _payload(self, **made: Any) -> Json:
        self._sync += 1
        return {"success": True, "lastSyncId": self._sync, **made}

    def _find(self, kind: str, number: Any, among: list[Json], argument: str = "") -> Json:
        for each in among:
            if each["id"] == number:
                return each
        raise _not_found(kind, f": {argument} contained an entry that could not be found." if argument else "")

    def _find_team(self, number: Any, *, by_key: bool = False) -> Team:
        team = next((each for each in self.teams if number == each.id or (by_key and number == each.key)), None)
        if not team:
            raise _not_found("Team")
        return team

    def _find_issue(self, number: Any) -> Issue:
        issue = next((each for each in self.issues if str(number) in (each.id, each.identifier)), None)
        if not issue:
            raise _not_found("Issue")
        return issue

    def _organization(self) -> Json:
        return {"organization": {"id": "0a0a0a0a-0000-4000-8000-000000000000", "name": "Acme", "urlKey": "acme"}}

    def _team(self, team: Team) -> Json:
        shown = {"id": team.id, "key": team.key, "name": team.name, "displayName": team.name, "private": False}
        shown |= {"states": team.states, "labels": team.labels, "projects": team.projects, "defaultIssueState": team.states[0]}
        return shown | self._organization()

    def _url(self, issue: Issue) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", issue.title.lower()).strip("-")
        return f"https://linear.app/acme/issue/{issue.identifier}/{slug}"

    def _issue(self, issue: Issue) -> Json:
        at = iso(issue.at, milliseconds=True)
        parent = issue.parent
        return {
            "id": issue.id,
            "identifier": issue.identifier,
            "number": issue.number,
            "title": issue.title,
            "description": issue.description,
            "url": self._url(issue),
            "priority": issue.priority,
            "priorityLabel": PRIORITIES[issue.priority],
            "createdAt": at,
            "updatedAt": at,
            "archivedAt": iso(issue.archived, milliseconds=True) if issue.archived else None,
            "labelIds": [each["id"] for each in issue.labels],
            "labels": issue.labels,
            "state": issue.state,
            "team": lambda: self._team(issue.team),
            "assignee": issue.assignee,
            "creator": issue.creator,
            "parent": (lambda: self._issue(parent)) if parent else None,
            "project": issue.project,
            "comments": issue.comments,
            "attachments": issue.attachments,
            "children": lambda: [self._issue(each) for each in self.issues if each.parent is issue],
            "branchName": f"signoff-bot/{issue.identifier.lower()}",
            "previousIdentifiers": [],
        }

    def _normal(self, text: str) -> str:
        """Markdown as it comes back, where that is switched on; the switch is the bullet that comes out."""
        if not self.normalises:
            return text
        lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
        return "\n".join(re.sub(r"^(\s*)[*-] ", rf"\g<1>{self.normalises} ", line) for line in lines).strip()


def _error(message: str, kind: str, code: str, status: int, presentable: str = "") -> Json:
    extensions: Json = {"type": kind, "code": code, "statusCode": status, "userError": True}
    if presentable:
        extensions["userPresentableMessage"] = presentable
    return {"message": message, "extensions": extensions}


def _refused(message: str, code: str, presentable: str) -> Refusal:
    """A refusal as HTTP 200, which is how Linear answers once an operation is understood."""
    return Refusal(200, {"errors": [_error(message, "invalid input", code, 400, presentable)], "data": None})


def _not_found(kind: str, more: str = "") -> Refusal:
    return _refused(f"Entity not found: {kind}{more}", "INPUT_ERROR", f"Could not find referenced {kind}.")


def _graphql_error(message: str, code: str) -> Refusal:
    return Refusal(400, {"errors": [_error(message, "graphql error", code, 400)]})


def _is_uuid4(text: Any) -> bool:
    try:
        return uuid.UUID(str(text)).version == 4 and len(str(text)) == 36
    except ValueError:
        return False


def _mentions(issue: Issue, words: list[str], *, comments: bool) -> bool:
    text = f"{issue.identifier} {issue.title} {issue.description or ''}"
    text += "".join(each["body"] for each in issue.comments) if comments else ""
    return all(word in text.casefold() for word in words)


def _check(kind: str, selected: list[Field]) -> None:
    """Refuse fields that the type does not have, and things without fields, as validation does."""
    for each in selected:
        if each.name not in TYPES[kind]:
            raise _graphql_error(f'Cannot query field "{each.name}" on type "{kind}".', "GRAPHQL_VALIDATION_FAILED")
        inner = TYPES[kind][each.name]
        if inner and not each.selected:
            said = f'Field "{each.name}" of type "{inner}" must have a selection of subfields.'
            raise _graphql_error(said, "GRAPHQL_VALIDATION_FAILED")
        if inner:
            _check(inner, each.selected)


def _select(kind: str | None, value: Any, asked: Field) -> Any:
    """Of a value, what is asked for."""
    value = value() if callable(value) else value
    if value is None or kind is None:
        return value
    if kind.endswith("Connection") or (kind == "IssueSearchPayload" and isinstance(value, list)):
        value = _connection(value, asked.arguments)
    if isinstance(value, list):
        return [_select(kind, each, asked) for each in value]
    names = {"__typename": kind}
    return {each.alias: _select(TYPES[kind][each.name], (value | names).get(each.name), each) for each in asked.selected}


def _connection(nodes: list[Json], arguments: Json) -> Json:
    """A page of what matches."""
    matching = [each for each in nodes if matches(each, arguments.get("filter") or {})]
    first = int(arguments.get("first") or 50)
    if first > MAX_FIRST:
        raise _refused("Argument Validation Error", "INVALID_INPUT", f"first must not be greater than {MAX_FIRST}.")
    ids = [each["id"] for each in matching]
    start = ids.index(arguments["after"]) + 1 if arguments.get("after") in ids else 0
    page = matching[start : start + first]
    info: Json = {"hasNextPage": start + first < len(matching), "hasPreviousPage": start > 0}
    info |= {"startCursor": page[0]["id"] if page else None, "endCursor": page[-1]["id"] if page else None}
    edges = [{"cursor": each["id"], "node": each} for each in page]
    return {"nodes": page, "edges": edges, "pageInfo": info, "totalCount": len(matching)}


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, given: value == given,
    "neq": lambda value, given: value != given,
    "in": lambda value, given: value in given,
    "nin": lambda value, given: value not in given,
    "eqIgnoreCase": lambda value, given: str(value).casefold() == str(given).casefold(),
    "contains": lambda value, given: given in (value or ""),
    "notContains": lambda value, given: given not in (value or ""),
    "containsIgnoreCase": lambda value, given: str(given).casefold() in (value or "").casefold(),
    "startsWith": lambda value, given: (value or "").startswith(given),
    "endsWith": lambda value, given: (value or "").endswith(given),
    "null": lambda value, given: (value is None) == given,
    "gt": lambda value, given: value > given,
    "gte": lambda value, given: value >= given,
    "lt": lambda value, given: value < given,
    "lte": lambda value, given: value <= given,
}


def matches(thing: Any, given: Json) -> bool:
    """Whether a thing satisfies a filter."""
    return all(_matches_one(thing, key, wanted) for key, wanted in given.items() if wanted is not None)


def _matches_one(thing: Any, key: str, wanted: Any) -> bool:
    if key in ("and", "or"):
        return (all if key == "and" else any)(matches(thing, each) for each in wanted)
    if isinstance(thing, list):
        if key in ("some", "every"):
            return (any if key == "some" else all)(matches(each, wanted) for each in thing)
        return any(_matches_one(each, key, wanted) for each in thing)
    if isinstance(thing, dict):
        if key == "null":
            return not wanted
        if key not in thing:
            raise _graphql_error(f'Field "{key}" is not defined by the filter.', "GRAPHQL_VALIDATION_FAILED")
        inner = thing[key]
        return matches(inner() if callable(inner) else inner, wanted)
    if key in COMPARE:
        return COMPARE[key](thing, wanted)
    if thing is None:
        return False
    raise _graphql_error(f'Field "{key}" is not defined by the comparator.', "GRAPHQL_VALIDATION_FAILED")


@asynccontextmanager
async def running_linear(port: int = 0) -> AsyncIterator[Linear]:
    """A Linear on a port of this machine, with no teams; its address is `url` + "/graphql"."""
    async with running(Linear(), port) as linear:
        yield linear
