"""A small subset of GitLab's REST API v4.

Sources: gitlab-org/gitlab doc/api/issues.md (parameters, the look of an issue) and lib/api/issues.rb with its spec (title is
required, iid for administrators and owners only and 409 "Duplicated issue" where it is taken, 300 creations a minute),
lib/api/helpers.rb (`message` as a sentence or as {attribute: [problems]}, `error` for parameters and 403 of scopes),
and answers recorded in public projects ("'title' is too long (maximum is 255 characters)").
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.trackers_sim.base import Json, Lag, Refusal, Sim, from_iso, iso, read_body, running, seconds_of

MAX_TITLE = 255
MAX_DESCRIPTION = 1_048_576
TOO_MANY = {"message": {"error": "This endpoint has been requested too many times. Try again later."}}


@dataclass
class Issue:
    """An issue."""

    iid: int
    id: int
    title: str
    description: str | None
    labels: list[str]
    assignees: list[Json]
    author: Json
    at: float
    confidential: bool = False
    state: str = "opened"
    notes: list[Json] = field(default_factory=list)


@dataclass
class Project:
    """A project."""

    id: int
    path: str
    can_create: bool = True
    issues: dict[int, Issue] = field(default_factory=dict)


@dataclass
class Token:
    """Who a token is, and what it may."""

    user: Json
    scopes: tuple[str, ...] = ("api",)
    is_owner: bool = False


class GitLab(Sim):
    """The simulator, with the token `glpat-test` of signoff-bot."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "glpat-test"
        self.users: dict[int, Json] = {}
        self.tokens = {self.token: Token(self.add_user(1, "signoff-bot"))}
        self.projects: dict[int, Project] = {}
        self.listed = Lag()
        self._ids = 100

    # What a test makes and switches

    def add_user(self, number: int, username: str) -> Json:
        """Somebody."""
        self.users[number] = {"id": number, "username": username, "name": username, "state": "active"}
        return self.users[number]

    def add_token(self, token: str, user: int, **more: Any) -> Token:
        """A further token; scopes=("read_api",) may not write, is_owner=True may choose the iid."""
        self.tokens[token] = Token(self.users[user], **more)
        return self.tokens[token]

    def add_project(self, path: str, *, can_create: bool = True) -> Project:
        """A private project."""
        project = Project(self._id(), path, can_create)
        self.projects[project.id] = project
        return project

    def limit(self, seconds: float = 60, times: int = 1, method: str | None = None, path: str = "") -> None:
        """Refuse as when too much was asked."""
        headers = {"Retry-After": f"{seconds:g}", "RateLimit-Remaining": "0"}
        self.answer(429, TOO_MANY, headers, times=times, method=method, path=path)

    list_lag = seconds_of("listed")
    """After how many seconds an issue shows up in lists."""

    @property
    def issues(self) -> list[Issue]:
        """All issues, oldest first."""
        return sorted(
            (each for project in self.projects.values() for each in project.issues.values()), key=lambda each: each.id
        )

    # HTTP

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve below /api/v4."""
        project = "/api/v4/projects/{id}"
        router.add_get("/api/v4/user", self._get_user)
        router.add_get(project, self._get_project)
        router.add_get(project + "/issues", self._list_issues)
        router.add_post(project + "/issues", self._create_issue)
        router.add_get(project + r"/issues/{iid:\d+}", self._get_issue)
        router.add_get(project + r"/issues/{iid:\d+}/notes", self._list_notes)
        router.add_post(project + r"/issues/{iid:\d+}/notes", self._create_note)

    def not_served(self, request: web.Request) -> web.StreamResponse:
        """As GitLab does."""
        return web.json_response({"error": "404 Not Found"}, status=404)

    async def _get_user(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._token(request).user)

    async def _get_project(self, request: web.Request) -> web.StreamResponse:
        self._token(request)
        project = self._project(request)
        name = project.path.rsplit("/", 1)[-1]
        shown = {"id": project.id, "name": name, "path": name, "path_with_namespace": project.path, "visibility": "private"}
        shown |= {"web_url": f"{self.url}/{project.path}", "issues_enabled": True, "issues_access_level": "enabled"}
        return web.json_response(shown)

    async def _create_issue(self, request: web.Request) -> web.StreamResponse:
        token, given = self._token(request, write=True), await _given(request)
        project = self._project(request)
        if not project.can_create:
            raise Refusal(403, {"message": "403 Forbidden"})
        if "title" not in given:
            raise Refusal(400, {"error": "title is missing"})
        title, description = str(given["title"]), given.get("description")
        problems: dict[str, list[str]] = {}
        if not title.strip():
            problems["title"] = ["can't be blank"]
        elif len(title) > MAX_TITLE:
            problems["title"] = [f"is too long (maximum is {MAX_TITLE} characters)"]
        if description and len(description) > MAX_DESCRIPTION:
            problems["description"] = [f"is too long (maximum is {MAX_DESCRIPTION} characters)"]
        if problems:
            raise Refusal(400, {"message": problems})
        iid = max(project.issues, default=0) + 1
        if token.is_owner and given.get("iid"):
            iid = int(given["iid"])
            if iid in project.issues:
                raise Refusal(409, {"message": "Duplicated issue"})
        labels = given.get("labels") or []
        labels = labels if isinstance(labels, list) else [each.strip() for each in str(labels).split(",")]
        assignees = [self.users[each] for each in given.get("assignee_ids") or [] if each in self.users]
        confidential = bool(given.get("confidential"))
        issue = Issue(iid, self._id(), title, description, labels, assignees, token.user, time.time(), confidential)
        project.issues[iid] = issue
        self.listed.note(issue)
        self.created.set()
        return web.json_response(self._issue(project, issue), status=201)

    async def _list_issues(self, request: web.Request) -> web.StreamResponse:
        self._token(request)
        project, query = self._project(request), request.query
        places = query.get("in", "title,description").split(",")
        state, order_by = query.get("state", "all"), query.get("order_by", "created_at")
        if order_by not in ("created_at", "updated_at", "title", "priority", "due_date", "relative_position", "weight"):
            raise Refusal(400, {"error": "order_by does not have a valid value"})
        found = []
        for issue in project.issues.values():
            text = "\n".join(str(getattr(issue, each) or "") for each in places).casefold()
            if (
                self.listed.shows(issue)
                and state in ("all", issue.state)
                and all(word in text for word in query.get("search", "").casefold().split())
                and set(filter(None, query.get("labels", "").split(","))) <= set(issue.labels)
                and ("created_after" not in query or issue.at >= from_iso(query["created_after"]))
                and ("author_id" not in query or issue.author["id"] == int(query["author_id"]))
            ):
                found.append(issue)
        found.sort(key=lambda each: each.title if order_by == "title" else each.id, reverse=query.get("sort", "desc") == "desc")
        return self._page(request, [self._issue(project, each) for each in found])

    async def _get_issue(self, request: web.Request) -> web.StreamResponse:
        self._token(request)
        project = self._project(request)
        return web.json_response(self._issue(project, _issue_of(project, request)))

    async def _list_notes(self, request: web.Request) -> web.StreamResponse:
        self._token(request)
        notes = _issue_of(self._project(request), request).notes
        return self._page(request, notes if request.query.get("sort") == "asc" else notes[::-1])

    async def _create_note(self, request: web.Request) -> web.StreamResponse:
        token, given = self._token(request, write=True), await _given(request)
        issue = _issue_of(self._project(request), request)
        if "body" not in given:
            raise Refusal(400, {"error": "body is missing"})
        at = iso(time.time(), milliseconds=True)
        note = {"id": self._id(), "body": given["body"], "author": token.user, "created_at": at, "updated_at": at}
        note |= {"system": False, "noteable_id": issue.id, "noteable_iid": issue.iid, "noteable_type": "Issue"}
        issue.notes.append(note)
        self.commented.set()
        return web.json_response(note, status=201)

    # Who asks, and for what

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _token(self, request: web.Request, *, write: bool = False) -> Token:
        given = request.headers.get("PRIVATE-TOKEN") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = self.tokens.get(given)
        if not token:
            raise Refusal(401, {"message": "401 Unauthorized"})
        if write and "api" not in token.scopes:
            said = "The request requires higher privileges than provided by the access token."
            raise Refusal(403, {"error": "insufficient_scope", "error_description": said, "scope": "api"})
        return token

    def _project(self, request: web.Request) -> Project:
        name = request.match_info["id"]
        for project in self.projects.values():
            if name in (str(project.id), project.path):
                return project
        raise Refusal(404, {"message": "404 Project Not Found"})

    def _issue(self, project: Project, issue: Issue) -> Json:
        at = iso(issue.at, milliseconds=True)
        return {
            "id": issue.id,
            "iid": issue.iid,
            "project_id": project.id,
            "title": issue.title,
            "description": issue.description,
            "state": issue.state,
            "created_at": at,
            "updated_at": at,
            "closed_at": None,
            "labels": issue.labels,
            "assignees": issue.assignees,
            "assignee": issue.assignees[0] if issue.assignees else None,
            "author": issue.author,
            "confidential": issue.confidential,
            "user_notes_count": len(issue.notes),
            "web_url": f"{self.url}/{project.path}/-/issues/{issue.iid}",
            "references": {"short": f"#{issue.iid}", "relative": f"#{issue.iid}", "full": f"{project.path}#{issue.iid}"},
        }

    def _page(self, request: web.Request, things: list[Json]) -> web.Response:
        per_page, page = min(int(request.query.get("per_page", 20)), 100), int(request.query.get("page", 1))
        last = max(1, -(-len(things) // per_page))
        headers = {"X-Page": str(page), "X-Per-Page": str(per_page), "X-Total": str(len(things)), "X-Total-Pages": str(last)}
        headers["X-Next-Page"] = str(page + 1) if page < last else ""
        return web.json_response(things[(page - 1) * per_page : page * per_page], headers=headers)


async def _given(request: web.Request) -> Json:
    """The parameters, from JSON, a form or the query."""
    if request.content_type == "application/json":
        given = await read_body(request)
        if not isinstance(given, dict):
            raise Refusal(400, {"error": "The provided JSON is invalid"})
        return dict(request.query) | given
    return dict(request.query) | dict(await request.post())


def _issue_of(project: Project, request: web.Request) -> Issue:
    issue = project.issues.get(int(request.match_info["iid"]))
    if not issue:
        raise Refusal(404, {"message": "404 Not found"})
    return issue


@asynccontextmanager
async def running_gitlab(port: int = 0) -> AsyncIterator[GitLab]:
    """A GitLab on a port of this machine, with no projects."""
    async with running(GitLab(), port) as gitlab:
        yield gitlab
