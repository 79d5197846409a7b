"""GitLab: issues by the REST API, version 4.

An issue carries its marker in a comment of HTML at its end, and is looked for in the list of issues. GitLab calls people in
titles too, so a title has breaks where one would.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx

from agent.draft import TITLE_LIMIT, TicketDraft
from agent.projects import Project, ProjectField, TicketType
from agent.protocol import Question
from agent.receipt import Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Later, Missing, Refused, Ticket, Unsure
from skills.trackers.body import document
from skills.trackers.compare import the_one
from skills.trackers.http import Api, address, careful
from skills.trackers.looking import PAGE, looked_for
from skills.trackers.markdown import EMOJI, MENTION, Dialect, broken, details, has_commit, judged, last_mark, markdown
from skills.trackers.numbered import comment_name, comment_text, envelope, has_comment, number_of

DIALECT = Dialect(
    calls=re.compile(
        rf"{MENTION}|[#!&$](?=\d)|[~%](?=[\w\"{{])|\[(?=\w+:)|[\[{{](?=[+-])|\*(?=iteration:)|(?<![A-Za-z0-9])(?i:GL)-(?=\d)|{EMOJI}"
    ),
    as_code=has_commit,
)

BODY_LIMIT = 1_048_576
"""Characters in a description."""

ROOM = 1_500
"""Characters of that which are left for the receipt and the marker."""

PAGES = 5
"""Pages, of a hundred issues each, that are looked through for a marker."""

PLANNER = 15
"""The least level of access with which labels are kept."""

_PROJECT = re.compile(r"[\w.-]+(?:/[\w.-]+)+")
_DRAFTS = {"title": "title", "description": "problem", "labels": "labels"}
"""The draft's fields, by the names of GitLab's."""


class GitLabRenderer:
    """What GitLab would be sent."""

    name = "gitlab"

    def questions(self, draft: TicketDraft, project: Project) -> list[Question]:
        """What does not go in, and labels that would be two."""
        request = self.render(draft, project)["request"]
        asked = [
            Question(
                field="labels", text=f"The label {label!r} has a comma in it, which parts labels in GitLab: write it without."
            )
            for label in draft.labels
            if "," in label
        ]
        if (length := len(request["title"])) > TITLE_LIMIT:
            asked.append(Question(field="title", text=f"The title has {length} characters, and GitLab takes {TITLE_LIMIT}."))
        if (length := len(request["description"])) > (limit := BODY_LIMIT - ROOM):
            text = f"The description has {length:,} characters with its markup, and GitLab takes {limit:,}: shorten it."
            asked.append(Question(field="problem", text=text))
        return asked

    def render(self, draft: TicketDraft, project: Project) -> Mapping[str, Any]:
        """The issue's title, description and labels."""
        kind = project.type_for(draft.issue_type)
        labels = draft.labels if kind and kind.field("labels") else []
        more = details(
            draft,
            Type=draft.issue_type.capitalize(),
            Priority=draft.priority,
            Epic=draft.epic_id,
            Labels="" if labels else ", ".join(draft.labels),
            Assignee=draft.assignee,
        )
        body = markdown(document(draft, more), DIALECT)
        request = {"title": broken(draft.title, DIALECT), "description": body}
        request |= {"labels": ",".join(dict.fromkeys(labels))} if labels else {}
        return {"type": draft.issue_type, "title": draft.title, "body": body, "fields": draft.filled(), "request": request}


RENDERER = GitLabRenderer()


@careful
class GitLabTracker(GitLabRenderer):
    """A GitLab. `site` is where people look at issues."""

    repeatable = False

    def __init__(self, site: str, token: str) -> None:
        self._site = site
        self._api = Api("GitLab", f"{site}/api/v4", {"PRIVATE-TOKEN": token}, explain)
        self._account: int | None = None

    async def describe(self, project: str) -> Project:
        """A project takes issues; their labels only if we are more than a guest there."""
        if not _PROJECT.fullmatch(project):
            raise Refused(f"{project!r} is no project of GitLab: one is like acme/app.")
        try:
            said = await self._api.get(_path(project))
        except Missing:
            text = f"GitLab shows us no project {project}: check its path, or let an operator give our token access to it."
            raise Refused(text) from None
        if not isinstance(said, dict):
            raise Later("GitLab gave an answer that cannot be read.")
        if said.get("archived") or said.get("issues_access_level") == "disabled":
            raise Refused(f"{project} takes no issues: it is archived, or they are switched off in its settings.")
        access = said.get("permissions")
        levels = [(one or {}).get("access_level") or 0 for one in access.values()] if isinstance(access, dict) else [PLANNER]
        fields = [ProjectField(id="labels", name="labels", kind="labels")] if max(levels, default=0) >= PLANNER else []
        return Project(key=project, types=[TicketType(id="issue", name="Issue", fields=fields)])

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        """One POST of what was sealed, with the receipt and the marker at the end of the description."""
        project, request = sealed.payload["project"], sealed.payload["request"]
        description = f"{request['description']}\n\n{envelope(receipt, DIALECT)}"
        made = await self._api.create(f"{_path(project)}/issues", {**request, "description": description})
        if not isinstance(number := made.get("iid"), int):
            raise Unsure("GitLab took the issue, and did not say which it is.")
        return self._ticket(project, number, sealed.payload["title"])

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        """The one issue of ours that ends with the marker, among those that were made since the approval."""
        since = (receipt.approved_at - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {
            "author_id": await self._me(),
            "scope": "all",
            "created_after": since,
            "order_by": "created_at",
            "sort": "desc",
        }
        found: dict[str, Copy] = {}
        for page in range(1, PAGES + 1):
            issues = await self._list(f"{_path(sealed.payload['project'])}/issues", page, **asked)
            for issue in issues:
                if receipt.marker in (issue.get("description") or ""):
                    copy = await self._copy(issue, sealed, receipt)
                    found[copy.ticket.key] = copy
            if len(issues) < 100:
                break
        return the_one(list(found.values()))

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        """The issue of a number, alone or with its project, or of an address to browse it at."""
        project = sealed.payload["project"]
        issue = await self._api.get(f"{_path(project)}/issues/{self._number(key, project)}")
        if not isinstance(issue, dict) or not isinstance(issue.get("iid"), int):
            raise Later("GitLab gave an answer that cannot be read.")
        return await self._copy(issue, sealed, receipt)

    async def search(self, project: str, text: str) -> list[Ticket]:
        """Issues that have any of the text's longest words."""

        async def ask(words: Sequence[str]) -> list[Ticket]:
            found = await self._list(f"{_path(project)}/issues", 1, search=" ".join(words), scope="all", per_page=PAGE)
            return [self._ticket(project, int(each["iid"]), str(each["title"])) for each in found]

        return await looked_for(text, ask)

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        """The receipt in the description names the conversation; an issue has no other place for it."""

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """A comment that ends with who wrote it, and with its id, which nobody sees and which tells whether it is there."""
        project, _, number = key.partition("#")
        path, name = f"{_path(project)}/issues/{number}/notes", comment_name(comment_id)
        if not await has_comment(name, partial(self._list, path)):
            await self._api.ask(path, {"body": comment_text(name, author, text, DIALECT)})

    async def _copy(self, issue: Mapping[str, Any], sealed: SealedTicket, receipt: Receipt) -> Copy:
        request, body, title = sealed.payload["request"], issue.get("description") or "", str(issue.get("title") or "")
        labels = [str(one) for one in issue.get("labels") or []]
        same = sorted(labels) == sorted(request.get("labels", "").split(","))
        there = {"title": title, "description": body, "labels": request.get("labels") if same else ",".join(labels)}
        payload, changed, stands = judged(sealed, there, "description", envelope(receipt, DIALECT))
        return Copy(
            ticket=self._ticket(sealed.payload["project"], int(issue["iid"]), title),
            ours=last_mark(body) == receipt.marker and (issue.get("author") or {}).get("id") == await self._me(),
            payload=payload,
            changed=changed,
            receipt=stands,
        )

    async def _me(self) -> int:
        if self._account is None:
            said = await self._api.get("/user")
            if not isinstance(said, dict) or not isinstance(said.get("id"), int):
                raise Later("GitLab did not say who we are.")
            self._account = said["id"]
        return self._account

    async def _list(self, path: str, page: int, **params: Any) -> list[Mapping[str, Any]]:
        said = await self._api.get(path, **{"per_page": 100, "page": page, **params})
        if not isinstance(said, list):
            raise Later("GitLab gave an answer that cannot be read.")
        return said

    def _ticket(self, project: str, number: int, title: str) -> Ticket:
        return Ticket(key=f"{project}#{number}", url=f"{self._site}/{project}/-/issues/{number}", title=title)

    def _number(self, given: str, project: str) -> int:
        addresses = rf"{re.escape(self._site)}/(.+?)/-/(?:issues|work_items)/(\d+)"
        return number_of(given, project, "GitLab", addresses, f"{self._site}/{project}/-/issues/12")


def connect(environ: Mapping[str, str]) -> GitLabTracker | None:
    """The GitLab of GITLAB_URL, by GITLAB_TOKEN. Raises ValueError with a sentence."""
    token = environ.get("GITLAB_TOKEN", "").strip()
    if not token:
        return None
    if not re.fullmatch("[!-~]+", token):
        raise ValueError("GITLAB_TOKEN has a space or a letter in it that no token has: copy it again.")
    return GitLabTracker(address("GITLAB_URL", environ.get("GITLAB_URL", "") or "https://gitlab.com"), token)


def explain(response: httpx.Response, said: Any) -> Refused | Later | None:
    """What GitLab says: `message`, a sentence that begins with the status or problems by field, or `error`."""
    status = response.status_code
    if not isinstance(said, dict) or status not in (400, 401, 403, 404, 409, 410, 413, 422):
        return None
    message, error = said.get("message"), said.get("error")
    if isinstance(message, dict):
        problems = {str(name): ", ".join(map(str, texts)) for name, texts in message.items() if isinstance(texts, list)}
        text = "; ".join(f"{name} {problem}" for name, problem in problems.items())
        blamed = {_DRAFTS[name]: f"The {name} {problem}." for name, problem in problems.items() if name in _DRAFTS}
        return Refused(f"GitLab does not take it ({text[:300]}).", blamed)
    if isinstance(message, str) and message.startswith(f"{status} "):
        text = message
    elif isinstance(error, str):
        text = str(said.get("error_description") or error)
    else:
        return None
    text = text[:300].rstrip(".")
    match status:
        case 401:
            return Refused(f"GitLab does not accept our token ({text}): an operator has to renew it.")
        case 403:
            return Refused(
                f"GitLab does not let us do that ({text}): an operator has to check our token's scope, which is to be api, "
                "and our account's role in the project."
            )
        case 404:
            return Missing("GitLab has no such thing, or does not show it to us: check its path, and our token's access.")
    return Refused(f"GitLab does not take it ({text}).")


def _path(project: str) -> str:
    return f"/projects/{quote(project, safe='')}"
