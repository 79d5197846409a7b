"""Jira: Cloud by its REST API v3, which keeps text as documents (ADF), and Data Center by v2, which keeps wiki markup.

A ticket carries its marker as a label, by which it is found, and in the issue property `signoff`, which no draft can set. Both
are set in the one POST. Whoever clones a ticket copies the label, and perhaps the property, so it must be made by our account
as well. A tracker that has no properties is believed if the label, the account and the content are right.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from agent.draft import CUSTOM, TITLE_LIMIT, TicketDraft
from agent.projects import Project, ProjectField, TicketType
from agent.protocol import Question
from agent.receipt import Piece, Receipt
from agent.sealing import SealedTicket
from agent.trackers import Copy, Later, Missing, Refused, Ticket, Unsure
from skills.trackers import adf, wiki
from skills.trackers.body import Paragraph, receipt_blocks, text_blocks
from skills.trackers.compare import compared, the_one
from skills.trackers.http import Api, address, careful
from skills.trackers.jira_fields import KEY, LINE_LIMIT, ROOM, TEXT_LIMIT, described, filled, kind_of, size, units, written
from skills.trackers.looking import PAGE, looked_for

PROPERTY = "signoff"
PAGES = 100
"""Pages of a list that are read at most."""


_PROJECT = re.compile(r"[A-Z][A-Z0-9_]+")
_DRAFTS = {"summary": "title", "issuetype": "issue_type", "description": "problem", "parent": "epic_id",
           "labels": "labels", "priority": "priority", "assignee": "assignee"}  # fmt: skip
"""The draft's own fields, by the ids of Jira's."""


T = TypeVar("T")


class JiraRenderer:
    """What Jira would be sent."""

    name = "jira"

    def questions(self, draft: TicketDraft, project: Project) -> list[Question]:
        """What the type's fields, and Jira's limits, leave to ask."""
        if not (kind := project.type_for(draft.issue_type)):
            return [Question(text=f"I do not know yet which types of ticket {project.key} has: say *show* to try again.")]
        form = filled(draft, project, kind)
        if (length := units(draft.title)) > TITLE_LIMIT:
            form.ask("title", f"The title has {length:,} characters as Jira counts them; shorten it to {TITLE_LIMIT:,}.")
        if (length := size(form.body(draft))) > TEXT_LIMIT - ROOM:
            limit = f"{TEXT_LIMIT - ROOM:,}"
            form.ask("problem", f"The description has {length:,} characters with its markup, and {limit} go in: shorten it.")
        return form.questions

    def render(self, draft: TicketDraft, project: Project) -> Mapping[str, Any]:
        """The issue's fields, with options, types and people as Jira names them."""
        kind = project.type_for(draft.issue_type)
        assert kind, "a project without types leaves a question"
        form = filled(draft, project, kind)
        body = form.body(draft)
        request = {"project": {"key": project.key}, "issuetype": {"id": kind.id}, "summary": draft.title, "description": body}
        return {
            "type": kind.name,
            "title": draft.title,
            "body": body,
            "fields": draft.filled(),
            "request": request | form.parts,
        }


RENDERER = JiraRenderer()


@careful
class JiraTracker(JiraRenderer):
    """A Jira site. `site` is where people look at tickets, `api` where we do."""

    repeatable = False

    def __init__(self, site: str, api: str, authorization: str) -> None:
        self._site = site
        self._api = Api("Jira", api, {"Authorization": authorization, "Accept": "application/json"}, explain)
        self._server: Mapping[str, Any] = {}
        self._account: Mapping[str, Any] = {}
        self._known: dict[tuple[str, str], list[ProjectField]] = {}

    async def describe(self, project: str) -> Project:
        """The types that our account may create, without those of sub-tasks."""
        if not _PROJECT.fullmatch(project):
            raise Refused(f"{project} is no key of a Jira project: one is like OPS, in capital letters.")
        root, cloud = await self._root(), await self._is_cloud()
        if not cloud and self._server.get("versionNumbers", [9])[:2] < [8, 4]:
            raise Refused(f"This Jira is version {self._server.get('version')}, and Signoff needs 8.4 or later.")
        try:
            kinds = await self._pages(f"{root}/issue/createmeta/{project}/issuetypes", "issueTypes" if cloud else "values")
        except Missing:
            kinds = []
        named = {str(each.get("id")): str(each.get("name")) for each in kinds if not each.get("subtask")}
        types = [TicketType(id=one, name=name, fields=await self._fields(root, project, one)) for one, name in named.items()]
        if not types and not cloud:
            types = await self._older(root, project)
        if not types:
            raise Refused(
                f"Jira has no project {project} in which our account may create tickets: check the key, "
                "or ask who runs the project to let the account browse it and create in it."
            )
        return Project(key=project, form="cloud" if cloud else "server", types=types)

    async def create(self, sealed: SealedTicket, receipt: Receipt) -> Ticket:
        """One POST of what was sealed, in its envelope."""
        try:
            made = await self._api.create(f"{_root(sealed)}/issue", _envelope(sealed, receipt))
        except Refused as refused:
            fields: list[ProjectField] = []
            with suppress(Refused, Later):  # only to say which field is to blame, if one is
                fields = await self._fields_of(sealed)
            raise Refused(str(refused), _blamed(refused.fields, fields, sealed)) from refused
        if not isinstance(key := made.get("key"), str) or not KEY.fullmatch(key):
            raise Unsure("Jira took the ticket, and did not say which it is.")
        return self._ticket(key, sealed.payload["title"])

    async def find(self, sealed: SealedTicket, receipt: Receipt) -> Copy | None:
        """The ticket with the marker's label, if it is ours."""
        if "labels" not in sealed.payload["request"]:
            return None
        jql = f"project = {_quoted(sealed.payload['project'])} AND labels = {_quoted(receipt.marker)}"
        copies = []
        for key in await self._hits(_root(sealed), jql, 50):
            with suppress(Missing):
                copies.append(await self._copy(key, sealed, receipt))
        return the_one(copies)

    async def read(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        """The ticket of a key, or of an address to browse it at."""
        return await self._copy(self._key(key, sealed.payload["project"]), sealed, receipt)

    async def search(self, project: str, text: str) -> list[Ticket]:
        """Tickets that have any of the text's longest words."""

        async def ask(words: Sequence[str]) -> list[Ticket]:
            jql = f"project = {_quoted(project)} AND text ~ {_quoted(' '.join(words))}"
            return [self._ticket(key, title) for key, title in (await self._hits(await self._root(), jql, PAGE)).items()]

        return await looked_for(text, ask)

    async def link(self, ticket: Ticket, receipt: Receipt) -> None:
        """A link on the ticket to the conversation; there is one for each marker."""
        if receipt.thread:
            link = {"url": receipt.thread, "title": "The conversation in Slack"}
            body = {"globalId": f"signoff:{receipt.marker}", "object": link}
            await self._api.ask(f"{await self._root()}/issue/{ticket.key}/remotelink", body)

    async def comment(self, comment_id: str, key: str, author: str, text: str) -> None:
        """A comment that ends with who wrote it and its id, which tells whether it is there."""
        path, mark = f"{await self._root()}/issue/{key}/comment", hashlib.sha256(comment_id.encode()).hexdigest()[:12]
        if any(mark in json.dumps(each.get("body")) for each in await self._pages(path, "comments")):
            return
        blocks = [*text_blocks(text), Paragraph([[Piece("text", f"{author} via Signoff ({mark})")]])]
        await self._api.ask(path, {"body": written(blocks, await self._is_cloud())})

    async def _copy(self, key: str, sealed: SealedTicket, receipt: Receipt) -> Copy:
        request: Mapping[str, Any] = sealed.payload["request"]
        wanted = ",".join([*request, "creator"])
        issue = _object(await self._api.get(f"{_root(sealed)}/issue/{key}", fields=wanted, properties=PROPERTY))
        now = _without_floats(dict(_object(issue.get("fields"))))
        labels, proof, creator = now.get("labels") or [], (issue.get("properties") or {}).get(PROPERTY), now.get("creator")
        now["labels"] = [label for label in labels if label != receipt.marker]
        now["description"], stands = _without_receipt(now.get("description"), receipt)
        proven = proof == _property(receipt)
        marked = receipt.marker in labels if "labels" in request else proven
        by_us = await self._is_ours(creator, _root(sealed)) if creator else proven
        there = {name: _like(value, now.get(name)) for name, value in request.items()}
        payload, changed = compared(sealed, there, _words)
        return Copy(
            ticket=self._ticket(str(issue.get("key")), str(now.get("summary") or "")),
            ours=marked and by_us and (proven or proof is None) and there["project"] == request["project"],
            payload=payload,
            changed=changed,
            receipt=stands,
        )

    async def _hits(self, root: str, jql: str, most: int) -> dict[str, str]:
        """The titles of the tickets that a query finds, by key."""
        path = f"{root}/search/jql" if root.endswith("3") else f"{root}/search"
        said = _object(await self._api.get(path, jql=jql, fields="summary", maxResults=most))
        found = {str(each.get("key")): each.get("fields") or {} for each in said.get("issues") or []}
        return {key: str(fields.get("summary") or "") for key, fields in found.items() if KEY.fullmatch(key)}

    async def _pages(self, path: str, name: str) -> list[Mapping[str, Any]]:
        """Everything in a list that is answered in pages."""
        found: list[Mapping[str, Any]] = []
        for _ in range(PAGES):
            page = _object(await self._api.get(path, startAt=len(found), maxResults=50))
            found += page.get(name) or []
            if not page.get(name) or page.get("isLast", len(found) >= page.get("total", 0)):
                break
        return found

    async def _fields(self, root: str, project: str, kind: str) -> list[ProjectField]:
        cloud = root.endswith("3")
        said = await self._pages(f"{root}/issue/createmeta/{project}/issuetypes/{kind}", "fields" if cloud else "values")
        self._known[project, kind] = [one for each in said if (one := described(each, cloud))]
        return self._known[project, kind]

    async def _older(self, root: str, project: str) -> list[TicketType]:
        """The types as a server tells them that lacks the newer addresses; those that say less of their fields than they take
        are asked for the priorities and the epic link, too."""
        expand = "projects.issuetypes.fields"
        try:
            said = _object(await self._api.get(f"{root}/issue/createmeta", projectKeys=project, expand=expand))
            everywhere, priorities = await self._api.get(f"{root}/field"), await self._api.get(f"{root}/priority")
        except Missing:
            return []
        epics = [each for each in everywhere if kind_of("", each.get("schema") or {}, cloud=False) == "epic"]
        more = [each | {"key": each.get("id")} for each in epics]
        more.append({"key": "priority", "name": "Priority", "schema": {"type": "priority"}, "allowedValues": priorities})
        types = []
        for found in (each for each in said.get("projects") or [] if each.get("key") == project):
            for kind in (each for each in found.get("issuetypes") or [] if not each.get("subtask")):
                known = {name: each | {"key": name} for name, each in (kind.get("fields") or {}).items()}
                known = {str(each["key"]): each for each in more} | known
                fields = [one for each in known.values() if (one := described(each, cloud=False))]
                self._known[project, str(kind.get("id"))] = fields
                types.append(TicketType(id=str(kind.get("id")), name=str(kind.get("name")), fields=fields))
        return types

    async def _fields_of(self, sealed: SealedTicket) -> list[ProjectField]:
        project, kind = sealed.payload["project"], sealed.payload["request"]["issuetype"]["id"]
        known = self._known.get((project, kind))
        return known if known is not None else await self._fields(_root(sealed), project, kind)

    async def _is_cloud(self) -> bool:
        try:
            self._server = self._server or _object(await self._api.get("rest/api/2/serverInfo"))
        except Missing as error:
            raise Refused("There is no Jira at this address: an operator has to check JIRA_URL, and JIRA_API_URL.") from error
        return bool(self._server.get("deploymentType") == "Cloud")

    async def _root(self) -> str:
        return "rest/api/3" if await self._is_cloud() else "rest/api/2"

    async def _is_ours(self, creator: Mapping[str, Any], root: str) -> bool:
        self._account = self._account or _object(await self._api.get(f"{root}/myself"))
        return any(creator.get(name) == self._account.get(name) is not None for name in ("accountId", "key", "name"))

    def _ticket(self, key: str, title: str) -> Ticket:
        return Ticket(key=key, url=f"{self._site}/browse/{key}", title=title)

    def _key(self, given: str, project: str) -> str:
        text, site = given.strip(), urlsplit(self._site)
        if "://" in text:
            parts = urlsplit(text)
            if parts.netloc.casefold() != site.netloc.casefold() or not parts.path.startswith(f"{site.path}/browse/"):
                raise Refused(f"{text} is no address of a ticket in this Jira; one is like {self._site}/browse/{project}-12.")
            text = parts.path.removeprefix(f"{site.path}/browse/").strip("/")
        if not (found := KEY.fullmatch(text.upper())):
            raise Refused(f"{text[:LINE_LIMIT]!r} is no key of a ticket in Jira: one is like {project}-12.")
        if found[1] != project:
            raise Refused(f"{found[0]} is not in {project}, where this ticket goes.")
        return found[0]


def connect(environ: Mapping[str, str]) -> JiraTracker | None:
    """The site that JIRA_URL, JIRA_TOKEN, JIRA_EMAIL and JIRA_API_URL name. Raises ValueError with a sentence."""
    url, token, email, api = (environ.get(f"JIRA_{name}", "").strip() for name in ("URL", "TOKEN", "EMAIL", "API_URL"))
    if not (url or token or email or api):
        return None
    if not url:
        raise ValueError(
            "JIRA_URL is not set, and other variables of Jira are: it is your site, https://example.atlassian.net."
        )
    if not token:
        raise ValueError("JIRA_URL is set and JIRA_TOKEN is not: it is an API token, or a personal one on Data Center.")
    if not re.fullmatch("[!-~]+", token):
        raise ValueError("JIRA_TOKEN has a space or a letter in it that no token has: copy it again.")
    site = address("JIRA_URL", url)
    basic = base64.b64encode(f"{email}:{token}".encode()).decode()
    return JiraTracker(site, address("JIRA_API_URL", api) if api else site, f"Basic {basic}" if email else f"Bearer {token}")


def explain(response: httpx.Response, said: Any) -> Refused | Later | None:
    """What Jira says in its own error object, or the gateway in front of it in its own."""
    status = response.status_code
    if not isinstance(said, dict) or status not in (400, 401, 403, 404, 413, 422):
        return None
    if status in (401, 403, 404) and said.get("code") == status and isinstance(said.get("message"), str):
        check = "An operator has to check JIRA_API_URL, and the token and its scopes."
        return Refused(f"Atlassian's gateway says: {said['message']}. {check}")
    messages, errors = said.get("errorMessages"), said.get("errors")
    if not isinstance(messages, list) and not isinstance(errors, dict):
        return None
    blamed = {str(name): str(text) for name, text in errors.items()} if isinstance(errors, dict) else {}
    if isinstance(messages, list) and "CONTENT_LIMIT_EXCEEDED" in messages:
        messages, blamed = [], {"description": "It is too long for Jira: shorten it."}
    text = " ".join([*map(str, messages or []), *blamed.values()])
    match status:
        case 401:
            return Refused(f"Jira does not accept our token: an operator has to renew it. It says: {text}")
        case 403:
            return Refused(f"Jira does not let our account do that: who runs the project can permit it. It says: {text}")
        case 404:
            return Missing(f"Jira has no such thing, or does not show it to our account. It says: {text}")
    return Refused(f"Jira did not take it. It says: {text}", blamed)


def _envelope(sealed: SealedTicket, receipt: Receipt) -> dict[str, Any]:
    """What is posted: the request, the receipt below the description, and the marker."""
    fields = dict(sealed.payload["request"])
    end = written(receipt_blocks(receipt), _is_document(fields["description"]))
    if isinstance(end, str):
        fields["description"] = "\n\n".join(filter(None, [fields["description"], end]))
    else:
        fields["description"] = fields["description"] | {"content": [*fields["description"]["content"], *end["content"]]}
    if "labels" in fields:
        fields["labels"] = [*fields["labels"], receipt.marker]
    return {"fields": fields, "properties": [{"key": PROPERTY, "value": _property(receipt)}]}


def _property(receipt: Receipt) -> dict[str, str]:
    return {"marker": receipt.marker, "draft_hash": receipt.draft_hash}


def _without_receipt(description: Any, receipt: Receipt) -> tuple[Any, bool]:
    """The description as it would be without the receipt, and whether that stands at its end as it was written."""
    if _is_document(description):
        end = written(receipt_blocks(receipt), cloud=True)["content"]
        nodes, stands = _cut(description.get("content") or [], end, adf.plain, receipt.draft_hash)
        return {**description, "content": nodes}, stands
    parts, end = (wiki.normal(text).split("\n\n") for text in (description or "", wiki.markup(receipt_blocks(receipt))))
    kept, stands = _cut(parts, end, str, receipt.draft_hash)
    return "\n\n".join(kept), stands


def _cut(blocks: Sequence[T], end: Sequence[T], shown: Callable[[T], str], draft_hash: str) -> tuple[list[T], bool]:
    """A receipt that was moved is cut where it is, and one that was changed where its hash or its rule is."""
    texts, wanted = [shown(block) for block in blocks], [shown(block) for block in end]
    for at in reversed(range(len(blocks))):
        if texts[at : at + 2] == wanted:
            return [*blocks[:at], *blocks[at + 2 :]], at + 2 == len(blocks)
    for at in reversed(range(len(blocks))):
        if draft_hash in texts[at] or (at == len(blocks) - 1 and texts[at] == wanted[0]):
            start = at - (at > 0 and texts[at - 1] == wanted[0])
            return [*blocks[:start], *blocks[at + 1 :]], False
    return list(blocks), False


def _without_floats(value: Any) -> Any:
    """What can be sealed: Jira answers with 3.0 where 3 was sent."""
    match value:
        case float():
            return int(value) if value.is_integer() else str(value)
        case dict():
            return {name: _without_floats(one) for name, one in value.items()}
        case list():
            return [_without_floats(one) for one in value]
    return value


def _like(sealed: Any, now: Any) -> Any:
    """What Jira holds now, in the form that was sent: of an object only what was said of it."""
    if isinstance(sealed, dict) and isinstance(now, dict) and not _is_document(now):
        return {name: now.get(name) for name in sealed}
    if isinstance(now, list):
        return [_like(sealed[0] if isinstance(sealed, list) and sealed else None, one) for one in now]
    return now


def _words(name: str, value: Any) -> str:
    if _is_document(value):
        return adf.plain(value)
    match value:
        case dict():  # a name of a person or an option may be spelled another way than Jira's
            return " ".join(str(part).casefold() if part_name == "name" else str(part) for part_name, part in value.items())
        case list():
            return "\n".join(sorted(_words(name, one) for one in value))
    return wiki.normal("" if value is None else str(value))


def _blamed(errors: Mapping[str, str], fields: Sequence[ProjectField], sealed: SealedTicket) -> dict[str, str]:
    """Jira's fields as the draft names them."""
    custom = sealed.payload["fields"].get("custom", {})
    blamed = {}
    for number, text in errors.items():
        one = next((one for one in fields if one.id == number), None)
        if number in _DRAFTS or (one and one.kind == "epic"):
            blamed[_DRAFTS.get(number, "epic_id")] = text
        elif one:
            spelled = (name for name in custom if name == one.id or name.casefold() == one.name.casefold())
            blamed[CUSTOM + next(spelled, one.name)] = text
    return blamed


def _is_document(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "doc"


def _root(sealed: SealedTicket) -> str:
    return "rest/api/3" if _is_document(sealed.payload["body"]) else "rest/api/2"


def _object(said: Any) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise Later("Jira does not answer as it should: there is no object in its answer.")
    return said


def _quoted(text: str) -> str:
    """A text in a query."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
