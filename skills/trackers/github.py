"""GitHub, and GitHub Enterprise Server: issues by the REST API.

An issue carries its marker in a comment of HTML at its end, which nobody sees. It is looked for in the list of issues, never by
search, which lags. Labels and assignees are sent only where GitHub keeps them: without the right to push it drops them and
says nothing, so there they are part of the body, as is whatever else an issue has no field for.

An address of an issue stays a link, so that issue notes that it was mentioned; nobody is called by that.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from agent.draft import ISSUE_TYPES, TicketDraft
from agent.hiding import remember
from agent.projects import Project, ProjectField, TicketType
from agent.protocol import Question
from agent.receipt import Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Later, Missing, Refused, Ticket, Unsure
from skills.trackers.body import document
from skills.trackers.compare import the_one
from skills.trackers.http import LONGEST_PAUSE, Api, address, careful, pause
from skills.trackers.looking import PAGE, looked_for
from skills.trackers.markdown import EMOJI, MENTION, Dialect, details, has_commit, judged, last_mark, markdown
from skills.trackers.numbered import comment_name, comment_text, envelope, has_comment, number_of

DIALECT = Dialect(
    calls=re.compile(rf"{MENTION}|#(?=\d)|(?<![A-Za-z0-9])(?i:GH)-(?=\d)|{EMOJI}"),
    as_code=lambda word: "$" in word or has_commit(word),  # it finds formulas between dollars, even if they are escaped
)

BODY_LIMIT = 65_536
"""Characters in a body; GitHub says so only to who sends more."""

ROOM = 1_500
"""Characters of that which are left for the receipt and the marker."""

LABEL_LIMIT = 50
"""Characters in a label."""

PAGES = 5
"""Pages, of a hundred issues each, that are looked through for a marker."""

LEAST_PAUSE = 60.0
"""Seconds to wait if GitHub wants a pause and does not say how long."""

RENEWED = 3000.0
"""Seconds after which the token of an App's installation is renewed; it lives for 3,600."""

_REPOSITORY = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9._-]+")
_LOGIN = re.compile(r"@?([A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?)")
_DRAFTS = {"title": "title", "body": "problem", "labels": "labels", "assignee": "assignee", "assignees": "assignee"}
"""The draft's fields, by the names that GitHub's errors have."""


class GitHubRenderer:
    """What GitHub would be sent."""

    name = "github"

    def questions(self, draft: TicketDraft, project: Project) -> list[Question]:
        """What does not go in. A title always does: GitHub takes 256 characters."""
        request = self.render(draft, project)["request"]
        asked = []
        for label in request.get("labels", []):
            if len(label) > LABEL_LIMIT:
                text = f"The label {label!r} has {len(label)} characters, and GitHub takes {LABEL_LIMIT}: shorten it."
                asked.append(Question(field="labels", text=text))
        if (length := len(request["body"])) > (limit := BODY_LIMIT - ROOM):
            text = f"The body has {length:,} characters with its markup, and GitHub takes {limit:,}: shorten it."
            asked.append(Question(field="problem", text=text))
        return asked

    def render(self, draft: TicketDraft, project: Project) -> Mapping[str, Any]:
        """The issue's title, body, labels and assignees."""
        kind = project.type_for(draft.issue_type)
        taken = {one.id for one in kind.fields} if kind else set()
        login = _LOGIN.fullmatch(draft.assignee)
        parts: dict[str, Any] = {}
        if draft.labels and "labels" in taken:
            parts["labels"] = list({label.casefold(): label for label in draft.labels}.values())  # to GitHub they are the same
        if login and "assignees" in taken:
            parts["assignees"] = [login[1]]
        more = details(
            draft,
            Type=draft.issue_type.capitalize(),
            Priority=draft.priority,
            Epic=draft.epic_id,
            Labels="" if "labels" in parts else ", ".join(draft.labels),
            Assignee="" if "assignees" in parts else draft.assignee,
        )
        body = markdown(document(draft, more), DIALECT)
        request = {"title": draft.title, "body": body, **parts}
        return {"type": draft.issue_type, "title": draft.title, "body": body, "fields": draft.filled(), "request": request}


RENDERER = GitHubRenderer()


class Key:
    """What our requests are signed with: a token, or that of an App's installation, which is lent for an hour at a time."""

    def __init__(self, token: str = "", app: str = "", installation: str = "", pem: str = "") -> None:
        self.app = app
        self._token, self._installation, self._pem = token, installation, pem
        self._until = 0.0

    async def headers(self, api: Api) -> dict[str, str]:
        """The header that says who we are. Raises Refused or Later."""
        if self.app and time.monotonic() >= self._until:
            began = time.monotonic()
            path = f"/app/installations/{self._installation}/access_tokens"
            try:
                lent = await api.ask(path, {}, {"Authorization": f"Bearer {self.signed()}"})
            except Missing as missing:
                text = f"GitHub knows no installation {self._installation} of our App: an operator has to correct it."
                raise Refused(text) from missing
            if not isinstance(lent, dict) or not lent.get("token"):
                raise Later("GitHub lent us no token.")
            self._token, self._until = str(lent["token"]), began + RENEWED
            remember(self._token)
        return {"Authorization": f"Bearer {self._token}"}

    def signed(self) -> str:
        """The App's own word, good for nine minutes; it begins a minute ago because clocks differ."""
        import jwt

        now = int(time.time())
        return jwt.encode({"iat": now - 60, "exp": now + 540, "iss": self.app}, self._pem, algorithm="RS256")


@careful
class GitHubTracker(GitHubRenderer):
    """A GitHub. `site` is where people look at issues."""

    repeatable = False

    def __init__(self, api: str, key: Key) -> None:
        self._site = _site(api)
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "signoff"}
        self._api = Api("GitHub", api, headers, explain)
        self._key = key
        self._account: str | None = None

    async def describe(self, project: str) -> Project:
        """A repository takes stories, bugs and tasks; their labels and assignees only if we may push to it."""
        if not _REPOSITORY.fullmatch(project):
            raise Refused(f"{project!r} is no repository of GitHub: one is like acme/app.")
        try:
            said = await self._get(f"/repos/{project}")
        except Missing:
            text = f"GitHub shows us no repository {project}: check its name, or let an operator give our token access to it."
            raise Refused(text) from None
        if not said.get("has_issues", True):
            raise Refused(f"Issues are switched off in {project}: who runs it can switch them on in its settings.")
        if said.get("archived"):
            raise Refused(f"{project} is archived, and takes no issues.")
        fields = []
        if self._key.app or (said.get("permissions") or {}).get("push"):
            fields = [
                ProjectField(id="labels", name="labels", kind="labels"),
                ProjectField(id="assignees", name="assignees", kind="user"),
            ]
        return Project(key=project, types=[TicketType(id=one, name=one.capitalize(), fields=fields) for one in ISSUE_TYPES])

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        """One POST of what was sealed, with the receipt and the marker at the end of the body."""
        request = sealed.payload["request"]
        body = f"{request['body']}\n\n{envelope(receipt, DIALECT)}"
        headers = await self._key.headers(self._api)
        made = await self._api.create(f"/repos/{sealed.payload['project']}/issues", {**request, "body": body}, headers)
        if not isinstance(number := made.get("number"), int):
            raise Unsure("GitHub took the issue, and did not say which it is.")
        return self._ticket(sealed.payload["project"], number, request["title"])

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        """The one issue that ends with the marker, among those that were made since the approval."""
        account, since = await self._login(), (receipt.approved_at - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {"state": "all", "sort": "created", "direction": "desc"} | ({"creator": account} if account else {})
        found: dict[str, Copy] = {}
        for page in range(1, PAGES + 1):
            issues = await self._list(f"/repos/{sealed.payload['project']}/issues", page, **asked)
            for issue in issues:
                if receipt.marker in (issue.get("body") or "") and "pull_request" not in issue:
                    copy = self._copy(issue, account, sealed, receipt)
                    found[copy.ticket.key] = copy
            if len(issues) < 100 or issues[-1].get("created_at", "") < since:
                break
        return the_one(list(found.values()))

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        """The issue of a number, alone or with its repository, or of an address to browse it at."""
        project = sealed.payload["project"]
        number = self._number(key, project)
        issue = await self._get(f"/repos/{project}/issues/{number}")
        if not isinstance(issue.get("number"), int):
            raise Later("GitHub gave an answer that cannot be read.")
        if "pull_request" in issue:
            raise Refused(f"{project}#{number} is a pull request, and no issue.")
        return self._copy(issue, await self._login(), sealed, receipt)

    async def search(self, project: str, text: str) -> list[Ticket]:
        """Issues that have any of the text's longest words."""

        async def ask(words: Sequence[str]) -> list[Ticket]:
            said = await self._get("/search/issues", q=f"repo:{project} is:issue {' '.join(words)}", per_page=PAGE)
            return [self._ticket(project, int(each["number"]), str(each["title"])) for each in said.get("items") or []]

        if not _REPOSITORY.fullmatch(project):
            raise Refused(f"{project!r} is no repository of GitHub: one is like acme/app.")
        return await looked_for(text, ask)

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        """The receipt in the body names the conversation; an issue has no other place for it."""

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """A comment that ends with who wrote it, and with its id, which nobody sees and which tells whether it is there."""
        project, _, number = key.partition("#")
        path, name = f"/repos/{project}/issues/{number}/comments", comment_name(comment_id)
        if not await has_comment(name, partial(self._list, path)):
            await self._api.ask(path, {"body": comment_text(name, author, text, DIALECT)}, await self._key.headers(self._api))

    def _copy(self, issue: Mapping[str, Any], account: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        body, title = issue.get("body") or "", str(issue.get("title") or "")
        there = {
            "title": title,
            "body": body,
            "labels": [one["name"] if isinstance(one, dict) else one for one in issue.get("labels") or []],
            "assignees": [one["login"] for one in issue.get("assignees") or []],
        }
        payload, changed, stands = judged(sealed, there, "body", envelope(receipt, DIALECT))
        return Copy(
            ticket=self._ticket(sealed.payload["project"], int(issue["number"]), title),
            ours=last_mark(body) == receipt.marker and self._is_ours(issue, account),
            payload=payload,
            changed=changed,
            receipt=stands,
        )

    def _is_ours(self, issue: Mapping[str, Any], account: str) -> bool:
        if self._key.app:
            via = issue.get("performed_via_github_app") or {}
            return self._key.app in (str(via.get("id")), via.get("client_id"))
        return account in ("", (issue.get("user") or {}).get("login"))

    async def _login(self) -> str:
        """Our account; empty for an App, which marks what it makes, and for tokens that may not ask."""
        if self._account is None:
            try:
                self._account = "" if self._key.app else str((await self._get("/user")).get("login") or "")
            except Refused:  # it may not ask who it is
                return ""
        return self._account

    async def _get(self, path: str, **params: Any) -> Mapping[str, Any]:
        said = await self._api.get(path, await self._key.headers(self._api), **params)
        if not isinstance(said, dict):
            raise Later("GitHub gave an answer that cannot be read.")
        return said

    async def _list(self, path: str, page: int, **params: Any) -> list[Mapping[str, Any]]:
        said = await self._api.get(path, await self._key.headers(self._api), per_page=100, page=page, **params)
        if not isinstance(said, list):
            raise Later("GitHub gave an answer that cannot be read.")
        return said

    def _ticket(self, project: str, number: int, title: str) -> Ticket:
        return Ticket(key=f"{project}#{number}", url=f"{self._site}/{project}/issues/{number}", title=title)

    def _number(self, given: str, project: str) -> int:
        addresses = rf"{re.escape(self._site)}/([^/]+/[^/]+)/issues/(\d+)"
        return number_of(given, project, "GitHub", addresses, f"{self._site}/{project}/issues/12")


def connect(environ: Mapping[str, str]) -> GitHubTracker | None:
    """The GitHub of GITHUB_API_URL, by GITHUB_TOKEN or as an App. Raises ValueError with a sentence."""
    names = ("TOKEN", "APP_ID", "INSTALLATION_ID", "APP_KEY")
    token, app, installation, path = (environ.get(f"GITHUB_{name}", "").strip() for name in names)
    if not token and not app:
        return None
    if token and app:
        raise ValueError("GITHUB_TOKEN and GITHUB_APP_ID are both set: we can be only one of them, so unset the other.")
    api = address("GITHUB_API_URL", environ.get("GITHUB_API_URL", "") or "https://api.github.com")
    if token:
        if not re.fullmatch("[!-~]+", token):
            raise ValueError("GITHUB_TOKEN has a space or a letter in it that no token has: copy it again.")
        return GitHubTracker(api, Key(token))
    if not installation.isdigit() or not path:
        raise ValueError("GITHUB_APP_ID needs GITHUB_INSTALLATION_ID, a number, and GITHUB_APP_KEY, the path of the App's key.")
    from jwt import PyJWTError

    try:
        key = Key(app=app, installation=installation, pem=Path(path).read_text())
        key.signed()
    except (OSError, ValueError, TypeError, AttributeError, PyJWTError) as error:
        raise ValueError(
            f"GITHUB_APP_KEY is {path!r}, and no private key can be read there ({type(error).__name__})."
        ) from None
    return GitHubTracker(api, key)


def explain(response: httpx.Response, said: Any) -> Refused | Later | None:
    """What GitHub says in its own error object, which always names a page of its documentation."""
    if not isinstance(said, dict) or not isinstance(said.get("message"), str) or "documentation_url" not in said:
        return None
    status, headers = response.status_code, response.headers
    message = said["message"][:300].rstrip(".")
    if status in (403, 429) and (
        "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or "rate limit" in message.lower()
    ):
        return Later(f"GitHub wants a pause ({message}).", _wanted(headers, pause(response)))
    match status:
        case 301 | 307 | 308:
            return Refused("GitHub says that it has moved: use its new name.")
        case 403:
            return Refused(
                f"GitHub does not let us do that ({message}): an operator has to check that our token or App has the "
                "permission to write issues there."
            )
        case 404:
            return Missing("GitHub has no such thing, or does not show it to us: check its name, and our token's access.")
        case 410 if "disabled" in message:
            return Refused(f"GitHub takes no issues there ({message}): who runs it can switch them on in its settings.")
        case 410:
            return Missing(f"GitHub has it no more ({message}).")
        case 422:
            return _invalid(message, said.get("errors"))
        case 400 | 413 | 451:
            return Refused(f"GitHub does not take it ({message}).")
    return None


def _invalid(message: str, errors: Any) -> Refused | Later:
    blamed: dict[str, str] = {}
    texts = []
    for error in errors if isinstance(errors, list) else []:
        one = error if isinstance(error, dict) else {"message": str(error)}
        text = str(one.get("message") or f"{one.get('field')} is {one.get('code')}: {one.get('value', '')}").rstrip(" :")
        texts.append(text)
        if name := _DRAFTS.get(str(one.get("field"))):
            blamed[name] = text
    if any("too quickly" in text for text in texts):
        return Later("GitHub wants a pause (it was submitted too quickly).", LEAST_PAUSE)
    return Refused(f"GitHub does not take it ({'; '.join([message, *texts])}).", blamed)


def _wanted(headers: httpx.Headers, after: float | None) -> float:
    """The seconds of a pause: Retry-After if there is one, then when the limit is lifted, then a minute."""
    reset = headers.get("x-ratelimit-reset", "")
    if after is None and headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        after = min(max(int(reset) - time.time(), 1.0), LONGEST_PAUSE)
    return LEAST_PAUSE if after is None else after


def _site(api: str) -> str:
    """Where people look, for an API at api.github.com, api.NAME.ghe.com or HOST/api/v3."""
    parts = urlsplit(api)
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}{parts.path.removesuffix('/api/v3')}"
