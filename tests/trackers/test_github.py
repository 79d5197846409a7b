"""GitHub against a server that behaves as GitHub does, and through a proxy that breaks what goes there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.draft import TicketDraft
from agent.projects import Project, ProjectField, TicketType
from agent.sealing import Destination, SealedTicket, seal
from agent.trackers import TWINS, Later, Missing, Refused, Unsure
from skills.trackers.github import BODY_LIMIT, RENDERER, ROOM, GitHubTracker, connect, explain
from skills.trackers.markdown import BREAK, mark
from tests.trackers.support import accepted, receipt
from tests.trackers_sim.github import GitHub, running_github
from tests.trackers_sim.proxy import fault_proxy

REPO = "acme/app"
FIELDS = [ProjectField(id="labels", name="labels", kind="labels"), ProjectField(id="assignees", name="assignees", kind="user")]
PROJECT = Project(key=REPO, types=[TicketType(id="bug", name="Bug", fields=FIELDS)])
BARE = Project(key=REPO)
DRAFT = TicketDraft(
    title="Log in fails",
    problem="Since #12, @ann sees `500`.\nSee https://example.com/a_b",
    issue_type="bug",
    priority="high",
    labels=["bug", "Login page"],
    assignee="@ann",
    epic_id="E-1",
    custom={"Team": "Web"},
)


@pytest.fixture
async def github() -> AsyncIterator[GitHub]:
    async with running_github() as sim:
        sim.add_repository(REPO, assignees=["ann"])
        yield sim


@pytest.fixture
def tracker(github: GitHub) -> GitHubTracker:
    return connected(GITHUB_TOKEN=github.token, GITHUB_API_URL=github.url)


def connected(**environ: str) -> GitHubTracker:
    tracker = connect(environ)
    assert tracker
    return tracker


def sealed(draft: TicketDraft = DRAFT, project: Project = PROJECT) -> SealedTicket:
    return seal(Destination(tracker="github", project=REPO), RENDERER.render(draft, project))


def test_all_of_the_draft_is_in_the_request() -> None:
    rendered = RENDERER.render(DRAFT, PROJECT)
    assert rendered["type"] == "bug"
    assert rendered["request"] == {
        "title": "Log in fails",
        "body": "## Problem\n\n"
        f"Since #{BREAK}12, @{BREAK}ann sees `500`.\\\nSee <https://example.com/a_b>\n\n"
        "## Details\n\n- Type: Bug\n- Priority: high\n- Epic: E-1\n- Team: Web",
        "labels": ["bug", "Login page"],
        "assignees": ["ann"],
    }
    assert rendered["body"] == rendered["request"]["body"]
    assert rendered["fields"]["custom"] == {"Team": "Web"}
    assert "title" not in rendered["fields"]


def test_what_github_would_drop_is_in_the_body() -> None:
    request = RENDERER.render(DRAFT, BARE)["request"]
    assert list(request) == ["title", "body"]
    assert f"- Labels: bug, Login page\n- Assignee: @{BREAK}ann" in request["body"]


def test_a_label_is_sent_once() -> None:
    draft = DRAFT.model_copy(update={"labels": ["Bug", "UX", "bug"]})
    assert RENDERER.render(draft, PROJECT)["request"]["labels"] == ["bug", "UX"]


def test_a_name_that_is_no_login_is_in_the_body() -> None:
    request = RENDERER.render(DRAFT.model_copy(update={"assignee": "Ann Lee"}), PROJECT)["request"]
    assert "assignees" not in request
    assert "- Assignee: Ann Lee" in request["body"]


def test_questions_say_what_does_not_go_in() -> None:
    assert RENDERER.questions(DRAFT, PROJECT) == []
    long = DRAFT.model_copy(update={"problem": "*" * 20_000, "proposed_solution": "*" * 20_000, "labels": ["x" * 51]})
    asked = {one.field: one.text for one in RENDERER.questions(long, PROJECT)}
    assert "51 characters, and GitHub takes 50" in asked["labels"]
    assert f"GitHub takes {BODY_LIMIT - ROOM:,}" in asked["problem"]
    assert [one.field for one in RENDERER.questions(long, BARE)] == ["problem"]


async def test_a_ticket_is_filed_found_and_read(github: GitHub, tracker: GitHubTracker) -> None:
    described = await tracker.describe(REPO)
    assert [one.name for one in described.types] == ["Story", "Bug", "Task"]
    ticket = sealed(project=described)
    made = await tracker.create(ticket, receipt(ticket))
    assert (made.key, made.url) == (f"{REPO}#1", f"{github.url}/{REPO}/issues/1")
    issue = github.issues[0]
    assert (issue.title, issue.labels, issue.assignees) == ("Log in fails", ["bug", "Login page"], ["ann"])
    assert issue.body
    assert issue.body.endswith(f"{ticket.draft_hash}`.\n\n{mark('signoff-1234')}")
    assert issue.body.startswith(ticket.payload["body"])
    assert github.count("POST") == 1
    for copy in (await tracker.find(ticket, receipt(ticket)), await tracker.read("#1", ticket, receipt(ticket))):
        assert copy
        assert (copy.ticket.key, copy.ours, copy.changed, copy.receipt) == (made.key, True, [], True)
        assert copy.draft_hash == ticket.draft_hash
    assert github.count("GET", "/search") == 0
    assert [each.query["creator"] for each in github.requests if each.path.endswith("/issues") and each.method == "GET"] == [
        "signoff-bot"
    ]


async def test_an_issue_that_comes_back_with_other_line_ends_is_the_same(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    github.edit(REPO, 1, body=(github.issues[0].body or "").replace("\n", "\r\n"), labels=["login page", "Bug"])
    copy = await accepted(tracker, ticket, receipt(ticket))
    assert copy
    assert copy.draft_hash == ticket.draft_hash


CHANGES: list[tuple[dict[str, Any], list[str], bool]] = [
    ({"title": "Other"}, ["title"], True),
    ({"labels": ["bug"]}, ["labels"], True),
    ({"assignees": []}, ["assignees"], True),
    ({"body": ("sees", "saw")}, ["body"], True),
    ({"body": ("Approved by", "Refused by")}, [], False),
    ({"body": ("</", "</")}, [], True),
    ({"state": "closed"}, [], True),
]


@pytest.mark.parametrize(("change", "changed", "stands"), CHANGES)
async def test_what_was_changed_is_told(
    github: GitHub, tracker: GitHubTracker, change: dict[str, Any], changed: list[str], stands: bool
) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    body = github.issues[0].body or ""
    github.edit(REPO, 1, **{name: body.replace(*to) if name == "body" else to for name, to in change.items()})
    copy = await tracker.read(f"{REPO}#1", ticket, receipt(ticket))
    assert (copy.ours, [one.field for one in copy.changed], copy.receipt) == (True, changed, stands)
    assert (copy.draft_hash == ticket.draft_hash) == (not changed)
    assert bool(await accepted(tracker, ticket, receipt(ticket))) == (not changed)


async def test_only_what_is_ours_is_found(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    body = github.issues[0].body or ""
    assert await accepted(tracker, ticket, receipt(ticket, "signoff-12345")) is None
    github.add_issue(REPO, DRAFT.title, body, login="mallory")
    github.edit(REPO, 2, labels=["bug", "Login page"], assignees=["ann"])
    github.add_pull_request(REPO, DRAFT.title, body, login="signoff-bot")
    github.edit(REPO, 3, labels=["bug", "Login page"], assignees=["ann"])
    copy = await accepted(tracker, ticket, receipt(ticket))
    assert copy
    assert copy.ticket.key == f"{REPO}#1"
    other = await tracker.read("2", ticket, receipt(ticket))
    assert (other.ours, other.changed) == (False, [])
    github.add_issue(REPO, DRAFT.title, body, login="signoff-bot")
    github.edit(REPO, 4, labels=["bug", "Login page"], assignees=["ann"])
    assert await accepted(tracker, ticket, receipt(ticket)) is None


async def test_of_two_of_ours_neither_is_taken_though_one_reads_as_sealed(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    await tracker.create(ticket, receipt(ticket))
    github.edit(REPO, 1, title="Edited")
    copy = await tracker.find(ticket, receipt(ticket))
    assert copy
    assert [(change.field, change.added) for change in copy.changed] == [(TWINS, [f"{REPO}#2", f"{REPO}#1"])]


async def test_a_marker_that_people_wrote_is_none(github: GitHub, tracker: GitHubTracker) -> None:
    first, quoted = sealed(), DRAFT.model_copy(update={"problem": f"```\n{mark('signoff-1234')}\n```\n{mark('signoff-1234')}"})
    second = sealed(quoted)
    await tracker.create(second, receipt(second, "signoff-2"))
    copy = await tracker.read("1", first, receipt(first))
    assert not copy.ours
    assert (await tracker.read("1", second, receipt(second, "signoff-2"))).ours


async def test_the_list_is_read_in_pages_and_no_further_than_the_approval(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    await tracker.create(ticket, receipt(ticket))
    for number in range(230):
        github.add_issue(REPO, f"another {number}", login="signoff-bot")
    assert await accepted(tracker, ticket, receipt(ticket))
    assert github.count("GET", "/issues$") == 3
    late = receipt(ticket).model_copy(update={"approved_at": datetime.now(UTC) + timedelta(days=2)})
    github.requests.clear()
    assert await accepted(tracker, ticket, late) is None
    assert github.count("GET", "/issues$") == 1


KEYS = ["1", "#1", "acme/app#1", "ACME/app#1", "{url}/acme/app/issues/1", "{url}/acme/app/issues/1#issuecomment-2"]


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_may_be_written_in_many_ways(github: GitHub, tracker: GitHubTracker, key: str) -> None:
    ticket = sealed()
    made = await tracker.create(ticket, receipt(ticket))
    assert (await tracker.read(key.format(url=github.url), ticket, receipt(ticket))).ticket == made


NO_KEYS = [
    "x",
    "ENG-1",
    "acme/web#1",
    "https://evil.example/acme/app/issues/1",
    "{url}/acme/web/issues/1",
    "{url}/acme/app/pull/1",
]


@pytest.mark.parametrize("key", NO_KEYS)
async def test_what_cannot_be_a_key_is_refused(github: GitHub, tracker: GitHubTracker, key: str) -> None:
    ticket = sealed()
    with pytest.raises(Refused) as refused:
        await tracker.read(key.format(url=github.url), ticket, receipt(ticket))
    assert not isinstance(refused.value, Missing)
    assert github.requests == []


async def test_what_is_not_there_is_missing(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    with pytest.raises(Missing):
        await tracker.read("7", ticket, receipt(ticket))
    github.add_pull_request(REPO, "a pull request")
    with pytest.raises(Refused, match="pull request"):
        await tracker.read("1", ticket, receipt(ticket))


async def test_a_project_that_takes_no_issues_is_refused(github: GitHub, tracker: GitHubTracker) -> None:
    github.add_repository("acme/off", has_issues=False)
    github.add_repository("acme/old").archived = True
    for project, said in (
        ("acme", "one is like"),
        ("acme/none", "no repository"),
        ("acme/off", "off"),
        ("acme/old", "archived"),
    ):
        with pytest.raises(Refused, match=said):
            await tracker.describe(project)


async def test_without_the_right_to_push_nothing_is_dropped(github: GitHub) -> None:
    github.add_token("ghp_reader", "signoff-bot", push=False)
    tracker = connected(GITHUB_TOKEN="ghp_reader", GITHUB_API_URL=github.url)
    ticket = sealed(project=await tracker.describe(REPO))
    await tracker.create(ticket, receipt(ticket))
    assert "Labels: bug, Login page" in (github.issues[0].body or "")
    copy = await accepted(tracker, ticket, receipt(ticket))
    assert copy
    assert not copy.changed


async def test_an_app_files_finds_and_renews_its_token(github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = github.add_app(REPO)
    (tmp_path / "key.pem").write_text(app.key)
    environ = {
        "GITHUB_APP_ID": str(app.id),
        "GITHUB_INSTALLATION_ID": str(app.installation),
        "GITHUB_APP_KEY": str(tmp_path / "key.pem"),
        "GITHUB_API_URL": github.url,
    }
    tracker = connected(**environ)
    ticket = sealed(project=await tracker.describe(REPO))
    await tracker.create(ticket, receipt(ticket))
    assert await accepted(tracker, ticket, receipt(ticket))
    assert github.count("POST", "access_tokens") == 1
    other = connected(GITHUB_TOKEN=github.token, GITHUB_API_URL=github.url)
    assert not (await other.read("1", ticket, receipt(ticket))).ours
    by_another = github.add_issue(REPO, DRAFT.title, github.issues[0].body, login=f"{app.slug}[bot]")
    github.edit(REPO, by_another.number, labels=["bug", "Login page"], assignees=["ann"])
    copied = await tracker.read(str(by_another.number), ticket, receipt(ticket))
    assert (copied.ours, copied.changed) == (False, [])
    found = await accepted(tracker, ticket, receipt(ticket))
    assert found
    assert found.ticket.key == f"{REPO}#1"
    monkeypatch.setattr("skills.trackers.github.RENEWED", 0.0)
    again = connected(**environ)
    for _ in range(2):
        await again.describe(REPO)
    assert github.count("POST", "access_tokens") == 3


async def test_an_app_that_is_not_installed_is_refused(github: GitHub, tmp_path: Path) -> None:
    app = github.add_app(REPO)
    (tmp_path / "key.pem").write_text(app.key)
    key = str(tmp_path / "key.pem")
    url = github.url
    gone = connected(GITHUB_APP_ID=str(app.id), GITHUB_INSTALLATION_ID="1", GITHUB_APP_KEY=key, GITHUB_API_URL=url)
    with pytest.raises(Refused, match="installation 1"):
        await gone.create(sealed(), receipt(sealed()))
    assert github.count("POST", "/issues$") == 0


@pytest.mark.parametrize("fault", ["drop_reply", "500_after", "502_after", "garbage", "wrong_json", "empty_200", "html_403"])
async def test_nobody_knows_what_became_of_a_post_without_a_good_answer(github: GitHub, fault: Any) -> None:
    ticket = sealed()
    async with fault_proxy(github.url) as proxy:
        tracker = connected(GITHUB_TOKEN=github.token, GITHUB_API_URL=proxy.url)
        proxy.plan(fault)
        with pytest.raises(Unsure):
            await tracker.create(ticket, receipt(ticket))
        assert proxy.count("POST") == 1
        assert bool(await accepted(tracker, ticket, receipt(ticket))) == (fault != "html_403")


async def test_a_pause_is_kept(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    github.limit_secondary(7)
    github.limit_secondary(None)
    github.limit_primary(20)
    for seconds in (7, 60, 20):
        with pytest.raises(Later) as later:
            await tracker.create(ticket, receipt(ticket))
        assert later.value.seconds == pytest.approx(seconds, abs=2)
    assert github.issues == []


def said(status: int, body: Any, **headers: str) -> Any:
    return explain(
        httpx.Response(status, json=body, headers={name.replace("_", "-"): to for name, to in headers.items()}), body
    )


def test_only_github_s_own_errors_are_believed() -> None:
    error = {"message": "Validation Failed", "documentation_url": "https://docs.github.com/rest"}
    assert isinstance(said(422, error), Refused)
    assert said(403, {"message": "Forbidden"}) is None
    assert said(403, None) is None
    assert said(502, error) is None
    assert isinstance(said(410, {**error, "message": "This issue was deleted"}), Missing)
    assert not isinstance(said(410, {**error, "message": "Issues has been disabled in this repository."}), Missing)
    quick = {**error, "errors": [{"resource": "Issue", "code": "custom", "message": "was submitted too quickly"}]}
    assert said(422, quick).seconds == 60
    assert said(429, error, x_ratelimit_remaining="0", x_ratelimit_reset="1").seconds == 1


async def test_fields_are_blamed_by_the_draft_s_names(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed(DRAFT.model_copy(update={"assignee": "nobody"}))
    with pytest.raises(Refused) as refused:
        await tracker.create(ticket, receipt(ticket))
    assert list(refused.value.fields) == ["assignee"]
    assert "nobody" in refused.value.fields["assignee"]


async def test_refusals_say_what_a_person_can_do(github: GitHub) -> None:
    ticket = sealed()
    github.add_token("ghp_read", "signoff-bot", issues="read")
    for token, text in (("ghp_read", "permission to write issues"), ("ghp_wrong", "renew")):
        with pytest.raises(Refused, match=text) as refused:
            await connected(GITHUB_TOKEN=token, GITHUB_API_URL=github.url).create(ticket, receipt(ticket))
        assert token not in str(refused.value)
    github.repositories[REPO].has_issues = False
    with pytest.raises(Refused, match="switch them on"):
        await connected(GITHUB_TOKEN=github.token, GITHUB_API_URL=github.url).create(ticket, receipt(ticket))


async def test_a_comment_is_made_once_and_calls_nobody(github: GitHub, tracker: GitHubTracker) -> None:
    ticket = sealed()
    made = await tracker.create(ticket, receipt(ticket))
    for number in range(100):
        await tracker.comment(f"other {number}", made.key, "Bob", "x")
    for _ in range(2):
        await tracker.comment("C1:2", made.key, "Ann", "thanks @bob --> <b>")
    mine = [one["body"] for one in github.issues[0].comments if "Ann via Signoff" in one["body"]]
    assert len(mine) == 1
    assert mine[0].startswith(f"thanks @{BREAK}bob --\\> \\<b\\>")
    await tracker.link(made, receipt(ticket))


async def test_similar_issues_are_found(github: GitHub, tracker: GitHubTracker) -> None:
    github.add_issue(REPO, "The login page fails")
    github.add_issue(REPO, "Colours")
    assert [one.title for one in await tracker.search(REPO, "login: page!")] == ["The login page fails"]
    assert await tracker.search(REPO, "?!") == []
    [found] = await tracker.search(REPO, "A customer reports that the login page fails")
    assert (found.key, found.url) == (f"{REPO}#1", f"{github.url}/{REPO}/issues/1")


async def test_a_text_cannot_widen_a_search(github: GitHub, tracker: GitHubTracker) -> None:
    github.add_repository("acme/secret")
    github.add_issue("acme/secret", "The login page fails")
    github.add_issue(REPO, "The login page fails here")
    for text in ("login page repo:acme/secret", 'login" OR repo:acme/secret OR "page', "login page is:pr author:eve user:acme"):
        assert {one.key for one in await tracker.search(REPO, text)} <= {f"{REPO}#1"}
    asked = [each.query["q"] for each in github.requests if each.path == "/search/issues"]
    assert all(q.startswith(f"repo:{REPO} is:issue ") and ":" not in q.removeprefix(f"repo:{REPO} is:issue ") for q in asked)
    with pytest.raises(Refused, match="no repository"):
        await tracker.search(f"{REPO} repo:acme/secret", "login page")
    assert len([each for each in github.requests if each.path == "/search/issues"]) == len(asked)


def test_connecting(tmp_path: Path) -> None:
    assert connect({}) is None
    (tmp_path / "bad").write_text("no key")
    app = {"GITHUB_APP_ID": "1", "GITHUB_INSTALLATION_ID": "2", "GITHUB_APP_KEY": str(tmp_path / "bad")}
    wrong = [
        {"GITHUB_TOKEN": "a b"},
        {"GITHUB_TOKEN": "a", "GITHUB_APP_ID": "1"},
        {"GITHUB_TOKEN": "a", "GITHUB_API_URL": "ghe.example"},
        {"GITHUB_APP_ID": "1"},
        app,
        {**app, "GITHUB_APP_KEY": str(tmp_path / "none")},
    ]
    for environ in wrong:
        with pytest.raises(ValueError, match="GITHUB_") as error:
            connect(environ)
        assert "no key" not in str(error.value)


@pytest.mark.parametrize(
    ("api", "site"),
    [
        ("", "https://github.com"),
        ("https://git.example/api/v3", "https://git.example"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
    ],
)
def test_where_people_look(api: str, site: str) -> None:
    assert connected(GITHUB_TOKEN="t", GITHUB_API_URL=api)._ticket(REPO, 3, "").url == f"{site}/{REPO}/issues/3"
