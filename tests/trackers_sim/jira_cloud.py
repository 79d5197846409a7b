"""A subset of Jira Cloud's REST API v3, below any prefix (the gateway's is /ex/jira/{cloudId}).

Sources: Atlassian's OpenAPI description (as jira-openapi-original.yml in api-evangelist/atlassian, and as models and live
tests of MrRefactoring/jira.js 6) for addresses, statuses, createmeta, search/jql (only ids unless fields are named, no order
between writing and finding, reconcileIssues), remote links (upsert by globalId), properties (32768 characters, keys of 255);
`adf.py` for documents. JRACLOUD-78553: a description over 32767 is refused as {"errorMessages": ["CONTENT_LIMIT_EXCEEDED"]},
and the number is used up all the same. What the 32767 are counted on is not documented: descriptions of 32,382 characters of
Markdown with tables and links were seen to be stored, so it is not the JSON; here it is the text, or the JSON where
`description_counts` says so. Error texts are recorded in public repositories: INVALID_INPUT for a document that breaks a rule
(live, in jt and in atlassian clients), "Operation value must be an Atlassian Document ...", "Comment body is not valid!",
"Field 'x' cannot be set. ...", "Summary must be less than 255 characters.", "Option id 'null' is not valid", a scope that is
missing as 401 from the gateway. Not documented either: expand=properties for the comments of an issue (it is for comment/list).
"""

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.trackers_sim import adf
from tests.trackers_sim.base import Json, Lag, Refusal, Sim, from_iso, iso, read_body, running, seconds_of

MAX_SUMMARY = 255
MAX_TEXT = 32767
MAX_PROPERTY = 32768
TEXTAREA = "com.atlassian.jira.plugin.system.customfieldtypes:textarea"
NO_DOCUMENT = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
NO_ISSUE = "Issue does not exist or you do not have permission to see it."
REMOVED = (
    "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. "
    "A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046"
)


@dataclass
class Field:
    """A field of a create screen."""

    id: str
    name: str
    schema: Json
    required: bool = False
    default: bool = False
    allowed: list[Json] | None = None

    def shown(self) -> Json:
        """As createmeta shows it."""
        made: Json = {"fieldId": self.id, "key": self.id, "name": self.name, "required": self.required, "operations": ["set"]}
        made |= {"hasDefaultValue": self.default, "schema": self.schema}
        return made | ({} if self.allowed is None else {"allowedValues": self.allowed})


@dataclass
class Kind:
    """An issue type of a project."""

    id: str
    name: str
    subtask: bool
    fields: dict[str, Field]


@dataclass
class Project:
    """A project."""

    id: str
    key: str
    name: str
    kinds: list[Kind]
    can_browse: bool = True
    can_create: bool = True
    numbers: int = 0


@dataclass
class Issue:
    """An issue; `fields` are as they are answered."""

    id: str
    key: str
    project: Project
    fields: Json
    properties: Json
    at: float
    links: list[Json] = field(default_factory=list)
    comments: list[Json] = field(default_factory=list)


class Jira(Sim):
    """The simulator, for the address and the token of signoff-bot. `reasons` says what was wrong with refused documents."""

    def __init__(self) -> None:
        super().__init__()
        self.email, self.token, self.bearer = "bot@example.com", "jira-test", "jira-oauth-test"
        self.cloud_id = "11111111-2222-3333-4444-555555555555"
        self.account = {"accountId": "5b10a2844c20165700ede21g", "accountType": "app", "active": True}
        self.account |= {"displayName": "signoff-bot", "emailAddress": self.email, "timeZone": "Europe/Berlin"}
        self.projects: dict[str, Project] = {}
        self.issues: list[Issue] = []
        self.priorities = [{"id": str(at), "name": name} for at, name in enumerate(("Highest", "High", "Medium", "Low"), 1)]
        self.users = {self.account["accountId"]: self.account}
        self.indexed = Lag()
        self.normalises = False
        self.description_counts: Literal["text", "json"] = "text"
        self.anonymous_search = False
        self.scopes_match = True
        self.reasons: list[str] = []
        self._unseen = 0
        self._ids = 10000

    # What a test makes

    def add_project(self, key: str, name: str = "", kinds: Iterable[str] = ("Task", "Bug", "Sub-task"), **more: Any) -> Project:
        """A project; can_browse=False hides it, can_create=False refuses to create in it."""
        project = Project(self._id(), key, name or key, [], **more)
        self.projects[key] = project
        for each in kinds:
            project.kinds.append(Kind(self._id(), each, each == "Sub-task", {}))
        basic = [
            Field("summary", "Summary", {"type": "string", "system": "summary"}, required=True),
            Field("issuetype", "Issue Type", {"type": "issuetype", "system": "issuetype"}, required=True),
            Field("project", "Project", {"type": "project", "system": "project"}, required=True),
            Field("description", "Description", {"type": "string", "system": "description"}),
            Field("labels", "Labels", {"type": "array", "items": "string", "system": "labels"}),
            Field("priority", "Priority", {"type": "priority", "system": "priority"}, default=True, allowed=self.priorities),
            Field("assignee", "Assignee", {"type": "user", "system": "assignee"}),
            Field("parent", "Parent", {"type": "issuelink", "system": "parent"}),
        ]
        for made in basic:
            self.add_field(key, made)
        return project

    def add_field(self, project: str, made: Field, kind: str | None = None) -> Field:
        """Put a field on the create screen of a type, or of all types of the project."""
        for each in self.projects[project].kinds:
            if kind in (None, each.name):
                each.fields[made.id] = made
        return made

    def add_select(
        self, project: str, number: int, name: str, options: Iterable[str], *, required: bool = False, kind: str | None = None
    ) -> Field:
        """A custom field with options."""
        schema = {"type": "option", "customId": number, "custom": "com.atlassian.jira.plugin.system.customfieldtypes:select"}
        allowed = [{"id": self._id(), "value": each} for each in options]
        return self.add_field(project, Field(f"customfield_{number}", name, schema, required=required, allowed=allowed), kind)

    def remove_field(self, project: str, number: str, kind: str | None = None) -> None:
        """Take a field off the create screen."""
        for each in self.projects[project].kinds:
            if kind in (None, each.name):
                each.fields.pop(number, None)

    def add_issue(self, project: str, summary: str, kind: str = "Task", **fields: Any) -> Issue:
        """An issue that somebody else made."""
        at = self.projects[project]
        chosen = next(each for each in at.kinds if each.name == kind)
        return self._make(at, chosen, {"summary": summary, **fields}, {}, {"accountId": "ann", "displayName": "ann"})

    def edit(self, key: str, **fields: Any) -> None:
        """Change an issue as a person would."""
        self.issue(key).fields.update(fields)

    def issue(self, key: str) -> Issue:
        """The issue of that key."""
        return next(each for each in self.issues if key in (each.key, each.id))

    # What a test switches

    def limit(self, seconds: float = 60, times: int = 1, method: str | None = None, path: str = "") -> None:
        """Refuse as when too much was asked."""
        body = {"errorMessages": ["Rate limit exceeded."], "errors": {}}
        self.answer(429, body, {"Retry-After": f"{seconds:g}"}, times=times, method=method, path=path)

    def hide_from_search(self, times: int = 1) -> None:
        """Let the next searches find nothing: what was found once may be gone for a while."""
        self._unseen += times

    index_lag = seconds_of("indexed")
    """After how many seconds an issue is found."""

    # HTTP

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve below any prefix."""
        rest = "/{prefix:(?:.*/)?}rest/api/"
        router.add_get(rest + "{version:2|3}/serverInfo", self._get_server_info)
        router.add_get(rest + "3/myself", self._get_myself)
        router.add_get(rest + "3/project/{key}", self._get_project)
        router.add_get(rest + "3/issue/createmeta/{key}/issuetypes", self._get_kinds)
        router.add_get(rest + "3/issue/createmeta/{key}/issuetypes/{kind}", self._get_fields)
        router.add_post(rest + "3/issue", self._create_issue)
        router.add_get(rest + "3/search/jql", self._search)
        router.add_post(rest + "3/search/jql", self._search)
        router.add_route("*", rest + "{version:2|3}/search", self._removed)
        router.add_get(rest + "3/issue/{key}", self._get_issue)
        router.add_put(rest + "3/issue/{key}", self._edit_issue)
        router.add_get(rest + "3/issue/{key}/properties/{name}", self._get_property)
        router.add_put(rest + "3/issue/{key}/properties/{name}", self._set_property)
        router.add_get(rest + "3/issue/{key}/remotelink", self._get_links)
        router.add_post(rest + "3/issue/{key}/remotelink", self._set_link)
        router.add_get(rest + "3/issue/{key}/comment", self._get_comments)
        router.add_post(rest + "3/issue/{key}/comment", self._create_comment)
        router.add_post(rest + "3/comment/list", self._list_comments)

    def not_served(self, request: web.Request) -> web.StreamResponse:
        """As Jira does, which is no JSON."""
        return web.Response(status=404, text="<html><title>Oops, you&#39;ve found a dead link.</title></html>")

    async def _get_server_info(self, request: web.Request) -> web.StreamResponse:
        at = iso(time.time(), milliseconds=True, zone="+0000")
        shown: Json = {
            "baseUrl": self.url,
            "displayUrl": self.url,
            "version": "1001.0.0-SNAPSHOT",
            "versionNumbers": [1001, 0, 0],
        }
        shown |= {"deploymentType": "Cloud", "buildNumber": 100000, "serverTime": at, "serverTitle": "Jira"}
        return web.json_response(shown)

    async def _get_myself(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        return web.json_response({"self": self._at(f"user?accountId={self.account['accountId']}"), **self.account})

    async def _get_project(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        project = self._project(request.match_info["key"])
        shown: Json = {"id": project.id, "key": project.key, "name": project.name, "self": self._at(f"project/{project.id}")}
        shown |= {"issueTypes": [self._kind(each) for each in project.kinds], "style": "classic", "projectTypeKey": "software"}
        return web.json_response(shown)

    async def _get_kinds(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        kinds = [self._kind(each) for each in self._project(request.match_info["key"]).kinds]
        return web.json_response(_page(request, "issueTypes", kinds))

    async def _get_fields(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        project = self._project(request.match_info["key"])
        kind = next((each for each in project.kinds if each.id == request.match_info["kind"]), None)
        if not kind:
            raise _refused("Issue type does not exist or you do not have permission to see it.", status=404)
        return web.json_response(_page(request, "fields", [each.shown() for each in kind.fields.values()]))

    async def _create_issue(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        given = await _object(request)
        fields = given.get("fields") or {}
        project = self._chosen_project(fields.get("project"))
        if not project.can_create:
            raise _refused("You do not have permission to create issues in this project.", status=403)
        kind = self._chosen_kind(project, fields.get("issuetype"))
        errors: dict[str, str] = {}
        kept = {name: self._value(kind, name, value, errors) for name, value in fields.items() if name not in _CHOSEN}
        self._check_required(kind, fields, errors)
        properties = _properties(given.get("properties") or [], errors)
        if errors:
            raise _refused(errors=errors)
        description = fields.get("description")
        if description is not None and self._length(description) > MAX_TEXT:
            project.numbers += 1
            raise _refused("CONTENT_LIMIT_EXCEEDED")
        issue = self._make(project, kind, kept, properties, self.account)
        self.created.set()
        shown = {"id": issue.id, "key": issue.key, "self": self._at(f"issue/{issue.id}")}
        return web.json_response(shown, status=201)

    async def _get_issue(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        issue = self._issue(request)
        names = request.query.get("fields", "*all").split(",")
        return web.json_response(self._shown(issue, names, request.query.get("properties", "").split(",")))

    async def _edit_issue(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        issue, given = self._issue(request), await _object(request)
        kind = next(each for each in issue.project.kinds if each.id == issue.fields["issuetype"]["id"])
        errors: dict[str, str] = {}
        kept = {name: self._value(kind, name, value, errors) for name, value in (given.get("fields") or {}).items()}
        properties = _properties(given.get("properties") or [], errors)
        if errors:
            raise _refused(errors=errors)
        if kept.get("description") is not None and self._length(kept["description"]) > MAX_TEXT:
            raise _refused(errors={"description": "CONTENT_LIMIT_EXCEEDED"})
        issue.fields |= kept
        issue.properties |= properties
        return web.Response(status=204)

    async def _get_property(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        issue, name = self._issue(request), request.match_info["name"]
        if name not in issue.properties:
            raise _refused(f"The property {name} does not exist.", status=404)
        return web.json_response({"key": name, "value": issue.properties[name]})

    async def _set_property(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        issue, name = self._issue(request), request.match_info["name"]
        errors: dict[str, str] = {}
        made = _properties([{"key": name, "value": await read_body(request)}], errors)
        if errors:
            raise _refused(errors=errors)
        status = 200 if name in issue.properties else 201
        issue.properties |= made
        return web.json_response({}, status=status)

    async def _removed(self, request: web.Request) -> web.StreamResponse:
        raise _refused(REMOVED, status=410)

    async def _search(self, request: web.Request) -> web.StreamResponse:
        if self.anonymous_search and not self._is_known(request):
            return web.json_response({"issues": [], "isLast": True})
        self._authenticate(request)
        given: Json = dict(request.query) if request.method == "GET" else await _object(request)
        names, properties, reconciled = (_listed(given.get(each)) for each in ("fields", "properties", "reconcileIssues"))
        clauses, ascending = _parse_jql(str(given.get("jql") or ""))
        for clause in clauses:
            self._check_clause(*clause)
        unseen = self._unseen > 0
        self._unseen -= unseen
        found = []
        for issue in self.issues:
            seen = str(issue.id) in map(str, reconciled) or (self.indexed.shows(issue) and not unseen)
            if seen and issue.project.can_browse and all(self._holds(issue, *each) for each in clauses):
                found.append(issue)
        found.sort(key=lambda each: int(each.id), reverse=not ascending)
        start = _start(given.get("nextPageToken"))
        size = min(int(given.get("maxResults") or 50), 5000)
        page = found[start : start + size]
        only_ids = not names or names == ["id"]
        shown: Json = {"issues": [{"id": each.id} if only_ids else self._shown(each, names, properties) for each in page]}
        shown["isLast"] = start + size >= len(found)
        if not shown["isLast"]:
            shown["nextPageToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        return web.json_response(shown)

    async def _get_links(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        links, wanted = self._issue(request).links, request.query.get("globalId")
        if wanted is None:
            return web.json_response(links)
        for each in links:
            if each.get("globalId") == wanted:
                return web.json_response(each)
        raise _refused(f"No Link Issue Link with global id '{wanted}' exists.", status=404)

    async def _set_link(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        issue, given = self._issue(request), await _object(request)
        errors = {name: f"'{name}' is required." for name in ("url", "title") if not (given.get("object") or {}).get(name)}
        number = given.get("globalId")
        if number is not None and len(str(number)) > 255:
            errors["globalId"] = "'globalId' must not be longer than 255 characters."
        if errors:
            raise _refused(errors=errors)
        told: Json = {name: given[name] for name in ("globalId", "application", "relationship", "object") if name in given}
        for link in issue.links:
            if number is not None and link.get("globalId") == number:
                kept = {name: link[name] for name in ("id", "self")}
                link.clear()
                link |= kept | told
                return web.json_response(kept)
        made = int(self._id())
        where = f"{self.url}/rest/api/3/issue/{issue.key}/remotelink/{made}"
        issue.links.append({"id": made, "self": where, **told})
        return web.json_response({"id": made, "self": where}, status=201)

    async def _get_comments(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        comments = self._issue(request).comments
        if request.query.get("orderBy") == "-created":
            comments = comments[::-1]
        wide = "properties" in request.query.get("expand", "")
        return web.json_response(_page(request, "comments", [_comment(each, wide=wide) for each in comments]))

    async def _create_comment(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        issue, given = self._issue(request), await _object(request)
        body = given.get("body")
        errors: dict[str, str] = {}
        if not isinstance(body, dict):
            raise _refused(errors={"comment": "Comment body is not valid!"})
        if found := adf.problems(body):
            self.reasons += found
            raise _refused("INVALID_INPUT")
        if self._length(body) > MAX_TEXT:
            raise _refused(errors={"comment": "CONTENT_LIMIT_EXCEEDED"})
        properties = _properties(given.get("properties") or [], errors)
        if errors:
            raise _refused(errors=errors)
        number, at = self._id(), iso(time.time(), milliseconds=True, zone="+0000")
        made: Json = {"id": number, "self": self._at(f"issue/{issue.id}/comment/{number}"), "author": self.account}
        made |= {"body": self._stored(body), "created": at, "updated": at, "updateAuthor": self.account, "jsdPublic": True}
        made["properties"] = [{"key": key, "value": value} for key, value in properties.items()]
        issue.comments.append(made)
        self.commented.set()
        return web.json_response(_comment(made, wide=False), status=201)

    async def _list_comments(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        ids = [str(each) for each in (await _object(request)).get("ids") or []]
        if not ids or len(ids) > 1000:
            raise _refused("The ids must be between 1 and 1000.")
        wide = "properties" in request.query.get("expand", "")
        found = [_comment(each, wide=wide) for issue in self.issues for each in issue.comments if each["id"] in ids]
        return web.json_response({"isLast": True, "maxResults": 1048576, "startAt": 0, "total": len(found), "values": found})

    # Who asks, and for what

    def _is_known(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        basic = base64.b64encode(f"{self.email}:{self.token}".encode()).decode()
        return given == f"Basic {basic}" or (self._is_gateway(request) and given == f"Bearer {self.bearer}")

    def _is_gateway(self, request: web.Request) -> bool:
        return request.match_info["prefix"].startswith("ex/jira/")

    def _authenticate(self, request: web.Request) -> None:
        """Refuse strangers, in text, and as the gateway those who lack a scope."""
        if self._is_gateway(request):
            if request.match_info["prefix"] != f"ex/jira/{self.cloud_id}/":
                raise Refusal(404, {"code": 404, "message": "Not Found"})
            if not self._is_known(request):
                raise Refusal(401, {"code": 401, "message": "Unauthorized"})
            if not self.scopes_match:
                raise Refusal(401, {"code": 401, "message": "Unauthorized; scope does not match"})
        elif not self._is_known(request):
            raise Refusal(401, "Client must be authenticated to access this resource.", {"WWW-Authenticate": "OAuth realm=x"})

    def _project(self, key: str) -> Project:
        for project in self.projects.values():
            if key in (project.key, project.id) and project.can_browse:
                return project
        raise _refused(f"No project could be found with key '{key}'.", status=404)

    def _chosen_project(self, given: Any) -> Project:
        chosen = given if isinstance(given, dict) else {}
        for project in self.projects.values():
            if project.can_browse and (chosen.get("key") == project.key or str(chosen.get("id")) == project.id):
                return project
        raise _refused(errors={"project": "valid project is required"})

    def _chosen_kind(self, project: Project, given: Any) -> Kind:
        chosen = given if isinstance(given, dict) else {}
        for kind in project.kinds:
            if str(chosen.get("id")) == kind.id or ("id" not in chosen and chosen.get("name") == kind.name):
                return kind
        raise _refused(errors={"issuetype": "Specify a valid issue type"})

    def _issue(self, request: web.Request) -> Issue:
        wanted = request.match_info["key"]
        for issue in self.issues:
            if wanted.upper() in (issue.key, issue.id) and issue.project.can_browse:
                return issue
        raise _refused(NO_ISSUE, status=404)

    # Fields

    def _value(self, kind: Kind, name: str, value: Any, errors: dict[str, str]) -> Any:
        """A value as it is kept; what is wrong with it is noted."""
        on_screen = kind.fields.get(name)
        if not on_screen:
            errors[name] = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            return None
        if value is None:
            return None
        check = getattr(self, f"_check_{name}", None)
        if check:
            return check(value, errors)
        kinds = on_screen.schema.get("type")
        if on_screen.schema.get("custom") == TEXTAREA:
            return self._document(name, value, errors)
        if kinds == "option":
            return _option(on_screen, value, errors)
        if kinds == "array" and on_screen.schema.get("items") == "option" and isinstance(value, list):
            return [_option(on_screen, each, errors) for each in value]
        if kinds == "string" and not isinstance(value, str):
            errors[name] = "Operation value must be a string"
        if kinds == "number" and not isinstance(value, int | float):
            errors[name] = "Operation value must be a number"
        if kinds == "array" and not isinstance(value, list):
            errors[name] = "data was not an array"
        return value

    def _check_summary(self, value: Any, errors: dict[str, str]) -> Any:
        if not isinstance(value, str):
            errors["summary"] = "Operation value must be a string"
        elif not value.strip():
            errors["summary"] = "You must specify a summary of the issue."
        elif "\n" in value or "\r" in value:
            errors["summary"] = "The summary is invalid because it contains newline characters."
        elif len(value) > MAX_SUMMARY:
            errors["summary"] = f"Summary must be less than {MAX_SUMMARY} characters."
        return value.strip() if isinstance(value, str) else value

    def _check_description(self, value: Any, errors: dict[str, str]) -> Any:
        return self._document("description", value, errors)

    def _document(self, name: str, value: Any, errors: dict[str, str]) -> Any:
        """A document; one that breaks a rule is refused without a word on which."""
        if not isinstance(value, dict):
            errors[name] = NO_DOCUMENT
            return None
        if found := adf.problems(value):
            self.reasons += found
            raise _refused("INVALID_INPUT")
        return self._stored(value)

    def _check_labels(self, value: Any, errors: dict[str, str]) -> Any:
        if not isinstance(value, list):
            errors["labels"] = "data was not an array"
            return []
        for each in value:
            if re.search(r"\s", str(each)):
                errors["labels"] = f"The label '{each}' contains spaces which is invalid."
            elif len(str(each)) > 255:
                errors["labels"] = f"The label '{each}' exceeds the maximum length for single label of 255 characters."
        return list(dict.fromkeys(value))

    def _check_priority(self, value: Any, errors: dict[str, str]) -> Any:
        for each in self.priorities:
            if isinstance(value, dict) and (str(value.get("id")) == each["id"] or value.get("name") == each["name"]):
                return each
        errors["priority"] = "The priority selected is invalid."
        return None

    def _check_assignee(self, value: Any, errors: dict[str, str]) -> Any:
        known = self.users.get(str(value.get("accountId") or value.get("id"))) if isinstance(value, dict) else None
        if not known:
            errors["assignee"] = "User does not exist or is not assignable."
        return known

    def _check_parent(self, value: Any, errors: dict[str, str]) -> Any:
        wanted = (value.get("key"), value.get("id")) if isinstance(value, dict) else ()
        for each in self.issues:
            if each.key in wanted or each.id in wanted:
                return {"id": each.id, "key": each.key, "self": self._at(f"issue/{each.id}")}
        errors["parent"] = "Could not find issue by id or key."
        return None

    def _check_required(self, kind: Kind, fields: Json, errors: dict[str, str]) -> None:
        for each in kind.fields.values():
            if each.required and not each.default and fields.get(each.id) in (None, "", []) and each.id not in errors:
                missing = "You must specify a summary of the issue." if each.id == "summary" else f"{each.name} is required."
                errors[each.id] = missing
        if kind.subtask and not fields.get("parent"):
            errors["issuetype"] = "Issue type is a sub-task but parent issue key or id not specified."

    def _length(self, document: Json) -> int:
        """How long a document is taken to be."""
        return len(adf.text_of(document) if self.description_counts == "text" else json.dumps(document, separators=(",", ":")))

    def _stored(self, document: Json) -> Json:
        return adf.normalised(document, lambda: f"{int(self._id()):012x}") if self.normalises else document

    # How things look

    def _id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _at(self, path: str) -> str:
        return f"{self.url}/rest/api/3/{path}"

    def _kind(self, kind: Kind) -> Json:
        shown: Json = {"id": kind.id, "name": kind.name, "description": "", "subtask": kind.subtask}
        return shown | {"self": self._at(f"issuetype/{kind.id}"), "hierarchyLevel": -1 if kind.subtask else 0}

    def _make(self, project: Project, kind: Kind, fields: Json, properties: Json, who: Json) -> Issue:
        project.numbers += 1
        at = time.time()
        shown = iso(at, milliseconds=True, zone="+0000")
        given: Json = {"summary": None, "description": None, "labels": [], "priority": self.priorities[2], "assignee": None}
        given |= {name: value for name, value in fields.items() if value is not None}
        given |= {"issuetype": self._kind(kind), "status": {"id": "1", "name": "To Do"}, "created": shown, "updated": shown}
        given["project"] = {"id": project.id, "key": project.key, "name": project.name}
        given |= {"creator": who, "reporter": who}
        issue = Issue(self._id(), f"{project.key}-{project.numbers}", project, given, properties, at)
        self.issues.append(issue)
        self.indexed.note(issue)
        return issue

    def _shown(self, issue: Issue, names: list[str], properties: list[str]) -> Json:
        """An issue with these fields and properties."""
        left_out = {each[1:] for each in names if each.startswith("-")}
        all_fields = bool({"*all", "*navigable"} & set(names)) or all(each.startswith("-") for each in names)
        fields = {name: value for name, value in issue.fields.items() if (all_fields or name in names) and name not in left_out}
        shown = {"expand": "", "id": issue.id, "key": issue.key, "self": self._at(f"issue/{issue.id}"), "fields": fields}
        if any(properties):
            every = "*all" in properties
            shown["properties"] = {name: value for name, value in issue.properties.items() if every or name in properties}
        return shown

    def _check_clause(self, name: str, operator: str, value: str) -> None:
        """Refuse a clause that cannot be answered."""
        if name not in _OPERATORS:
            raise _jql(f"Field '{name}' does not exist or you do not have permission to view it.")
        if operator not in _OPERATORS[name].split():
            raise _jql(f"The operator '{operator}' is not supported by the '{name}' field.")
        seen = [each for each in self.projects.values() if each.can_browse]
        wanted = _values(operator, value)
        for each in wanted if name == "project" else []:
            if not any(each in (project.key, project.name, project.id) for project in seen):
                raise _jql(f"The value '{each}' does not exist for the field 'project'.")
        for each in wanted if name in _KEYS else []:
            if not any(each in (issue.key, issue.id) for issue in self.issues):
                raise _jql(f"An issue with key '{each}' does not exist for field '{name}'.")
        if name == "created":
            _moment(value)

    def _holds(self, issue: Issue, name: str, operator: str, value: str) -> bool:
        """Whether a clause holds."""
        fields = issue.fields
        if operator == "~":
            text = adf.text_of(fields["description"]) if fields["description"] else ""
            texts = {"summary": fields["summary"], "description": text, "text": f"{fields['summary']}\n{text}"}
            return _mentions(str(texts[name]), value)
        if name == "created":
            return bool(_ORDER[operator](issue.at, _moment(value)))
        kinds = (fields["issuetype"]["name"], fields["issuetype"]["id"])
        values: dict[str, tuple[Any, ...]] = {
            "project": (issue.project.key, issue.project.name, issue.project.id),
            "labels": tuple(fields["labels"]),
            "issuetype": kinds,
            "type": kinds,
            "creator": (fields["creator"]["accountId"],),
            "reporter": (fields["reporter"]["accountId"],),
            "status": (fields["status"]["name"],),
        }
        wanted = [self.account["accountId"] if each == "currentUser()" else each for each in _values(operator, value)]
        return any(each in values.get(name, (issue.key, issue.id)) for each in wanted) != (operator == "!=")


_CHOSEN = ("project", "issuetype")
_ORDER = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
}
_KEYS = ("key", "issuekey", "issue", "id")
_OPERATORS = dict.fromkeys(("project", "labels", "issuetype", "type", "creator", "reporter", "status", *_KEYS), "= != in") | {
    "summary": "~",
    "description": "~",
    "text": "~",
    "created": ">= <= > <",
}
_CLAUSE = re.compile(
    r"""\s*([\w.\[\]]+)\s*(>=|<=|!=|=|~|>|<|\bin\b)\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\([^)]*\)|\w+\(\)|[^\s"'()]+)\s*""",
    re.I,
)


def _refused(message: str = "", *, status: int = 400, errors: dict[str, str] | None = None) -> Refusal:
    return Refusal(status, {"errorMessages": [message] if message else [], "errors": errors or {}})


def _jql(message: str) -> Refusal:
    return Refusal(400, {"errorMessages": [message], "warningMessages": []})


def _values(operator: str, value: str) -> list[str]:
    """The values of a clause."""
    return [each.strip().strip("\"'") for each in value[1:-1].split(",")] if operator == "in" else [value]


def _parse_jql(text: str) -> tuple[list[tuple[str, str, str]], bool]:
    """The clauses, all of which must hold, and whether the oldest come first."""
    where, *order = re.split(r"(?i)\border\s+by\b", text, maxsplit=1)
    ascending = bool(order) and not re.search(r"(?i)\bdesc\b", order[0])
    if not where.strip():
        raise _jql("Unbounded JQL queries are not allowed here. Please add a search restriction to your query.")
    clauses, at = [], 0
    while True:
        found = _CLAUSE.match(where, at)
        if not found:
            near = where[at:].strip() or "end of query"
            raise _jql(
                f"Error in the JQL Query: Expecting operator or value but got '{near[:40]}'. (line 1, character {at + 1})"
            )
        name, operator, value = found.groups()
        if value[0] in "\"'":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        clauses.append((name.lower(), operator.lower(), value))
        at = found.end()
        if at >= len(where):
            return clauses, ascending
        following = re.match(r"(?i)and\b\s*", where[at:])
        if not following:
            raise _jql(f"Error in the JQL Query: Expecting either 'OR' or 'AND' but got '{where[at:].split()[0]}'.")
        at += following.end()


def _mentions(text: str, value: str) -> bool:
    """Whether a text has all the words, or the phrase where it is in quotes; the last may be cut short with a star."""
    phrase = value.startswith('"') and value.endswith('"') and len(value) > 1
    words, wanted = re.findall(r"\w+", text.casefold()), re.findall(r"\w+\*?", value.casefold())
    if phrase:
        return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))
    return all(any(each.startswith(one[:-1]) if one.endswith("*") else each == one for each in words) for one in wanted)


def _moment(value: str) -> float:
    ago = re.fullmatch(r"-(\d+)([mhdw])", value)
    if ago:
        return time.time() - int(ago[1]) * {"m": 60, "h": 3600, "d": 86400, "w": 604800}[ago[2]]
    try:
        return from_iso(value.replace("/", "-"))
    except ValueError:
        said = f"Date value '{value}' for field 'created' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', "
        said += "'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
        raise _jql(said) from None


def _start(token: Any) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(str(token)))
    except ValueError:
        raise _jql("The provided next page token is invalid.") from None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [each for each in str(value or "").split(",") if each]


def _page(request: web.Request, name: str, things: list[Json]) -> Json:
    start, size = int(request.query.get("startAt", 0)), int(request.query.get("maxResults", 50))
    if size > 200 and name != "comments":
        raise _refused("Parameter 'maxResults' must not exceed the limit '200'")
    return {"startAt": start, "maxResults": size, "total": len(things), name: things[start : start + size]}


def _comment(comment: Json, *, wide: bool) -> Json:
    return comment if wide else {name: value for name, value in comment.items() if name != "properties"}


def _option(on_screen: Field, value: Any, errors: dict[str, str]) -> Any:
    if not isinstance(value, dict) or not {"id", "value"} & set(value):
        errors[on_screen.id] = f"Specify a valid 'id' or 'name' for {on_screen.name}"
        return None
    for each in on_screen.allowed or []:
        if str(value.get("id")) == each["id"] or ("id" not in value and value.get("value") == each["value"]):
            return each
    errors[on_screen.id] = f"Option id '{value.get('id', 'null')}' is not valid"
    return None


def _properties(given: Any, errors: dict[str, str]) -> Json:
    made = {}
    for each in given if isinstance(given, list) else []:
        key = each.get("key") if isinstance(each, dict) else None
        if not key or "value" not in each:
            errors["properties"] = "A property needs a key and a value."
        elif len(key) > 255:
            errors["properties"] = "The property key must not be longer than 255 characters."
        elif len(json.dumps(each["value"])) > MAX_PROPERTY:
            errors["properties"] = f"The property value must not be longer than {MAX_PROPERTY} characters."
        else:
            made[key] = each["value"]
    return made


async def _object(request: web.Request) -> Json:
    given = await read_body(request)
    if not isinstance(given, dict):
        raise _refused("Invalid request payload. Refer to the REST API documentation and try again.")
    return given


@asynccontextmanager
async def running_jira(port: int = 0) -> AsyncIterator[Jira]:
    """A Jira on a port of this machine, with no projects."""
    async with running(Jira(), port) as jira:
        yield jira
