"""A subset of GitHub's REST API, as api.github.com serves it (and GHES below /api/v3, which is nothing but a prefix).

Sources: the OpenAPI description (github/rest-api-description, as types in @octokit/openapi-types 29.0.1: operations
issues/create, issues/list-for-repo, issues/create-comment, issues/check-user-can-be-assigned, search/issues-and-pull-requests,
apps/create-installation-access-token) for addresses, parameters, statuses and what is dropped without push access;
github/docs content/rest/using-the-rest-api/{rate-limits-for-the-rest-api,troubleshooting-the-rest-api}.md for rate limits,
404 in place of 403 and the codes of `errors[]`; answers recorded in public repositories for the wording of 401, 403, 410,
422 and of what is said about a JWT. Not in the documentation, only seen: that labels nobody has made yet are made, and the
limits of 256 and 65536 characters, which are only known from the messages.
"""

import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.trackers_sim.base import Json, Lag, Refusal, Sim, from_iso, iso, running, seconds_of

DOCS = "https://docs.github.com/rest"
MAX_TITLE = 256
MAX_BODY = 65536
SECONDARY = (
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. "
    "Please retry your request again later."
)
Access = Literal["none", "read", "write"]


@dataclass
class Issue:
    """An issue, or a pull request."""

    number: int
    id: int
    title: str
    body: str | None
    labels: list[str]
    assignees: list[str]
    user: Json
    app: Json | None
    at: float
    updated: float
    state: str = "open"
    is_pull_request: bool = False
    comments: list[Json] = field(default_factory=list)


@dataclass
class Repository:
    """A repository."""

    id: int
    full_name: str
    private: bool
    has_issues: bool
    labels: list[str]
    assignees: list[str]
    issues: dict[int, Issue] = field(default_factory=dict)
    archived: bool = False


@dataclass
class App:
    """A GitHub App with one installation; `key` is its private key as PEM."""

    id: int
    slug: str
    client_id: str
    installation: int
    key: str
    public: Any
    issues: Access
    repositories: list[str]


@dataclass
class Token:
    """Who a token is, and what it may; `repositories` of None are all."""

    login: str
    push: bool = True
    issues: Access = "write"
    repositories: list[str] | None = None
    app: App | None = None
    expires: float = 0


class GitHub(Sim):
    """The simulator, with the token `ghp_test` of signoff-bot."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "ghp_test"
        self.tokens = {self.token: Token("signoff-bot")}
        self.repositories: dict[str, Repository] = {}
        self.apps: dict[int, App] = {}
        self.listed = Lag()
        self.found = Lag()
        self.remaining = 5000
        self._ids = 1000

    # What a test makes

    def add_repository(
        self,
        full_name: str,
        *,
        labels: Iterable[str] = ("bug",),
        assignees: Iterable[str] = (),
        private: bool = True,
        has_issues: bool = True,
    ) -> Repository:
        """A repository with those labels and people who can be assigned."""
        made = Repository(self._id(), full_name, private, has_issues, list(labels), list(assignees))
        self.repositories[full_name.lower()] = made
        return made

    def add_token(self, token: str, login: str, **more: Any) -> Token:
        """A further token; push=False drops labels and assignees, issues="read" refuses to write."""
        self.tokens[token] = Token(login, **more)
        return self.tokens[token]

    def add_app(self, *repositories: str, slug: str = "signoff", issues: Access = "write") -> App:
        """An app that is installed on those repositories, with a key of its own."""
        key = rsa.generate_private_key(65537, 2048)
        none = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, none).decode()
        number = self._id()
        app = App(number, slug, f"Iv1.{number:016x}", self._id(), pem, key.public_key(), issues, list(repositories))
        self.apps[number] = app
        return app

    def add_issue(self, full_name: str, title: str, body: str | None = None, *, login: str = "ann") -> Issue:
        """An issue that somebody else made."""
        return self._make(self.repositories[full_name.lower()], title, body, [], [], Token(login))

    def add_pull_request(self, full_name: str, title: str, body: str | None = None, *, login: str = "ann") -> Issue:
        """A pull request; it is listed among the issues."""
        made = self.add_issue(full_name, title, body, login=login)
        made.is_pull_request = True
        return made

    def edit(self, full_name: str, number: int, **fields: Any) -> None:
        """Change an issue as a person would."""
        issue = self.repositories[full_name.lower()].issues[number]
        for name, value in fields.items():
            setattr(issue, name, value)
        issue.updated = time.time()

    @property
    def issues(self) -> list[Issue]:
        """All issues, oldest first, without pull requests."""
        all_of_them = [each for repository in self.repositories.values() for each in repository.issues.values()]
        return sorted((each for each in all_of_them if not each.is_pull_request), key=lambda each: each.id)

    # What a test switches

    def limit_primary(self, seconds: float = 60, times: int = 1, method: str | None = None, path: str = "") -> None:
        """Refuse as when the requests of the hour are used up."""
        headers = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-used": "5000"}
        headers |= {"x-ratelimit-reset": str(int(time.time() + seconds)), "x-ratelimit-resource": "core"}
        body = _error("API rate limit exceeded for user ID 1.", 403)
        self.answer(403, body, headers, times=times, method=method, path=path)

    def limit_secondary(
        self, seconds: float | None = 60, times: int = 1, method: str | None = None, path: str = "", status: int = 403
    ) -> None:
        """Refuse as when too much was made too quickly; without seconds there is no retry-after."""
        headers = {} if seconds is None else {"retry-after": f"{seconds:g}"}
        self.answer(status, _error(SECONDARY, status), headers, times=times, method=method, path=path)

    list_lag = seconds_of("listed")
    """After how many seconds an issue shows up in lists."""

    search_lag = seconds_of("found")
    """After how many seconds an issue is found."""

    # HTTP

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve at the root and below /api/v3."""
        for prefix in ("", "/api/v3"):
            repository = prefix + "/repos/{owner}/{repo}"
            router.add_get(repository, self._get_repository)
            router.add_get(repository + "/issues", self._list_issues)
            router.add_post(repository + "/issues", self._create_issue)
            router.add_get(repository + r"/issues/{number:\d+}", self._get_issue)
            router.add_get(repository + r"/issues/{number:\d+}/comments", self._list_comments)
            router.add_post(repository + r"/issues/{number:\d+}/comments", self._create_comment)
            router.add_get(repository + "/labels", self._list_labels)
            router.add_get(repository + "/assignees/{login}", self._check_assignee)
            router.add_get(prefix + "/search/issues", self._search)
            router.add_get(prefix + "/user", self._get_user)
            router.add_get(prefix + "/app", self._get_app)
            router.add_post(prefix + r"/app/installations/{id:\d+}/access_tokens", self._create_token)

    def not_served(self, request: web.Request) -> web.StreamResponse:
        """As GitHub does."""
        return web.json_response(_error("Not Found", 404), status=404)

    def extra_headers(self) -> dict[str, str]:
        """What every answer says about the limit."""
        self.remaining -= 1
        return {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(int(time.time() + 3600)),
            "x-ratelimit-used": str(5000 - self.remaining),
            "x-ratelimit-resource": "core",
            "x-github-request-id": f"SIM:{self.remaining}",
        }

    async def _get_repository(self, request: web.Request) -> web.StreamResponse:
        repository, token = self._repository(request), self._token(request)
        owner, name = repository.full_name.split("/")
        shown = {
            "id": repository.id,
            "node_id": f"R_{repository.id}",
            "name": name,
            "full_name": repository.full_name,
            "private": repository.private,
            "owner": self._user(owner),
            "html_url": f"{self.url}/{repository.full_name}",
            "url": f"{self.url}/repos/{repository.full_name}",
            "has_issues": repository.has_issues,
            "archived": repository.archived,
            "permissions": {"admin": False, "push": bool(token and token.push), "pull": True},
        }
        return web.json_response(shown)

    async def _create_issue(self, request: web.Request) -> web.StreamResponse:
        token = self._writer(request)
        repository = self._repository(request)
        if repository.archived:
            raise Refusal(403, _error("Repository was archived so is read-only.", 403))
        if not repository.has_issues:
            raise Refusal(410, _error("Issues has been disabled in this repository.", 410, "/issues/issues#create-an-issue"))
        given = await _object(request)
        if "title" not in given:
            raise Refusal(422, _error('Invalid request.\n\n"title" wasn\'t supplied.', 422, "/issues/issues#create-an-issue"))
        title, body = str(given["title"]), given.get("body")
        if body is not None and not isinstance(body, str):
            raise Refusal(422, _error(f"Invalid request.\n\nFor 'properties/body', {body!r} is not a string.", 422))
        for name in ("labels", "assignees"):
            if not isinstance(given.get(name, []), list):
                raise Refusal(422, _error(f"Invalid request.\n\nFor 'properties/{name}', nil is not an array.", 422))
        problems: list[Json] = []
        if not title.strip():
            problems.append({"resource": "Issue", "code": "missing_field", "field": "title"})
        if len(title) > MAX_TITLE:
            problems.append(_custom("title", f"title is too long (maximum is {MAX_TITLE} characters)"))
        if body and len(body) > MAX_BODY:
            problems.append(_custom("body", f"body is too long (maximum is {MAX_BODY} characters)"))
        labels = [each["name"] if isinstance(each, dict) else str(each) for each in given.get("labels", [])]
        assignees = [str(each) for each in given.get("assignees", [])]
        if not token.push:
            labels, assignees = [], []
        strangers = [each for each in assignees if each.lower() not in [known.lower() for known in repository.assignees]]
        if strangers:
            problems.append({"value": strangers[0], "resource": "Issue", "field": "assignees", "code": "invalid"})
        if problems:
            raise _invalid(problems, "/issues/issues#create-an-issue")
        issue = self._make(repository, title, body, labels, assignees, token)
        self.created.set()
        shown = self._issue(repository, issue)
        return web.json_response(shown, status=201, headers={"Location": shown["url"]})

    async def _get_issue(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        return web.json_response(self._issue(repository, _issue_of(repository, request)))

    async def _list_issues(self, request: web.Request) -> web.StreamResponse:
        repository, query = self._repository(request), request.query
        state, sort = query.get("state", "open"), query.get("sort", "created")
        direction = query.get("direction", "desc")
        allowed = {"state": ("open", "closed", "all"), "sort": ("created", "updated", "comments"), "direction": ("asc", "desc")}
        for name, values in allowed.items():
            if query.get(name, values[0]) not in values:
                raise _invalid([{"resource": "Issue", "code": "invalid", "field": name}], "/issues/issues")
        issues = [each for each in repository.issues.values() if self.listed.shows(each) and state in (each.state, "all")]
        if "since" in query:
            issues = [each for each in issues if each.updated >= from_iso(query["since"])]
        if "creator" in query:
            issues = [each for each in issues if each.user["login"].lower() == query["creator"].lower()]
        if "labels" in query:
            issues = [each for each in issues if set(query["labels"].split(",")) <= set(each.labels)]
        keys = {
            "created": lambda each: each.id,
            "updated": lambda each: each.updated,
            "comments": lambda each: len(each.comments),
        }
        issues.sort(key=keys[sort], reverse=direction == "desc")
        return self._page(request, [self._issue(repository, each) for each in issues])

    async def _list_comments(self, request: web.Request) -> web.StreamResponse:
        return self._page(request, _issue_of(self._repository(request), request).comments)

    async def _create_comment(self, request: web.Request) -> web.StreamResponse:
        token = self._writer(request)
        repository = self._repository(request)
        issue = _issue_of(repository, request)
        body = (await _object(request)).get("body")
        if not isinstance(body, str):
            raise Refusal(422, _error('Invalid request.\n\n"body" wasn\'t supplied.', 422))
        if len(body) > MAX_BODY:
            too_long = f"body is too long (maximum is {MAX_BODY} characters)"
            raise _invalid([{**_custom("body", too_long), "resource": "IssueComment"}], "/issues/comments")
        number, at = self._id(), iso(time.time())
        comment: Json = {
            "id": number,
            "node_id": f"IC_{number}",
            "url": f"{self.url}/repos/{repository.full_name}/issues/comments/{number}",
            "html_url": f"{self.url}/{repository.full_name}/issues/{issue.number}#issuecomment-{number}",
            "issue_url": f"{self.url}/repos/{repository.full_name}/issues/{issue.number}",
            "body": body,
            "user": self._user(token.login),
            "created_at": at,
            "updated_at": at,
            "author_association": "MEMBER",
            "performed_via_github_app": _app(token.app),
        }
        issue.comments.append(comment)
        issue.updated = time.time()
        self.commented.set()
        return web.json_response(comment, status=201, headers={"Location": comment["url"]})

    async def _list_labels(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        return self._page(request, [self._label(repository, each) for each in repository.labels])

    async def _check_assignee(self, request: web.Request) -> web.StreamResponse:
        known = [each.lower() for each in self._repository(request).assignees]
        if request.match_info["login"].lower() not in known:
            raise Refusal(404, _error("Not Found", 404))
        return web.Response(status=204)

    async def _search(self, request: web.Request) -> web.StreamResponse:
        token = self._token(request)
        text = request.query.get("q", "")
        if not text.strip():
            raise _invalid([{"resource": "Search", "field": "q", "code": "missing"}], "/search")
        qualifiers, words = _parse_search(text)
        names = [each.lower() for each in qualifiers.get("repo", [])]
        seen = [self.repositories[each] for each in names if each in self.repositories]
        seen = [each for each in seen if self._may_see(each, token)]
        if names and not seen:
            hidden = (
                "The listed users and repositories cannot be searched either because the resources do not exist or you do not"
            )
            hidden += " have permission to view them."
            raise _invalid([{"message": hidden, "resource": "Search", "field": "q", "code": "invalid"}], "/search")
        if not names:
            seen = [each for each in self.repositories.values() if self._may_see(each, token)]
        found = [
            self._issue(repository, issue)
            for repository in seen
            for issue in repository.issues.values()
            if self.found.shows(issue) and _is_found(issue, qualifiers, words)
        ]
        found.sort(key=lambda each: each["number"], reverse=request.query.get("order", "desc") == "desc")
        page = _paged(request, found)
        return web.json_response({"total_count": len(found), "incomplete_results": False, "items": page})

    async def _get_user(self, request: web.Request) -> web.StreamResponse:
        token = self._token(request)
        if not token:
            raise Refusal(401, _error("Requires authentication", 401))
        if token.app:
            raise Refusal(403, _error("Resource not accessible by integration", 403))
        return web.json_response({**self._user(token.login), "name": token.login})

    async def _get_app(self, request: web.Request) -> web.StreamResponse:
        app = self._app_of(request)
        more = {"owner": self._user("acme"), "name": app.slug, "html_url": f"{self.url}/apps/{app.slug}", "events": []}
        return web.json_response({**(_app(app) or {}), **more, "permissions": _permissions(app)})

    async def _create_token(self, request: web.Request) -> web.StreamResponse:
        app = self._app_of(request)
        if int(request.match_info["id"]) != app.installation:
            raise Refusal(404, _error("Not Found", 404, "/apps/apps#create-an-installation-access-token-for-an-app"))
        given = await _object(request) if await request.text() else {}
        repositories = app.repositories
        if "repositories" in given:
            named = {each.split("/")[1]: each for each in app.repositories}
            if unknown := [each for each in given["repositories"] if each not in named]:
                message = f"There is at least one repository that does not exist or is not accessible: {unknown[0]}"
                raise Refusal(422, _error(message, 422))
            repositories = [named[each] for each in given["repositories"]]
        token, expires = f"ghs_{self._id():036d}", time.time() + 3600
        self.tokens[token] = Token(f"{app.slug}[bot]", True, app.issues, repositories, app, expires)
        shown = {"token": token, "expires_at": iso(expires), "permissions": _permissions(app)}
        return web.json_response({**shown, "repository_selection": "selected"}, status=201)

    # Who asks, and for what

    def _token(self, request: web.Request) -> Token | None:
        """The token, or None where there is none; one that is not known is refused."""
        if not request.headers.get("User-Agent"):
            raise Refusal(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
            )
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not given:
            return None
        token = self.tokens.get(given) if scheme.lower() in ("token", "bearer") else None
        if not token or (token.expires and token.expires < time.time()):
            raise Refusal(401, _error("Bad credentials", 401))
        return token

    def _writer(self, request: web.Request) -> Token:
        token = self._token(request)
        if not token:
            raise Refusal(401, _error("Requires authentication", 401))
        self._repository(request)
        if token.issues != "write":
            kind = "integration" if token.app else "personal access token"
            accepted = {"X-Accepted-GitHub-Permissions": "issues=write"}
            raise Refusal(403, _error(f"Resource not accessible by {kind}", 403), accepted)
        return token

    def _may_see(self, repository: Repository, token: Token | None) -> bool:
        if not token:
            return not repository.private
        names = None if token.repositories is None else [each.lower() for each in token.repositories]
        listed = names is None or repository.full_name.lower() in names
        return not repository.private or (listed and token.issues != "none")

    def _repository(self, request: web.Request) -> Repository:
        """The repository, or 404 where there is none or none that the token may see."""
        token = self._token(request)
        name = f"{request.match_info['owner']}/{request.match_info['repo']}".lower()
        repository = self.repositories.get(name)
        if not repository or not self._may_see(repository, token):
            raise Refusal(404, _error("Not Found", 404))
        return repository

    def _app_of(self, request: web.Request) -> App:
        """The app whose JWT came."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(given, options={"verify_signature": False})
            app = next(each for each in self.apps.values() if str(claims.get("iss")) in (str(each.id), each.client_id))
            nothing: Any = {"verify_exp": False, "verify_iat": False, "verify_iss": False}
            claims = jwt.decode(given, app.public, algorithms=["RS256"], options=nothing)
        except (jwt.PyJWTError, StopIteration):
            raise Refusal(401, _error("A JSON web token could not be decoded", 401)) from None
        now, issued, expires = time.time(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or issued > now + 5:
            said = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
            raise Refusal(401, _error(said, 401))
        if not isinstance(expires, int) or expires < now:
            said = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion"
            said += " expires"
            raise Refusal(401, _error(said, 401))
        if expires > now + 605:
            raise Refusal(401, _error("'Expiration time' claim ('exp') is too far in the future", 401))
        return app

    # How things look

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _make(
        self, repository: Repository, title: str, body: str | None, labels: list[str], assignees: list[str], token: Token
    ) -> Issue:
        number, at = len(repository.issues) + 1, time.time()
        repository.labels.extend(each for each in labels if each not in repository.labels)
        user = self._user(token.login)
        issue = Issue(number, self._id(), title, body, labels, assignees, user, _app(token.app), at, at)
        repository.issues[number] = issue
        self.listed.note(issue)
        self.found.note(issue)
        return issue

    def _user(self, login: str) -> Json:
        number = sum(map(ord, login))
        kind = "Bot" if login.endswith("[bot]") else "User"
        return {"login": login, "id": number, "node_id": f"U_{number}", "html_url": f"{self.url}/{login}", "type": kind}

    def _label(self, repository: Repository, name: str) -> Json:
        number = sum(map(ord, name))
        url = f"{self.url}/repos/{repository.full_name}/labels/{name}"
        shown = {"id": number, "node_id": f"LA_{number}", "url": url, "name": name, "color": "ededed"}
        return {**shown, "default": False, "description": None}

    def _issue(self, repository: Repository, issue: Issue) -> Json:
        url = f"{self.url}/repos/{repository.full_name}/issues/{issue.number}"
        kind = "pull" if issue.is_pull_request else "issues"
        html_url = f"{self.url}/{repository.full_name}/{kind}/{issue.number}"
        assignees = [self._user(each) for each in issue.assignees]
        shown = {
            "id": issue.id,
            "node_id": f"I_{issue.id}",
            "url": url,
            "repository_url": f"{self.url}/repos/{repository.full_name}",
            "labels_url": url + "/labels{/name}",
            "comments_url": url + "/comments",
            "html_url": html_url,
            "number": issue.number,
            "state": issue.state,
            "state_reason": None,
            "title": issue.title,
            "body": issue.body,
            "user": issue.user,
            "labels": [self._label(repository, each) for each in issue.labels],
            "assignee": assignees[0] if assignees else None,
            "assignees": assignees,
            "milestone": None,
            "locked": False,
            "comments": len(issue.comments),
            "created_at": iso(issue.at),
            "updated_at": iso(issue.updated),
            "closed_at": None,
            "author_association": "MEMBER",
            "performed_via_github_app": issue.app,
        }
        if issue.is_pull_request:
            api_url = f"{self.url}/repos/{repository.full_name}/pulls/{issue.number}"
            shown["pull_request"] = {"url": api_url, "html_url": html_url, "merged_at": None}
        return shown

    def _page(self, request: web.Request, things: list[Json]) -> web.Response:
        """A page, and in Link where the others are."""
        per_page, page = _page_of(request)
        last = max(1, -(-len(things) // per_page))
        places = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        shown = {
            name: at for name, at in places.items() if (at < page if name in ("prev", "first") else page < at <= last) and at
        }
        links = [
            f'<{self.url}{request.rel_url.raw_path}?{urlencode({**request.query, "page": at})}>; rel="{name}"'
            for name, at in shown.items()
        ]
        return web.json_response(_paged(request, things), headers={"Link": ", ".join(links)} if links else None)


def _error(message: str, status: int, docs: str = "") -> Json:
    return {"message": message, "documentation_url": DOCS + docs, "status": str(status)}


def _invalid(problems: list[Json], docs: str) -> Refusal:
    shown = _error("Validation Failed", 422, docs)
    return Refusal(422, {"message": shown.pop("message"), "errors": problems, **shown})


def _custom(field_name: str, message: str) -> Json:
    return {"resource": "Issue", "code": "custom", "field": field_name, "message": message}


def _app(app: App | None) -> Json | None:
    if not app:
        return None
    return {"id": app.id, "slug": app.slug, "node_id": f"A_{app.id}", "client_id": app.client_id, "name": app.slug}


def _permissions(app: App) -> Json:
    return {"metadata": "read"} | ({} if app.issues == "none" else {"issues": app.issues})


async def _object(request: web.Request) -> Json:
    try:
        given = await request.json()
    except ValueError:
        raise Refusal(400, _error("Problems parsing JSON", 400)) from None
    if not isinstance(given, dict):
        raise Refusal(400, _error("Body should be a JSON object", 400))
    return given


def _issue_of(repository: Repository, request: web.Request) -> Issue:
    issue = repository.issues.get(int(request.match_info["number"]))
    if not issue:
        raise Refusal(404, _error("Not Found", 404, "/issues/issues#get-an-issue"))
    return issue


def _page_of(request: web.Request) -> tuple[int, int]:
    """How long a page is, and which one it is."""
    try:
        per_page, page = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
    except ValueError:
        per_page, page = 30, 1
    return min(max(per_page, 1), 100), max(page, 1)


def _paged(request: web.Request, things: list[Json]) -> list[Json]:
    per_page, page = _page_of(request)
    return things[(page - 1) * per_page : page * per_page]


def _parse_search(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """The qualifiers and the words of a search; what is in quotes is one word."""
    qualifiers: dict[str, list[str]] = {}
    words: list[str] = []
    for name, quoted, plain in re.findall(r'(?:(\w+):)?(?:"([^"]*)"|(\S+))', text):
        value = quoted or plain
        if name:
            qualifiers.setdefault(name, []).append(value)
        else:
            words.append(value)
    return qualifiers, words


def _is_found(issue: Issue, qualifiers: dict[str, list[str]], words: list[str]) -> bool:
    places = [each for value in qualifiers.get("in", ["title,body"]) for each in value.split(",")]
    texts = {"title": issue.title, "body": issue.body or "", "comments": "\n".join(each["body"] for each in issue.comments)}
    text = "\n".join(texts[each] for each in places).casefold()
    kinds = {"issue": not issue.is_pull_request, "pr": issue.is_pull_request, "pull-request": issue.is_pull_request}
    kinds |= {"open": issue.state == "open", "closed": issue.state == "closed"}
    wanted = qualifiers.get("is", []) + qualifiers.get("type", []) + qualifiers.get("state", [])
    authors = [each.lower().replace("app/", "") for each in qualifiers.get("author", [])]
    return (
        all(each.casefold() in text for each in words)
        and all(kinds.get(each, False) for each in wanted)
        and all(each in issue.labels for each in qualifiers.get("label", []))
        and (
            not authors or issue.user["login"].lower().removesuffix("[bot]") in [each.removesuffix("[bot]") for each in authors]
        )
    )


@asynccontextmanager
async def running_github(port: int = 0) -> AsyncIterator[GitHub]:
    """A GitHub on a port of this machine, with no repositories."""
    async with running(GitHub(), port) as github:
        yield github
