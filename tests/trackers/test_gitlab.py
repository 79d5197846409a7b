"""GitLab against a server that behaves as GitLab does, and through a proxy that breaks what goes there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from agent.draft import TicketDraft
from agent.projects import Project, ProjectField, TicketType
from agent.sealing import Destination, SealedTicket, seal
from agent.trackers import Later, Missing, Refused, Unsure
from skills.trackers.gitlab import BODY_LIMIT, RENDERER, ROOM, GitLabTracker, connect, explain
from skills.trackers.markdown import BREAK, mark
from tests.trackers.support import accepted, receipt
from tests.trackers_sim.gitlab import GitLab, running_gitlab
from tests.trackers_sim.proxy import fault_proxy

PATH = "acme/team/app"
LABELS = [ProjectField(id="labels", name="labels", kind="labels")]
PROJECT = Project(key=PATH, types=[TicketType(id="issue", name="Issue", fields=LABELS)])
BARE = Project(key=PATH)
DRAFT = TicketDraft(
    title="Log in fails for @bob",
    problem="Since #12, @ann sees `500`.\n/close\nSee https://example.com/a_b",
    issue_type="bug",
    priority="high",
    labels=["bug", "Login page"],
    assignee="ann",
    custom={"Team": "Web"},
)


@pytest.fixture
async def gitlab() -> AsyncIterator[GitLab]:
    async with running_gitlab() as sim:
        sim.add_project(PATH)
        yield sim


@pytest.fixture
def tracker(gitlab: GitLab) -> GitLabTracker:
    return connected(gitlab.url)


def connected(url: str, token: str = "glpat-test") -> GitLabTracker:
    tracker = connect({"GITLAB_TOKEN": token, "GITLAB_URL": url})
    assert tracker
    return tracker


def sealed(draft: TicketDraft = DRAFT, project: Project = PROJECT) -> SealedTicket:
    return seal(Destination(tracker="gitlab", project=PATH), RENDERER.render(draft, project))


def test_all_of_the_draft_is_in_the_request() -> None:
    rendered = RENDERER.render(DRAFT, PROJECT)
    assert (rendered["type"], rendered["title"]) == ("bug", "Log in fails for @bob")
    assert rendered["request"] == {
        "title": f"Log in fails for @{BREAK}bob",
        "description": "## Problem\n\n"
        f"Since #{BREAK}12, @{BREAK}ann sees `500`.\\\n\\/close\\\nSee <https://example.com/a_b>\n\n"
        "## Details\n\n- Type: Bug\n- Priority: high\n- Assignee: ann\n- Team: Web",
        "labels": "bug,Login page",
    }
    assert "- Labels: bug, Login page" in RENDERER.render(DRAFT, BARE)["request"]["description"]


def test_questions_say_what_does_not_go_in() -> None:
    assert RENDERER.questions(DRAFT, PROJECT) == []
    draft = DRAFT.model_copy(update={"title": "@a" + "x" * 253, "labels": ["a,b"], "risks": ["*" * 20_000] * 30})
    asked = {one.field: one.text for one in RENDERER.questions(draft, PROJECT)}
    assert "comma" in asked["labels"]
    assert "256 characters" in asked["title"]
    assert f"GitLab takes {BODY_LIMIT - ROOM:,}" in asked["problem"]


async def test_a_ticket_is_filed_found_and_read(gitlab: GitLab, tracker: GitLabTracker) -> None:
    ticket = sealed(project=await tracker.describe(PATH))
    made = await tracker.create(ticket, receipt(ticket))
    assert (made.key, made.url) == (f"{PATH}#1", f"{gitlab.url}/{PATH}/-/issues/1")
    issue = gitlab.issues[0]
    assert (issue.title, issue.labels) == (f"Log in fails for @{BREAK}bob", ["bug", "Login page"])
    assert issue.description
    assert issue.description.endswith(f"`.\n\n{mark('signoff-1234')}")
    assert gitlab.count("POST") == 1
    for copy in (await tracker.find(ticket, receipt(ticket)), await tracker.read("#1", ticket, receipt(ticket))):
        assert copy
        assert (copy.ticket.key, copy.ours, copy.changed, copy.receipt) == (made.key, True, [], True)
        assert copy.draft_hash == ticket.draft_hash
    assert all("search" not in each.query for each in gitlab.requests)


CHANGES: list[tuple[str, Any, list[str], bool]] = [
    ("title", "Other", ["title"], True),
    ("labels", ["bug"], ["labels"], True),
    ("labels", ["Login page", "bug"], [], True),
    ("description", ("sees", "saw"), ["description"], True),
    ("description", ("Approved by", "Refused by"), [], False),
    ("description", ("\n", "\r\n"), [], True),
    ("state", "closed", [], True),
]


@pytest.mark.parametrize(("part", "value", "changed", "stands"), CHANGES)
async def test_what_was_changed_is_told(
    gitlab: GitLab, tracker: GitLabTracker, part: str, value: Any, changed: list[str], stands: bool
) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    issue = gitlab.issues[0]
    setattr(issue, part, (issue.description or "").replace(*value) if part == "description" else value)
    copy = await tracker.read(f"{PATH}#1", ticket, receipt(ticket))
    assert (copy.ours, [one.field for one in copy.changed], copy.receipt) == (True, changed, stands)
    assert (copy.draft_hash == ticket.draft_hash) == (not changed)
    assert bool(await accepted(tracker, ticket, receipt(ticket))) == (not changed)


async def test_only_what_is_ours_is_found(gitlab: GitLab, tracker: GitLabTracker) -> None:
    gitlab.add_user(2, "mallory")
    gitlab.add_token("glpat-mallory", 2)
    ticket = sealed()
    await connected(gitlab.url, "glpat-mallory").create(ticket, receipt(ticket))
    assert await accepted(tracker, ticket, receipt(ticket)) is None
    assert not (await tracker.read("1", ticket, receipt(ticket))).ours
    await tracker.create(ticket, receipt(ticket))
    copy = await accepted(tracker, ticket, receipt(ticket))
    assert copy
    assert copy.ticket.key == f"{PATH}#2"
    assert await accepted(tracker, ticket, receipt(ticket, "signoff-12")) is None
    await tracker.create(ticket, receipt(ticket))
    assert await accepted(tracker, ticket, receipt(ticket)) is None


async def test_the_list_is_read_in_pages_and_no_further_than_the_approval(gitlab: GitLab, tracker: GitLabTracker) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    for number in range(120):
        await tracker.create(ticket, receipt(ticket, f"other-{number}"))
    assert await accepted(tracker, ticket, receipt(ticket))
    assert gitlab.count("GET", "/issues$") == 2
    late = receipt(ticket).model_copy(update={"approved_at": datetime.now(UTC) + timedelta(days=2)})
    assert await accepted(tracker, ticket, late) is None


@pytest.mark.parametrize(
    "key", ["1", "#1", f"{PATH}#1", "{url}/acme/team/app/-/issues/1", "{url}/acme/team/app/-/work_items/1#x"]
)
async def test_a_key_may_be_written_in_many_ways(gitlab: GitLab, tracker: GitLabTracker, key: str) -> None:
    ticket = sealed()
    made = await tracker.create(ticket, receipt(ticket))
    assert (await tracker.read(key.format(url=gitlab.url), ticket, receipt(ticket))).ticket.key == made.key


@pytest.mark.parametrize(
    "key", ["x", "acme/web#1", "https://evil.example/acme/team/app/-/issues/1", "{url}/acme/web/-/issues/1"]
)
async def test_what_cannot_be_a_key_is_refused(gitlab: GitLab, tracker: GitLabTracker, key: str) -> None:
    ticket = sealed()
    with pytest.raises(Refused) as refused:
        await tracker.read(key.format(url=gitlab.url), ticket, receipt(ticket))
    assert not isinstance(refused.value, Missing)
    assert gitlab.requests == []


async def test_what_is_not_there_is_missing(tracker: GitLabTracker) -> None:
    ticket = sealed()
    with pytest.raises(Missing):
        await tracker.read("7", ticket, receipt(ticket))


async def test_a_project_says_what_it_takes(gitlab: GitLab, tracker: GitLabTracker) -> None:
    for project, said in (("acme", "one is like"), ("acme/none", "no project")):
        with pytest.raises(Refused, match=said):
            await tracker.describe(project)
    gitlab.answer(200, {"archived": True})
    with pytest.raises(Refused, match="takes no issues"):
        await tracker.describe(PATH)
    for levels, labels in (([None, 10], False), ([None, None], False), ([10, 20], True)):
        access = {
            f"{level}_access": one and {"access_level": one} for level, one in zip(("project", "group"), levels, strict=True)
        }
        gitlab.answer(200, {"permissions": access})
        assert bool((await tracker.describe(PATH)).types[0].fields) == labels


@pytest.mark.parametrize("fault", ["drop_reply", "500_after", "502_after", "garbage", "wrong_json", "empty_200", "html_403"])
async def test_nobody_knows_what_became_of_a_post_without_a_good_answer(gitlab: GitLab, fault: Any) -> None:
    ticket = sealed()
    async with fault_proxy(gitlab.url) as proxy:
        tracker = connected(proxy.url)
        proxy.plan(fault)
        with pytest.raises(Unsure):
            await tracker.create(ticket, receipt(ticket))
        assert proxy.count("POST") == 1
        assert bool(await accepted(tracker, ticket, receipt(ticket))) == (fault != "html_403")


async def test_a_pause_is_kept(gitlab: GitLab, tracker: GitLabTracker) -> None:
    ticket = sealed()
    gitlab.limit(7)
    with pytest.raises(Later) as later:
        await tracker.create(ticket, receipt(ticket))
    assert later.value.seconds == 7
    assert gitlab.issues == []


async def test_refusals_say_what_a_person_can_do(gitlab: GitLab, tracker: GitLabTracker) -> None:
    ticket = sealed()
    gitlab.add_token("glpat-read", 1, scopes=("read_api",))
    for token, text in (("glpat-read", "scope"), ("glpat-wrong", "renew")):
        with pytest.raises(Refused, match=text) as refused:
            await connected(gitlab.url, token).create(ticket, receipt(ticket))
        assert token not in str(refused.value)
    gitlab.answer(400, {"message": {"title": ["is too long (maximum is 255 characters)"], "base": ["odd"]}})
    with pytest.raises(Refused) as blamed:
        await tracker.create(ticket, receipt(ticket))
    assert blamed.value.fields == {"title": "The title is too long (maximum is 255 characters)."}


def test_only_gitlab_s_own_errors_are_believed() -> None:
    def said(status: int, body: Any) -> Any:
        return explain(httpx.Response(status, json=body), body)

    assert said(403, {"message": "Forbidden"}) is None
    assert said(400, "Bad Request") is None
    assert said(500, {"message": "500 Internal Server Error"}) is None
    assert isinstance(said(403, {"message": "403 Forbidden"}), Refused)
    assert isinstance(said(404, {"message": "404 Project Not Found"}), Missing)


async def test_a_comment_is_made_once_and_is_no_command(gitlab: GitLab, tracker: GitLabTracker) -> None:
    ticket = sealed()
    made = await tracker.create(ticket, receipt(ticket))
    await tracker.comment("C1:2", made.key, "Ann", "/close\n@bob")
    for number in range(100):
        await tracker.comment(f"other {number}", made.key, "Bob", "x")
    await tracker.comment("C1:2", made.key, "Ann", "/close\n@bob")
    mine = [one["body"] for one in gitlab.issues[0].notes if "Ann via Signoff" in one["body"]]
    assert len(mine) == 1
    assert mine[0].startswith(f"\\/close\\\n@{BREAK}bob\n\n")
    await tracker.link(made, receipt(ticket))


async def test_similar_issues_are_found(tracker: GitLabTracker) -> None:
    ticket = sealed(DRAFT.model_copy(update={"title": "The login page fails"}))
    await tracker.create(ticket, receipt(ticket))
    assert [one.title for one in await tracker.search(PATH, "login fails?")] == ["The login page fails"]
    assert await tracker.search(PATH, "?!") == []
    assert len(await tracker.search(PATH, "A customer says that the login page fails")) == 1
    assert await tracker.search(PATH, "nothing whatever alike") == []


async def test_a_search_is_of_one_project(gitlab: GitLab, tracker: GitLabTracker) -> None:
    gitlab.add_project("acme/secret")
    ticket = seal(Destination(tracker="gitlab", project="acme/secret"), tracker.render(DRAFT, Project(key="acme/secret")))
    await tracker.create(ticket, receipt(ticket))
    for project in (f"{PATH}/issues?x=", "acme/web/../secret", f"{PATH}?scope=all&id=acme/secret#"):
        with pytest.raises(Missing):
            await tracker.search(project, "login page")
    assert await tracker.search(PATH, "login page&id=acme%2Fsecret") == []


def test_connecting() -> None:
    assert connect({}) is None
    for environ in ({"GITLAB_TOKEN": "a b"}, {"GITLAB_TOKEN": "a", "GITLAB_URL": "gitlab.example"}):
        with pytest.raises(ValueError, match="GITLAB_"):
            connect(environ)
