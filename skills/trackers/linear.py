"""Linear, by its GraphQL API.

An issue's id may be chosen by who creates it, so ours is made from the approval's marker: a second one is refused, and whether
there is one is a question by id. Linear keeps text in a form of its own and gives it back in other Markdown than it was given:
other bullets, escapes of its own, addresses as links, what looks like a domain as a link, no blanks at ends of lines. So a
description is compared as it reads.

What is mentioned is written as a plain address of Linear's, or as the identifier of an issue; both are written as code here.
"""

import hashlib
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from agent.draft import TicketDraft
from agent.projects import Project, ProjectField, TicketType
from agent.protocol import Question
from agent.receipt import Piece, Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Later, Missing, Refused, Ticket, Unsure
from skills.trackers.body import Paragraph, document, receipt_blocks, text_blocks
from skills.trackers.http import LONGEST_PAUSE, Api, address, careful, pause
from skills.trackers.looking import looked_for
from skills.trackers.markdown import EMOJI, Dialect, details, judged, markdown


def _has_identifier(word: str) -> bool:
    return bool(re.search("[A-Za-z]", word) and re.search(r"[A-Za-z0-9]-\d", word))


DIALECT = Dialect(
    calls=re.compile(EMOJI),
    as_code=_has_identifier,
    own=re.compile(r"https?://(?:[\w-]+\.)*linear\.app(?:[/:?#]|$)", re.IGNORECASE),
)

PRIORITIES = {"urgent": 1, "high": 2, "medium": 3, "normal": 3, "low": 4, "no priority": 0,
              "p0": 1, "p1": 2, "p2": 3, "p3": 4, "p4": 4}  # fmt: skip
"""Linear's priorities, by what people call them."""

FEW = 20
"""Labels that a question names."""

LABELS = 1000
"""Labels that are kept of a team."""

LEAST_PAUSE = 60.0
"""Seconds to wait if Linear wants a pause and does not say how long."""

TEAM, LABEL = "team", "label:"
"""How the fields that stand for a team and for labels are named."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*-\d{1,9}")

DESCRIBE = """
query Describe($key: String!, $after: String) {
  teams(filter: {key: {eq: $key}}) { nodes { id } }
  issueLabels(
    first: 250
    after: $after
    filter: {isGroup: {eq: false}, or: [{team: {key: {eq: $key}}}, {team: {null: true}}]}
  ) { nodes { id name } pageInfo { hasNextPage endCursor } }
}
"""

CREATE = """
mutation Create($input: IssueCreateInput!) {
  issueCreate(input: $input) { success issue { identifier url } }
}
"""

READ = """
query Read($id: String!) {
  viewer { id }
  issue(id: $id) {
    id identifier url title description priority labelIds
    team { id } parent { identifier } creator { id }
  }
}
"""

SEARCH = """
query Search($term: String!, $key: String!) {
  searchIssues(term: $term, first: 30, filter: {team: {key: {eq: $key}}}) { nodes { identifier url title } }
}
"""

LINK = "mutation Link($input: AttachmentCreateInput!) { attachmentCreate(input: $input) { success } }"

COMMENT = "mutation Comment($input: CommentCreateInput!) { commentCreate(input: $input) { success } }"


class LinearRenderer:
    """What Linear would be sent. The ids of the team and of its labels are fields of the project's one type of issue."""

    name = "linear"

    def questions(self, draft: TicketDraft, project: Project) -> list[Question]:
        """The labels that there are not; Linear makes none by itself."""
        if not (kind := project.type_for(draft.issue_type)):
            return [Question(text=f"I do not know yet which labels {project.key} has in Linear: say *show* to try again.")]
        known = _labels(kind)
        names = [one.name.removeprefix(LABEL) for one in known.values()]
        there_are = f"it has {', '.join(names[:FEW])}{' and others' if len(names) > FEW else ''}" if names else "it has none"
        unknown = [label for label in draft.labels if label.casefold() not in known]
        return [
            Question(field="labels", text=f"Linear has no label {label!r} in {project.key}; {there_are}.") for label in unknown
        ]

    def render(self, draft: TicketDraft, project: Project) -> Mapping[str, Any]:
        """The input of `issueCreate`, without its id."""
        kind = project.type_for(draft.issue_type)
        assert kind, "a project without types leaves a question"
        known, team = _labels(kind), kind.field(TEAM)
        assert team
        parts: dict[str, Any] = {}
        if (priority := PRIORITIES.get(draft.priority.casefold())) is not None:
            parts["priority"] = priority
        if labels := list(dict.fromkeys(known[label.casefold()].id for label in draft.labels)):
            parts["labelIds"] = labels
        if _IDENTIFIER.fullmatch(draft.epic_id):
            parts["parentId"] = draft.epic_id.upper()
        more = details(
            draft,
            Type=draft.issue_type.capitalize(),
            Priority="" if "priority" in parts else draft.priority,
            Epic="" if "parentId" in parts else draft.epic_id,
            Assignee=draft.assignee,
        )
        body = markdown(document(draft, more), DIALECT)
        request = {"teamId": team.id, "title": draft.title, "description": body, **parts}
        return {"type": draft.issue_type, "title": draft.title, "body": body, "fields": draft.filled(), "request": request}


RENDERER = LinearRenderer()


@careful
class LinearTracker(LinearRenderer):
    """A workspace of Linear."""

    repeatable = False

    def __init__(self, url: str, authorization: str) -> None:
        parts = urlsplit(url)
        self._path = parts.path or "/graphql"
        self._api = Api("Linear", f"{parts.scheme}://{parts.netloc}", {"Authorization": authorization}, explain)

    async def describe(self, project: str) -> Project:
        """A team, with its labels and those of the workspace."""
        fields: list[ProjectField] = []
        after: str | None = None
        while True:
            said = await self._ask(DESCRIBE, key=project.upper(), after=after)
            if not (teams := _nodes(said, "teams")):
                text = f"Linear shows us no team {project}: check its key, or let an operator give our account access to it."
                raise Refused(text)
            fields = fields or [ProjectField(id=teams[0]["id"], name=TEAM, kind="other")]
            fields += [
                ProjectField(id=one["id"], name=LABEL + one["name"], kind="other") for one in _nodes(said, "issueLabels")
            ]
            page = _within(said, "issueLabels", "pageInfo")
            after = page.get("endCursor")
            if not page.get("hasNextPage") or not after or len(fields) > LABELS:
                return Project(key=project, types=[TicketType(id="issue", name="Issue", fields=fields)])

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        """One `issueCreate` of what was sealed, with our id and with the receipt at the end of the description."""
        request = sealed.payload["request"]
        description = f"{request['description']}\n\n{_envelope(receipt)}"
        given = {**request, "id": client_id(receipt.marker), "description": description}
        try:
            said = await self._api.create(self._path, {"query": CREATE, "variables": {"input": given}})
            made = _within(said, "data", "issueCreate", "issue")
            if isinstance(key := made.get("identifier"), str) and key:
                return Ticket(key=key, url=_url(made.get("url")), title=request["title"])
            if not _may_have_acted(said) and (problem := _meaning(said.get("errors"), {})):
                raise problem
        except Taken as taken:
            raise Unsure("Linear has an issue with our id already, perhaps from a time before.") from taken
        except Refused as refused:
            raise Refused(str(refused), _blamed(str(refused), request)) from refused
        raise Unsure("Linear did not say whether it made the issue.")

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        """The issue with our id."""
        try:
            copy = await self._copy(client_id(receipt.marker), sealed, receipt)
        except Missing:
            return None
        return copy if copy.ours else None

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        """The issue of an identifier, or of an address to browse it at."""
        text, project = key.strip(), sealed.payload["project"]
        if "://" in text and (found := re.fullmatch(r"https://linear\.app/[^/]+/issue/([^/?#]+)(?:[/?#].*)?", text)):
            text = found[1]
        if not _IDENTIFIER.fullmatch(text):
            raise Refused(f"{text[:80]!r} is no issue of Linear: one is like {project}-12.")
        if text.upper().rpartition("-")[0] != project.upper():
            raise Refused(f"{text.upper()} is not in {project}, where this ticket goes.")
        return await self._copy(text.upper(), sealed, receipt)

    async def search(self, project: str, text: str) -> list[Ticket]:
        """Issues of the team that have any of the text's longest words."""

        async def ask(words: Sequence[str]) -> list[Ticket]:
            said = await self._ask(SEARCH, term=" ".join(words), key=project.upper())
            return [_ticket(each) for each in _nodes(said, "searchIssues")]

        return await looked_for(text, ask)

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        """An attachment with the conversation's address, of which an issue has one only."""
        if receipt.thread:
            attachment = {"issueId": ticket.key, "title": "The conversation in Slack", "url": receipt.thread}
            await self._ask(LINK, input=attachment)

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """A comment with an id that is made from ours; one that there is already is refused."""
        blocks = [*text_blocks(text), Paragraph([[Piece("text", f"{author} via Signoff")]])]
        try:
            await self._ask(COMMENT, input={"id": client_id(comment_id), "issueId": key, "body": markdown(blocks, DIALECT)})
        except Taken:
            return

    async def _copy(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        said, request = await self._ask(READ, id=key), sealed.payload["request"]
        if not (issue := _within(said, "issue")):
            raise Missing(f"Linear has no issue {key}, or does not show it to us.")
        team = _within(issue, "team").get("id")
        there = {
            "teamId": team,
            "title": issue.get("title"),
            "description": issue.get("description"),
            "priority": int(issue.get("priority") or 0),
            "labelIds": issue.get("labelIds") or [],
            "parentId": _within(issue, "parent").get("identifier"),
        }
        payload, changed, stands = judged(sealed, there, "description", _envelope(receipt))
        by_us = _within(issue, "creator").get("id") == _within(said, "viewer").get("id") is not None
        return Copy(
            ticket=_ticket(issue),
            ours=issue.get("id") == client_id(receipt.marker) and team == request["teamId"] and by_us,
            payload=payload,
            changed=changed,
            receipt=stands,
        )

    async def _ask(self, query: str, **variables: Any) -> Mapping[str, Any]:
        """The data of an answer. Raises Missing, Refused or Later."""
        said = await self._api.ask(self._path, {"query": query, "variables": variables})
        if not isinstance(said, dict):
            raise Later("Linear gave an answer that cannot be read.")
        if problem := _meaning(said.get("errors"), {}):
            raise problem
        if said.get("errors") or not isinstance(said.get("data"), dict):
            raise Later("Linear does not answer as it should.")
        return said["data"]  # type: ignore[no-any-return]


def connect(environ: Mapping[str, str]) -> LinearTracker | None:
    """The Linear of LINEAR_API_KEY, which may be a key or a token of OAuth. Raises ValueError with a sentence."""
    key = environ.get("LINEAR_API_KEY", "").strip()
    if not key:
        return None
    if not re.fullmatch("[!-~]+", key):
        raise ValueError("LINEAR_API_KEY has a space or a letter in it that no key has: copy it again.")
    url = address("LINEAR_API_URL", environ.get("LINEAR_API_URL", "") or "https://api.linear.app/graphql")
    return LinearTracker(url, key if key.startswith("lin_api_") else f"Bearer {key}")


def client_id(name: str) -> str:
    """An id in the form of UUID v4, which is all that Linear takes, and always the same for a name."""
    return str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


def explain(response: httpx.Response, said: Any) -> Refused | Later | None:
    """What Linear says in its errors, which each have a type or a code among their extensions."""
    return _meaning(said.get("errors"), response.headers, pause(response)) if isinstance(said, dict) else None


class Taken(Refused):
    """There is something with this id already."""


def _meaning(errors: Any, headers: Mapping[str, str], after: float | None = None) -> Refused | Later | None:
    """What the first error means; None for those of Linear's own, after which nobody knows what was done."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict) or not isinstance(told := first.get("extensions"), dict):
        return None
    message, shown = str(first.get("message") or ""), str(told.get("userPresentableMessage") or "")
    text = (shown or message)[:300].rstrip(".")
    kind = str(told.get("type") or told.get("code") or "").casefold().replace("_", " ")
    match kind:
        case "ratelimited":
            return Later("Linear wants a pause.", _wanted(headers, after))
        case "authentication error":
            return Refused("Linear does not accept our key: an operator has to renew it.")
        case "forbidden":
            return Refused(f"Linear does not let our account do that ({text}): who runs the workspace can permit it.")
        case _ if message.startswith("conflict on insert"):
            return Taken(f"Linear has it already ({text}).")
        case _ if message.startswith("Entity not found: Issue") and "IssueLabel" not in message:
            return Missing("Linear has no such issue, or does not show it to us.")
        case (
            "invalid input" | "input error" | "user error" | "usage limit exceeded" | "feature not accessible" | "graphql error"
        ):
            return Refused(f"Linear does not take it ({text}).")
    return None


def _may_have_acted(said: Mapping[str, Any]) -> bool:
    """Whether the issue may be made although an error came with it: it says so, or the error is about a part of the answer."""
    errors = [one for one in said.get("errors") or [] if isinstance(one, dict)]
    deep = any(isinstance(one.get("path"), list) and len(one["path"]) > 1 for one in errors)
    return deep or _within(said, "data", "issueCreate").get("success") is True


def _wanted(headers: Mapping[str, str], after: float | None) -> float:
    """The seconds of a pause: Retry-After if there is one, then when the limit that is used up is lifted, then a minute."""
    for name in ("endpoint-requests", "requests", "complexity"):
        reset = headers.get(f"x-ratelimit-{name}-reset", "")
        if after is None and headers.get(f"x-ratelimit-{name}-remaining") == "0" and reset.isdecimal():
            after = min(max(int(reset) / 1000 - time.time(), 1.0), LONGEST_PAUSE)
    return LEAST_PAUSE if after is None else after


def _blamed(text: str, request: Mapping[str, Any]) -> dict[str, str]:
    named = {"title": "title", "description": "problem", "label": "labels", "priority": "priority", "parent": "epic_id"}
    found = {field: text for word, field in named.items() if word in text.casefold()}
    return found or ({"epic_id": text} if "parentId" in request and "no such issue" in text else {})


def _within(said: Any, *names: str) -> Mapping[str, Any]:
    """The object that lies under these names; an empty one if none does."""
    for name in names:
        said = said.get(name) if isinstance(said, dict) else None
    return said if isinstance(said, dict) else {}


def _labels(kind: TicketType) -> dict[str, ProjectField]:
    return {one.name.removeprefix(LABEL).casefold(): one for one in kind.fields if one.name.startswith(LABEL)}


def _nodes(said: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return _within(said, name).get("nodes") or []


def _ticket(issue: Mapping[str, Any]) -> Ticket:
    return Ticket(key=issue["identifier"], url=_url(issue.get("url")), title=str(issue.get("title") or ""))


def _url(given: Any) -> str:
    """An address that a card can link; empty if it is none."""
    return given if isinstance(given, str) and re.fullmatch(r"https?://[^\s<>|\"]{1,2000}", given) else ""


def _envelope(receipt: Receipt) -> str:
    return markdown(receipt_blocks(receipt), DIALECT)
