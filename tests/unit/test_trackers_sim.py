"""Our trackers and the proxy in front of them, asked over real HTTP."""

import asyncio
import base64
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import jwt
import pytest

from tests.trackers_sim import (
    FaultProxy,
    GitHub,
    GitLab,
    Jira,
    Linear,
    fault_proxy,
    running_github,
    running_gitlab,
    running_jira,
    running_linear,
)
from tests.trackers_sim.adf import problems
from tests.trackers_sim.jira_cloud import NO_DOCUMENT, REMOVED, TEXTAREA, Field
from tests.trackers_sim.linear import Team
from tests.trackers_sim.proxy import BEFORE

Json = dict[str, Any]


def doc(*content: Json) -> Json:
    return {"type": "doc", "version": 1, "content": list(content)}


def paragraph(*content: Json) -> Json:
    return {"type": "paragraph", "content": list(content)}


def text(words: str, *marks: str) -> Json:
    return {"type": "text", "text": words} | ({"marks": [{"type": each} for each in marks]} if marks else {})


# GitHub


@pytest.fixture
async def github() -> AsyncIterator[GitHub]:
    async with running_github() as running:
        running.add_repository("acme/api", labels=["bug", "ops"], assignees=["ann"])
        yield running


def github_client(github: GitHub, token: str | None = None, url: str = "") -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {token or github.token}", "Accept": "application/vnd.github+json"}
    return httpx2.AsyncClient(base_url=url or github.url, headers=headers, timeout=5)


@pytest.fixture
async def hub(github: GitHub) -> AsyncIterator[httpx2.AsyncClient]:
    async with github_client(github) as client:
        yield client


ISSUES = "/repos/acme/api/issues"


async def test_github_makes_an_issue(github: GitHub, hub: httpx2.AsyncClient) -> None:
    given = {"title": "It broke", "body": "a\r\n* b", "labels": ["bug", {"name": "new"}], "assignees": ["Ann"]}
    answer = await hub.post(ISSUES, json=given)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == made["url"] == f"{github.url}/repos/acme/api/issues/1"
    assert made["html_url"].endswith("/acme/api/issues/1")
    assert (made["number"], made["state"], made["title"], made["body"]) == (1, "open", "It broke", "a\r\n* b")
    assert [each["name"] for each in made["labels"]] == ["bug", "new"]
    assert [each["login"] for each in made["assignees"]] == ["Ann"]
    assert made["user"]["login"] == "signoff-bot"
    assert made["performed_via_github_app"] is None
    assert "pull_request" not in made
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert github.created.is_set()
    assert len(github.issues) == github.count("POST", "/issues$", 201) == 1
    assert (await hub.get(made["url"])).json() == made
    assert github.requests[0].body == given


async def test_github_drops_what_needs_push_access(github: GitHub) -> None:
    github.add_token("ghp_reader", "eve", push=False)
    async with github_client(github, "ghp_reader") as client:
        made = (await client.post(ISSUES, json={"title": "x", "labels": ["bug"], "assignees": ["nobody"]})).json()
    assert made["labels"] == made["assignees"] == []


@pytest.mark.parametrize(
    ("given", "status", "said", "errors"),
    [
        ({"body": "x"}, 422, 'Invalid request.\n\n"title" wasn\'t supplied.', None),
        ({"title": " "}, 422, "Validation Failed", [("missing_field", "title", None)]),
        (
            {"title": "x" * 257},
            422,
            "Validation Failed",
            [("custom", "title", "title is too long (maximum is 256 characters)")],
        ),
        (
            {"title": "x", "body": "x" * 65537},
            422,
            "Validation Failed",
            [("custom", "body", "body is too long (maximum is 65536 characters)")],
        ),
        ({"title": "x", "assignees": ["eve"]}, 422, "Validation Failed", [("invalid", "assignees", None)]),
        ({"title": "x", "labels": None}, 422, "Invalid request.\n\nFor 'properties/labels', nil is not an array.", None),
        ([], 400, "Body should be a JSON object", None),
    ],
)
async def test_github_refuses(
    github: GitHub, hub: httpx2.AsyncClient, given: Any, status: int, said: str, errors: list[tuple[str, str, str]] | None
) -> None:
    answer = await hub.post(ISSUES, json=given)
    told = answer.json()
    assert (answer.status_code, told["message"], told["status"]) == (status, said, str(status))
    assert errors == (told.get("errors") and [(each["code"], each["field"], each.get("message")) for each in told["errors"]])
    assert not github.issues


async def test_github_refuses_by_who_asks(github: GitHub, hub: httpx2.AsyncClient) -> None:
    github.add_repository("acme/off", has_issues=False)
    github.add_token("ghp_none", "eve", issues="none")
    github.add_token("ghp_read", "eve", issues="read")
    assert (await hub.post("/repos/acme/off/issues", json={"title": "x"})).status_code == 410
    assert (await hub.get("/repos/acme/off/issues")).json() == []
    assert (await hub.post("/repos/acme/nope/issues", json={"title": "x"})).status_code == 404
    assert (await hub.post(ISSUES, content=b"{")).json()["message"] == "Problems parsing JSON"
    async with github_client(github, "wrong") as client:
        answer = await client.post(ISSUES, json={"title": "x"})
        assert (answer.status_code, answer.json()["message"]) == (401, "Bad credentials")
    async with github_client(github, "ghp_none") as client:
        assert (await client.post(ISSUES, json={"title": "x"})).status_code == 404
    async with github_client(github, "ghp_read") as client:
        answer = await client.post(ISSUES, json={"title": "x"})
        assert (answer.status_code, answer.headers["x-accepted-github-permissions"]) == (403, "issues=write")
    assert not github.issues


async def test_github_lists_with_pull_requests_and_pages(github: GitHub, hub: httpx2.AsyncClient) -> None:
    for at in range(3):
        await hub.post(ISSUES, json={"title": f"mine {at}"})
    github.add_issue("acme/api", "theirs")
    github.add_pull_request("acme/api", "a change")
    github.edit("acme/api", 1, state="closed")
    page = await hub.get(ISSUES, params={"per_page": 2})
    assert [each["title"] for each in page.json()] == ["a change", "theirs"]
    assert "pull_request" in page.json()[0]
    assert 'rel="next"' in page.headers["link"]
    following = re.search(r'<([^>]+)>; rel="next"', page.headers["link"])
    assert following
    page = await hub.get(following[1])
    assert [each["title"] for each in page.json()] == ["mine 2", "mine 1"]
    assert 'rel="prev"' in page.headers["link"]
    assert 'rel="next"' not in page.headers["link"]
    everything = {"state": "all", "creator": "signoff-bot", "sort": "created", "direction": "asc"}
    assert [each["number"] for each in (await hub.get(ISSUES, params=everything)).json()] == [1, 2, 3]
    assert (await hub.get(ISSUES, params={"since": "2099-01-01T00:00:00Z"})).json() == []
    assert (await hub.get(ISSUES, params={"state": "odd"})).status_code == 422


async def test_github_lists_late(github: GitHub, hub: httpx2.AsyncClient) -> None:
    github.list_lag = github.search_lag = 0.2
    await hub.post(ISSUES, json={"title": "late"})
    assert (await hub.get(ISSUES)).json() == []
    assert (await hub.get("/search/issues", params={"q": "late repo:acme/api"})).json()["total_count"] == 0
    assert (await hub.get(ISSUES + "/1")).status_code == 200
    await asyncio.sleep(0.2)
    assert len((await hub.get(ISSUES)).json()) == 1


async def test_github_searches(github: GitHub, hub: httpx2.AsyncClient) -> None:
    await hub.post(ISSUES, json={"title": "Needle here", "body": "marker-77 in body", "labels": ["ops"]})
    github.add_pull_request("acme/api", "Needle too")
    for query, numbers in {
        "needle repo:acme/api": [2, 1],
        "needle repo:acme/api is:issue": [1],
        '"marker-77" in:body repo:acme/api': [1],
        '"marker-77" in:title repo:acme/api': [],
        "repo:acme/api label:ops author:signoff-bot is:open": [1],
    }.items():
        answer = (await hub.get("/search/issues", params={"q": query})).json()
        assert [each["number"] for each in answer["items"]] == numbers, query
        assert answer["incomplete_results"] is False
    assert (await hub.get("/search/issues", params={"q": ""})).status_code == 422
    assert (await hub.get("/search/issues", params={"q": "x repo:acme/nope"})).status_code == 422


async def test_github_has_comments_labels_people_and_a_repository(github: GitHub, hub: httpx2.AsyncClient) -> None:
    await hub.post(ISSUES, json={"title": "x"})
    made = await hub.post(ISSUES + "/1/comments", json={"body": "hello"})
    assert (made.status_code, made.json()["body"]) == (201, "hello")
    assert made.json()["html_url"].endswith(f"#issuecomment-{made.json()['id']}")
    assert (await hub.get(ISSUES + "/1/comments")).json() == [made.json()]
    assert github.commented.is_set()
    assert (await hub.post(ISSUES + "/1/comments", json={})).status_code == 422
    assert (await hub.get(ISSUES + "/9/comments")).status_code == 404
    assert [each["name"] for each in (await hub.get("/repos/acme/api/labels")).json()] == ["bug", "ops"]
    assert (await hub.get("/repos/acme/api/assignees/ann")).status_code == 204
    assert (await hub.get("/repos/acme/api/assignees/eve")).status_code == 404
    repository = (await hub.get("/repos/acme/api")).json()
    assert (repository["has_issues"], repository["permissions"]["push"]) == (True, True)
    assert (await hub.get("/user")).json()["login"] == "signoff-bot"
    assert (await hub.get("/api/v3/user")).json()["login"] == "signoff-bot"
    assert (await hub.get("/nowhere")).json()["message"] == "Not Found"


async def test_github_apps_sign_in_with_a_jwt(github: GitHub) -> None:
    app = github.add_app("acme/api")
    now = int(time.time())
    good = {"iss": app.client_id, "iat": now - 60, "exp": now + 500}

    def signed(**more: Any) -> str:
        return jwt.encode(good | more, app.key, algorithm="RS256")

    where = f"/app/installations/{app.installation}/access_tokens"
    async with github_client(github, signed()) as client:
        assert (await client.get("/app")).json()["slug"] == "signoff"
        assert (await client.post("/app/installations/1/access_tokens")).status_code == 404
        answer = await client.post(where, json={"repositories": ["api"]})
        assert answer.status_code == 201
        assert answer.json()["permissions"]["issues"] == "write"
        assert (await client.post(where, json={"repositories": ["nope"]})).status_code == 422
    for bad, said in {
        signed(exp=now + 3600): "'Expiration time' claim ('exp') is too far in the future",
        signed(iat=now + 300): "'Issued at' claim ('iat')",
        signed(exp=now - 5): "'Expiration time' claim ('exp') must be",
        "no.jwt.atall": "A JSON web token could not be decoded",
        jwt.encode(good, "a secret of at least thirty-two bytes", algorithm="HS256"): "A JSON web token could not be decoded",
    }.items():
        async with github_client(github, bad) as client:
            refused = await client.post(where)
            assert refused.status_code == 401
            assert refused.json()["message"].startswith(said)
    token = answer.json()["token"]
    async with github_client(github, token) as client:
        made = (await client.post(ISSUES, json={"title": "x", "labels": ["bug"]})).json()
        assert made["user"]["login"] == "signoff[bot]"
        assert made["performed_via_github_app"]["slug"] == "signoff"
        assert (await client.get("/user")).status_code == 403
        github.tokens[token].expires = time.time() - 1
        assert (await client.get(ISSUES)).status_code == 401


async def test_github_limits(github: GitHub, hub: httpx2.AsyncClient) -> None:
    github.limit_primary(30, method="POST")
    answer = await hub.post(ISSUES, json={"title": "x"})
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (403, "0")
    assert 25 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 30
    for status in (403, 429):
        github.limit_secondary(7, status=status)
        answer = await hub.post(ISSUES, json={"title": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
        assert "secondary rate limit" in answer.json()["message"]
        assert answer.headers["x-ratelimit-remaining"] != "0"
    github.limit_secondary(None)
    github.heal()
    assert (await hub.post(ISSUES, json={"title": "x"})).status_code == 201
    assert len(github.issues) == 1


async def test_a_reply_can_be_held_after_the_issue_is_made(github: GitHub, hub: httpx2.AsyncClient) -> None:
    github.hold()
    asking = asyncio.create_task(hub.post(ISSUES, json={"title": "x"}))
    await asyncio.wait_for(github.created.wait(), 5)
    await asyncio.sleep(0.05)
    assert not asking.done()
    assert len(github.issues) == 1
    github.release()
    assert (await asking).status_code == 201


# Linear

CREATE = "mutation Make($input: IssueCreateInput!) { issueCreate(input: $input) { success issue { id identifier url } } }"


@pytest.fixture
async def linear() -> AsyncIterator[Linear]:
    async with running_linear() as running:
        yield running


@pytest.fixture
def team(linear: Linear) -> Team:
    return linear.add_team("ENG", "Engineering", labels=["Bug", "Ops"], projects=["Launch"])


async def ask(linear: Linear, query: str, status: int = 200, authorization: str = "", url: str = "", **variables: Any) -> Json:
    async with httpx2.AsyncClient(headers={"Authorization": authorization or linear.key}, timeout=5) as client:
        answer = await client.post((url or linear.url) + "/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == status, answer.text
    assert "x-ratelimit-requests-remaining" in answer.headers or url
    return dict(answer.json())


async def test_linear_knows_its_teams(linear: Linear, team: Team) -> None:
    linear.add_team("OPS")
    linear.add_label("Everywhere")
    query = """query Team($key: String!) {
      viewer { id name organization { urlKey } }
      teams(filter: { key: { eq: $key } }, first: 1) { # by key
        nodes { id key name states { nodes { id name type } } labels { nodes { ...L } } projects { nodes { name } } }
      }
      issueLabels { nodes { name team { key } } }
    }
    fragment L on IssueLabel { id name }"""
    data = (await ask(linear, query, authorization=f"Bearer {linear.oauth_token}", key="ENG"))["data"]
    assert data["viewer"]["name"] == "signoff-bot"
    assert [each["name"] for each in data["teams"]["nodes"]] == ["Engineering"]
    found = data["teams"]["nodes"][0]
    assert {each["type"] for each in found["states"]["nodes"]} >= {"backlog", "unstarted", "started", "completed"}
    assert [each["name"] for each in found["labels"]["nodes"]] == ["Bug", "Ops"]
    assert found["projects"]["nodes"] == [{"name": "Launch"}]
    assert {"name": "Everywhere", "team": None} in data["issueLabels"]["nodes"]
    assert (await ask(linear, '{ team(id: "ENG") { id } }'))["data"] == {"team": {"id": team.id}}


async def test_linear_makes_an_issue_once(linear: Linear, team: Team) -> None:
    number = str(uuid.uuid4())
    parent = linear.add_issue(team, "the parent")
    given = {
        "id": number,
        "teamId": team.id,
        "title": "It broke",
        "description": "a **b**",
        "priority": 2,
        "labelIds": [team.labels[0]["id"]],
        "parentId": parent.identifier,
        "projectId": team.projects[0]["id"],
        "stateId": team.states[1]["id"],
        "assigneeId": linear.viewer["id"],
    }
    made = (await ask(linear, CREATE, input=given))["data"]["issueCreate"]
    assert made["success"] is True
    assert (made["issue"]["id"], made["issue"]["identifier"]) == (number, "ENG-2")
    assert linear.created.is_set()
    again = await ask(linear, CREATE, input=given)
    extensions = again["errors"][0]["extensions"]
    assert again["data"] is None
    assert again["errors"][0]["message"] == "conflict on insert of Issue"
    assert (extensions["code"], extensions["type"], extensions["statusCode"]) == ("INPUT_ERROR", "invalid input", 400)
    assert extensions["userPresentableMessage"] == f"Entity Issue with id {number} already exists."
    assert len(linear.issues) == 2
    assert len(linear.operations("issueCreate")) == 2
    query = """query One($id: String!) { issue(id: $id) {
      id identifier number title description url priority priorityLabel createdAt labels { nodes { name } }
      parent { identifier } team { key } assignee { name } creator { name } state { name } project { name } } }"""
    for each in (number, "ENG-2"):
        issue = (await ask(linear, query, id=each))["data"]["issue"]
        assert issue["title"] == "It broke"
        assert issue["description"] == "a **b**"
        assert (issue["priority"], issue["priorityLabel"], issue["state"]["name"]) == (2, "High", "Todo")
        assert issue["labels"] == {"nodes": [{"name": "Bug"}]}
        assert issue["parent"] == {"identifier": "ENG-1"}
        assert (issue["team"]["key"], issue["project"]["name"]) == ("ENG", "Launch")
        assert issue["assignee"] == issue["creator"] == {"name": "signoff-bot"}
        assert issue["createdAt"].endswith("Z")


@pytest.mark.parametrize(
    ("more", "status", "code", "said"),
    [
        ({"teamId": "nope"}, 200, "INPUT_ERROR", "Entity not found: Team"),
        ({"labelIds": ["nope"]}, 200, "INPUT_ERROR", "Entity not found: IssueLabel: labelIds contained an entry"),
        ({"parentId": "ENG-99"}, 200, "INPUT_ERROR", "Entity not found: Issue"),
        ({"priority": 5}, 200, "INVALID_INPUT", "Argument Validation Error"),
        ({"title": " "}, 200, "INVALID_INPUT", "Argument Validation Error"),
        ({"id": "not-a-uuid"}, 200, "INVALID_INPUT", "Argument Validation Error"),
        ({"nonsense": 1}, 400, "BAD_USER_INPUT", 'Variable "$input" got invalid value; Field "nonsense"'),
        ({"teamId": None}, 400, "BAD_USER_INPUT", 'Variable "$input" got invalid value; Field "teamId"'),
    ],
)
async def test_linear_refuses_issues(linear: Linear, team: Team, more: Json, status: int, code: str, said: str) -> None:
    answer = await ask(linear, CREATE, status, input={"teamId": team.id, "title": "x"} | more)
    assert answer["errors"][0]["message"].startswith(said)
    assert answer["errors"][0]["extensions"]["code"] == code
    assert not linear.issues


async def test_linear_refuses_what_it_does_not_know(linear: Linear) -> None:
    for query, code in {
        "{ viewer { nonsense } }": "GRAPHQL_VALIDATION_FAILED",
        "{ viewer }": "GRAPHQL_VALIDATION_FAILED",
        "{ viewer { id }": "GRAPHQL_PARSE_FAILED",
        "query A($id: String!) { issue(id: $id) { id } }": "GRAPHQL_VALIDATION_FAILED",
        "{ issue(id: $id) { id } }": "GRAPHQL_VALIDATION_FAILED",
    }.items():
        assert (await ask(linear, query, 400))["errors"][0]["extensions"]["code"] == code, query
    lost = await ask(linear, '{ issue(id: "ENG-1") { id } }')
    assert lost["errors"][0]["message"] == "Entity not found: Issue"
    assert lost["data"] is None
    stranger = await ask(linear, "{ viewer { id } }", 401, authorization="nope")
    assert stranger["errors"][0]["extensions"]["code"] == "AUTHENTICATION_ERROR"
    assert "data" not in stranger
    assert (
        "Bearer" in (await ask(linear, "{ viewer { id } }", 400, authorization=f"Bearer {linear.key}"))["errors"][0]["message"]
    )


async def test_linear_lists_filters_and_searches(linear: Linear, team: Team) -> None:
    other = linear.add_team("OPS")
    first = linear.add_issue(team, "First needle", "text one", labels=[team.labels[0]])
    second = linear.add_issue(team, "Second", "needle two", priority=1)
    linear.add_issue(other, "Third")
    query = """query Some($filter: IssueFilter, $first: Int, $after: String) {
      issues(filter: $filter, first: $first, after: $after) { nodes { identifier } pageInfo { hasNextPage endCursor } } }"""

    async def found(**filters: Any) -> list[str]:
        data = (await ask(linear, query, filter=filters))["data"]
        return [each["identifier"] for each in data["issues"]["nodes"]]

    assert await found() == ["OPS-1", "ENG-2", "ENG-1"]
    assert await found(team={"key": {"eq": "ENG"}}) == ["ENG-2", "ENG-1"]
    assert await found(title={"containsIgnoreCase": "NEEDLE"}) == ["ENG-1"]
    assert await found(description={"contains": "needle"}) == ["ENG-2"]
    assert await found(labels={"some": {"name": {"eq": "Bug"}}}) == ["ENG-1"]
    assert await found(id={"in": [first.id, second.id]}, priority={"eq": 1}) == ["ENG-2"]
    either = [{"title": {"eq": "Third"}}, {"number": {"eq": 2}}]
    assert await found(**{"or": either}) == ["OPS-1", "ENG-2"]
    assert await found(assignee={"null": True}, createdAt={"gt": "2020-01-01"}) == ["OPS-1", "ENG-2", "ENG-1"]
    assert await found(attachments={"some": {"url": {"eq": "x"}}}) == []
    await ask(linear, query, 400, filter={"nonsense": {"eq": 1}})
    page = (await ask(linear, query, first=2))["data"]["issues"]
    assert page["pageInfo"]["hasNextPage"] is True
    page = (await ask(linear, query, first=2, after=page["pageInfo"]["endCursor"]))["data"]["issues"]
    assert [each["identifier"] for each in page["nodes"]] == ["ENG-1"]
    search = "query Find($term: String!) { searchIssues(term: $term) { nodes { identifier } totalCount } }"
    assert (await ask(linear, search, term="needle"))["data"]["searchIssues"]["totalCount"] == 2
    linear.search_lag = linear.list_lag = 60
    late = linear.add_issue(team, "late needle")
    assert (await ask(linear, search, term="needle"))["data"]["searchIssues"]["totalCount"] == 2
    assert "ENG-3" not in await found()
    assert (await ask(linear, "query I($id: String!) { issue(id: $id) { title } }", id=late.id))["data"]["issue"]
    linear.list_lag = 0
    linear.archive(first)
    assert "ENG-1" not in await found()


async def test_linear_attaches_by_url_and_comments_by_id(linear: Linear, team: Team) -> None:
    linear.add_issue(team, "x")
    attach = """mutation A($input: AttachmentCreateInput!) {
      attachmentCreate(input: $input) { success attachment { id title url issue { identifier } } } }"""
    given = {"issueId": "ENG-1", "url": "https://slack.example/1", "title": "one"}
    first = (await ask(linear, attach, input=given))["data"]["attachmentCreate"]["attachment"]
    again = (await ask(linear, attach, input=given | {"title": "two"}))["data"]["attachmentCreate"]["attachment"]
    assert (again["id"], again["title"], again["issue"]) == (first["id"], "two", {"identifier": "ENG-1"})
    by_url = '{ attachmentsForURL(url: "https://slack.example/1") { nodes { title issue { identifier } } } }'
    assert (await ask(linear, by_url))["data"]["attachmentsForURL"]["nodes"] == [
        {"title": "two", "issue": {"identifier": "ENG-1"}}
    ]
    comment = "mutation C($input: CommentCreateInput!) { commentCreate(input: $input) { success comment { id body url } } }"
    told = {"id": str(uuid.uuid4()), "issueId": "ENG-1", "body": "hello"}
    assert (await ask(linear, comment, input=told))["data"]["commentCreate"]["comment"]["id"] == told["id"]
    refused = await ask(linear, comment, input=told)
    assert refused["errors"][0]["message"] == "conflict on insert of Comment"
    listed = '{ issue(id: "ENG-1") { comments { nodes { body } } attachments { nodes { url } } } }'
    assert (await ask(linear, listed))["data"]["issue"]["comments"]["nodes"] == [{"body": "hello"}]
    assert linear.commented.is_set()


@pytest.mark.parametrize(("switch", "stored"), [("", "* a  \r\n- b\r\n"), ("-", "- a\n- b"), ("*", "* a\n* b")])
async def test_linear_may_change_markdown(linear: Linear, team: Team, switch: Any, stored: str) -> None:
    linear.normalises = switch
    await ask(linear, CREATE, input={"teamId": team.id, "title": "x", "description": "* a  \r\n- b\r\n"})
    assert (await ask(linear, '{ issue(id: "ENG-1") { description } }'))["data"]["issue"]["description"] == stored


async def test_linear_limits_and_fails(linear: Linear, team: Team) -> None:
    linear.limit(30, within="issueCreate")
    assert (await ask(linear, "{ viewer { id } }"))["data"]
    async with httpx2.AsyncClient(headers={"Authorization": linear.key}) as client:
        given = {"query": CREATE, "variables": {"input": {"teamId": team.id, "title": "x"}}}
        answer = await client.post(linear.url + "/graphql", json=given)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "RATELIMITED"
    assert answer.headers["x-ratelimit-requests-remaining"] == "0"
    assert 25 < int(answer.headers["x-ratelimit-requests-reset"]) / 1000 - time.time() <= 30
    linear.fail("Internal server error", "internal error", "INTERNAL_SERVER_ERROR")
    failed = await ask(linear, "{ viewer { id } }")
    assert failed["errors"][0]["extensions"]["type"] == "internal error"
    assert not linear.issues


# Jira Cloud


@pytest.fixture
async def jira() -> AsyncIterator[Jira]:
    async with running_jira() as running:
        running.add_project("OPS", "Operations")
        yield running


@pytest.fixture
async def site(jira: Jira) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=jira.url, auth=(jira.email, jira.token), timeout=5) as client:
        yield client


def issue_of(**fields: Any) -> Json:
    return {"fields": {"project": {"key": "OPS"}, "issuetype": {"name": "Task"}, "summary": "It broke"} | fields}


async def test_jira_tells_about_itself(jira: Jira, site: httpx2.AsyncClient) -> None:
    for version in (2, 3):
        about = (await site.get(f"/rest/api/{version}/serverInfo", auth=("no", "body"))).json()
        assert (about["deploymentType"], about["baseUrl"]) == ("Cloud", jira.url)
    assert (await site.get("/rest/api/3/myself")).json()["accountId"] == jira.account["accountId"]
    assert (await site.get("/rest/api/3/project/OPS")).json()["issueTypes"][0]["name"] == "Task"
    lost = await site.get("/rest/api/3/project/NOPE")
    assert (lost.status_code, lost.json()["errorMessages"]) == (404, ["No project could be found with key 'NOPE'."])
    assert (await site.get("/rest/api/3/nowhere")).status_code == 404


async def test_jira_refuses_strangers_in_words(jira: Jira) -> None:
    async with httpx2.AsyncClient(base_url=jira.url, auth=(jira.email, "wrong")) as client:
        refused = await client.post("/rest/api/3/issue", json=issue_of())
        assert refused.status_code == 401
        assert refused.text == "Client must be authenticated to access this resource."
        jira.anonymous_search = True
        found = await client.get("/rest/api/3/search/jql", params={"jql": "project = OPS"})
        assert found.json() == {"issues": [], "isLast": True}
    assert not jira.issues


async def test_jira_is_behind_a_gateway(jira: Jira) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {jira.bearer}"}) as client:
        here = f"{jira.url}/ex/jira/{jira.cloud_id}/rest/api/3"
        assert (await client.post(here + "/issue", json=issue_of())).status_code == 201
        assert (await client.get(f"{jira.url}/ex/jira/other/rest/api/3/myself")).status_code == 404
        jira.scopes_match = False
        refused = await client.get(here + "/myself")
        assert (refused.status_code, refused.json()["message"]) == (401, "Unauthorized; scope does not match")
        assert (await client.get(f"{jira.url}/rest/api/3/myself")).status_code == 401


async def test_jira_tells_what_a_create_screen_has(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.add_select("OPS", 10041, "Severity", ["S1", "S2"], required=True, kind="Bug")
    where = "/rest/api/3/issue/createmeta/OPS/issuetypes"
    kinds = (await site.get(where, params={"maxResults": 2})).json()
    assert (kinds["total"], [each["name"] for each in kinds["issueTypes"]]) == (3, ["Task", "Bug"])
    fields = (await site.get(f"{where}/{kinds['issueTypes'][1]['id']}")).json()
    severity = next(each for each in fields["fields"] if each["fieldId"] == "customfield_10041")
    assert (severity["required"], severity["hasDefaultValue"], severity["name"]) == (True, False, "Severity")
    assert [each["value"] for each in severity["allowedValues"]] == ["S1", "S2"]
    summary = next(each for each in fields["fields"] if each["key"] == "summary")
    assert summary["schema"] == {"type": "string", "system": "summary"}
    assert (await site.get(f"{where}/999")).status_code == 404
    assert (await site.get(where, params={"maxResults": 201})).status_code == 400


async def test_jira_makes_an_issue_with_properties(jira: Jira, site: httpx2.AsyncClient) -> None:
    severity = jira.add_select("OPS", 10041, "Severity", ["S1", "S2"])
    link = text("here") | {"marks": [{"type": "link", "attrs": {"href": "https://example.com"}}, {"type": "code"}]}
    document = doc(
        {"type": "heading", "attrs": {"level": 2}, "content": [text("Why")]},
        paragraph(text("bold", "strong"), {"type": "hardBreak"}, link),
        {"type": "bulletList", "content": [{"type": "listItem", "content": [paragraph(text("one"))]}]},
        {"type": "codeBlock", "attrs": {"language": "python"}, "content": [text("x = 1\ny = 2")]},
        {"type": "rule"},
    )
    given = issue_of(
        description=document, labels=["a", "b"], priority={"name": "High"}, customfield_10041={"value": "S2"}, assignee=None
    )
    given["properties"] = [{"key": "signoff", "value": {"id": 7}}]
    answer = await site.post("/rest/api/3/issue", json=given)
    made = answer.json()
    assert (answer.status_code, made["key"], sorted(made)) == (201, "OPS-1", ["id", "key", "self"])
    assert jira.created.is_set()
    shown = (await site.get("/rest/api/3/issue/ops-1", params={"properties": "signoff"})).json()
    assert shown["properties"] == {"signoff": {"id": 7}}
    assert shown["fields"]["description"] == document
    assert shown["fields"]["customfield_10041"] == severity.allowed[1] if severity.allowed else False
    assert (shown["fields"]["priority"]["name"], shown["fields"]["issuetype"]["name"]) == ("High", "Task")
    assert shown["fields"]["creator"]["accountId"] == jira.account["accountId"]
    few = (await site.get(f"/rest/api/3/issue/{made['id']}", params={"fields": "summary,labels"})).json()
    assert few["fields"] == {"summary": "It broke", "labels": ["a", "b"]}
    assert (await site.get("/rest/api/3/issue/OPS-9")).status_code == 404
    assert (await site.put("/rest/api/3/issue/OPS-1", json={"fields": {"summary": "new"}})).status_code == 204
    jira.edit("OPS-1", labels=["c"])
    changed = (await site.get("/rest/api/3/issue/OPS-1", params={"fields": "summary,labels"})).json()
    assert changed["fields"] == {"summary": "new", "labels": ["c"]}
    assert (await site.put("/rest/api/3/issue/OPS-1/properties/more", json={"x": 1})).status_code == 201
    assert (await site.put("/rest/api/3/issue/OPS-1/properties/more", json={"x": 2})).status_code == 200
    assert (await site.get("/rest/api/3/issue/OPS-1/properties/more")).json() == {"key": "more", "value": {"x": 2}}
    assert (await site.get("/rest/api/3/issue/OPS-1/properties/none")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"summary": None}, {"summary": "You must specify a summary of the issue."}),
        ({"summary": "  "}, {"summary": "You must specify a summary of the issue."}),
        ({"summary": "a\nb"}, {"summary": "The summary is invalid because it contains newline characters."}),
        ({"summary": "x" * 256}, {"summary": "Summary must be less than 255 characters."}),
        ({"description": "words"}, {"description": NO_DOCUMENT}),
        (
            {"customfield_1": 1},
            {"customfield_1": "Field 'customfield_1' cannot be set. It is not on the appropriate screen, or unknown."},
        ),
        ({"labels": ["a b"]}, {"labels": "The label 'a b' contains spaces which is invalid."}),
        ({"priority": {"name": "Urgent"}}, {"priority": "The priority selected is invalid."}),
        ({"customfield_10041": {"value": "S9"}}, {"customfield_10041": "Option id 'null' is not valid"}),
        ({"customfield_10041": "S1"}, {"customfield_10041": "Specify a valid 'id' or 'name' for Severity"}),
        ({"customfield_10042": "words"}, {"customfield_10042": NO_DOCUMENT}),
        ({"issuetype": {"name": "Bug"}}, {"customfield_10043": "Team is required."}),
        ({"issuetype": {"name": "Epic"}}, {"issuetype": "Specify a valid issue type"}),
        (
            {"issuetype": {"name": "Sub-task"}},
            {"issuetype": "Issue type is a sub-task but parent issue key or id not specified."},
        ),
        ({"project": {"key": "NOPE"}}, {"project": "valid project is required"}),
    ],
)
async def test_jira_refuses_fields(jira: Jira, site: httpx2.AsyncClient, fields: Json, errors: Json) -> None:
    jira.add_select("OPS", 10041, "Severity", ["S1", "S2"])
    jira.add_field("OPS", Field("customfield_10042", "Impact", {"type": "string", "custom": TEXTAREA}))
    jira.add_select("OPS", 10043, "Team", ["A"], required=True, kind="Bug")
    answer = await site.post("/rest/api/3/issue", json=issue_of(**fields))
    assert (answer.status_code, answer.json()) == (400, {"errorMessages": [], "errors": errors})
    assert not jira.issues


@pytest.mark.parametrize(
    "content",
    [
        [paragraph(text(""))],
        [paragraph(text("x", "code", "strong"))],
        [paragraph(text("x", "blink"))],
        [paragraph({"type": "text", "text": "x", "marks": [{"type": "link"}]})],
        [text("x")],
        [{"type": "heading", "content": [text("x")]}],
        [{"type": "heading", "attrs": {"level": 7}, "content": []}],
        [{"type": "bulletList", "content": []}],
        [{"type": "bulletList", "content": [paragraph(text("x"))]}],
        [{"type": "bulletList", "content": [{"type": "listItem", "content": [{"type": "rule"}]}]}],
        [{"type": "bulletList", "content": [{"type": "listItem", "content": [text("x")]}]}],
        [{"type": "codeBlock", "content": [text("x", "strong")]}],
        [{"type": "codeBlock", "content": [{"type": "hardBreak"}]}],
        [{"type": "paragraph", "content": [], "extra": 1}],
        [{"type": "hardBreak"}],
        [paragraph({"type": "hardBreak", "text": "\n"})],
        [{"type": "codeBlock", "attrs": {"lang": "x"}, "content": []}],
        [{"type": "nonsense"}],
    ],
)
async def test_jira_refuses_documents_that_break_a_rule(jira: Jira, site: httpx2.AsyncClient, content: list[Json]) -> None:
    answer = await site.post("/rest/api/3/issue", json=issue_of(description=doc(*content)))
    assert (answer.status_code, answer.json()) == (400, {"errorMessages": ["INVALID_INPUT"], "errors": {}})
    assert jira.reasons
    assert not jira.issues


def test_a_document_needs_its_frame() -> None:
    assert not problems(doc())
    assert not problems(doc(paragraph(), {"type": "codeBlock"}))
    for wrong in (
        None,
        [],
        {"type": "doc", "content": []},
        {"type": "doc", "version": 2, "content": []},
        {"type": "doc", "version": 1},
    ):
        assert problems(wrong)


async def test_jira_limits_how_long_a_description_is(jira: Jira, site: httpx2.AsyncClient) -> None:
    fits, too_long = doc(paragraph(text("x" * 32767))), doc(paragraph(text("x" * 32768)))
    answer = await site.post("/rest/api/3/issue", json=issue_of(description=too_long))
    assert (answer.status_code, answer.json()["errorMessages"]) == (400, ["CONTENT_LIMIT_EXCEEDED"])
    assert (await site.post("/rest/api/3/issue", json=issue_of(description=fits))).json()["key"] == "OPS-2"
    jira.description_counts = "json"
    assert (await site.post("/rest/api/3/issue", json=issue_of(description=fits))).status_code == 400
    answer = await site.put("/rest/api/3/issue/OPS-2", json={"fields": {"description": too_long}})
    assert answer.json()["errors"] == {"description": "CONTENT_LIMIT_EXCEEDED"}


async def test_jira_may_change_a_document(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.normalises = True
    sent = doc(paragraph(text("a"), text("b"), text("c", "strong")), {"type": "codeBlock", "attrs": {}, "content": [text("x")]})
    await site.post("/rest/api/3/issue", json=issue_of(description=sent))
    stored = jira.issue("OPS-1").fields["description"]
    assert not problems(stored)
    assert [each["text"] for each in stored["content"][0]["content"]] == ["ab", "c"]
    assert stored["content"][0]["attrs"]["localId"] != stored["content"][1]["attrs"]["localId"]


async def test_jira_refuses_by_who_asks(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.projects["OPS"].can_create = False
    assert (await site.post("/rest/api/3/issue", json=issue_of())).status_code == 403
    jira.projects["OPS"].can_browse = False
    assert (await site.get("/rest/api/3/project/OPS")).status_code == 404
    jira.limit(9)
    limited = await site.get("/rest/api/3/myself")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "9")


async def test_jira_searches(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.add_project("WEB")
    described = doc(paragraph(text("marker alpha77 here")))
    await site.post("/rest/api/3/issue", json=issue_of(labels=["signoff-1"], description=described))
    jira.add_issue("OPS", "Other needle", "Bug", labels=["x"])
    jira.add_issue("WEB", "Elsewhere")

    async def found(jql: str, **more: Any) -> list[str]:
        given = {"jql": jql, "fields": ["summary"], **more}
        posted = (await site.post("/rest/api/3/search/jql", json=given)).json()
        assert (await site.get("/rest/api/3/search/jql", params={"jql": jql, "fields": "summary"})).json() == posted or more
        return [each["key"] for each in posted["issues"]]

    assert await found('project = "OPS" AND labels = "signoff-1"') == ["OPS-1"]
    assert await found('project = OPS and text ~ "alpha77"') == ["OPS-1"]
    assert await found('project = OPS AND summary ~ "needle"') == ["OPS-2"]
    assert await found('summary ~ "needl*"') == ["OPS-2"]
    assert await found('text ~ "\\"here marker\\""') == []
    assert await found("creator = currentUser() ORDER BY created DESC") == ["OPS-1"]
    assert await found("issuetype in (Bug, Epic) AND created >= -1h") == ["OPS-2"]
    assert await found("project = OPS ORDER BY created ASC") == ["OPS-1", "OPS-2"]
    assert await found('labels = "none"') == []
    only_ids = (await site.get("/rest/api/3/search/jql", params={"jql": "project = OPS"})).json()
    assert only_ids == {"issues": [{"id": each.id} for each in reversed(jira.issues[:2])], "isLast": True}
    first = (await site.post("/rest/api/3/search/jql", json={"jql": "project = OPS", "maxResults": 1})).json()
    assert first["isLast"] is False
    more = {"jql": "project = OPS", "maxResults": 1, "nextPageToken": first["nextPageToken"]}
    last = (await site.post("/rest/api/3/search/jql", json=more)).json()
    assert (last["isLast"], "nextPageToken" in last) == (True, False)
    for wrong in (
        "",
        "order by created",
        "nonsense = 1",
        "project = NOPE",
        'project = "x',
        "project ~ OPS",
        "project = OPS labels = x",
    ):
        answer = await site.get("/rest/api/3/search/jql", params={"jql": wrong})
        assert answer.status_code == 400, wrong
        assert answer.json()["errorMessages"]
    for version in (2, 3):
        gone = await site.get(f"/rest/api/{version}/search", params={"jql": "project = OPS"})
        assert (gone.status_code, gone.json()["errorMessages"]) == (410, [REMOVED])


async def test_jira_finds_late(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.index_lag = 0.2
    made = (await site.post("/rest/api/3/issue", json=issue_of(labels=["late"]))).json()
    query = {"jql": "labels = late"}
    assert (await site.post("/rest/api/3/search/jql", json=query)).json()["issues"] == []
    reconciled = await site.post("/rest/api/3/search/jql", json=query | {"reconcileIssues": [int(made["id"])]})
    assert reconciled.json()["issues"] == [{"id": made["id"]}]
    assert (await site.get(f"/rest/api/3/issue/{made['key']}")).status_code == 200
    await asyncio.sleep(0.2)
    assert len((await site.post("/rest/api/3/search/jql", json=query)).json()["issues"]) == 1
    jira.hide_from_search()
    assert (await site.post("/rest/api/3/search/jql", json=query)).json()["issues"] == []
    assert len((await site.post("/rest/api/3/search/jql", json=query)).json()["issues"]) == 1


async def test_jira_keeps_one_link_for_a_global_id(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.add_issue("OPS", "x")
    where = "/rest/api/3/issue/OPS-1/remotelink"
    given = {"globalId": "slack=1", "relationship": "from", "object": {"url": "https://slack.example/1", "title": "one"}}
    first = await site.post(where, json=given)
    again = await site.post(where, json={"globalId": "slack=1", "object": {"url": "https://slack.example/1", "title": "two"}})
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    links = (await site.get(where)).json()
    assert [each["object"]["title"] for each in links] == ["two"]
    assert "relationship" not in links[0]
    assert (await site.get(where, params={"globalId": "slack=1"})).json()["id"] == first.json()["id"]
    assert (await site.get(where, params={"globalId": "other"})).status_code == 404
    refused = await site.post(where, json={"object": {"url": "https://x"}})
    assert (refused.status_code, refused.json()["errors"]) == (400, {"title": "'title' is required."})


async def test_jira_has_comments_with_properties(jira: Jira, site: httpx2.AsyncClient) -> None:
    jira.add_issue("OPS", "x")
    where = "/rest/api/3/issue/OPS-1/comment"
    body = doc(paragraph(text("hello")))
    made = await site.post(where, json={"body": body, "properties": [{"key": "signoff", "value": "h1"}]})
    assert (made.status_code, made.json()["body"], "properties" in made.json()) == (201, body, False)
    plain = (await site.get(where)).json()
    assert (plain["total"], "properties" in plain["comments"][0]) == (1, False)
    wide = (await site.get(where, params={"expand": "properties"})).json()
    assert wide["comments"][0]["properties"] == [{"key": "signoff", "value": "h1"}]
    listed = await site.post(
        "/rest/api/3/comment/list", params={"expand": "properties"}, json={"ids": [int(made.json()["id"])]}
    )
    assert listed.json()["values"] == wide["comments"]
    assert (await site.post(where, json={"body": "words"})).json()["errors"] == {"comment": "Comment body is not valid!"}
    assert (await site.post(where, json={"body": doc(text("x"))})).json()["errorMessages"] == ["INVALID_INPUT"]


# GitLab


@pytest.fixture
async def gitlab() -> AsyncIterator[GitLab]:
    async with running_gitlab() as running:
        running.add_project("acme/sub/api")
        yield running


async def test_gitlab_makes_lists_and_notes(gitlab: GitLab) -> None:
    async with httpx2.AsyncClient(base_url=gitlab.url + "/api/v4", headers={"PRIVATE-TOKEN": gitlab.token}) as client:
        by_path, project = "/projects/acme%2Fsub%2Fapi", next(iter(gitlab.projects.values()))
        assert (await client.get("/user")).json()["username"] == "signoff-bot"
        assert (await client.get(by_path)).json()["id"] == project.id
        made = await client.post(by_path + "/issues", json={"title": "It broke", "description": "why", "labels": "a,b"})
        assert (made.status_code, made.json()["iid"], made.json()["labels"]) == (201, 1, ["a", "b"])
        assert made.json()["web_url"].endswith("/acme/sub/api/-/issues/1")
        assert gitlab.created.is_set()
        by_id = f"/projects/{project.id}/issues"
        assert (await client.get(by_id + "/1")).json() == made.json()
        await client.post(by_id, data={"title": "Second"})
        assert [each["iid"] for each in (await client.get(by_id)).json()] == [2, 1]
        for query, iids in [
            ({"search": "WHY", "in": "description"}, [1]),
            ({"search": "why", "in": "title"}, []),
            ({"labels": "a"}, [1]),
            ({"created_after": "2099-01-01T00:00:00Z"}, []),
            ({"order_by": "created_at", "sort": "asc", "per_page": "1"}, [1]),
        ]:
            assert [each["iid"] for each in (await client.get(by_id, params=query)).json()] == iids, query
        note = await client.post(by_id + "/1/notes", json={"body": "hello"})
        assert (note.status_code, (await client.get(by_id + "/1/notes")).json()) == (201, [note.json()])
        gitlab.list_lag = 60
        await client.post(by_id, json={"title": "Third"})
        assert len((await client.get(by_id)).json()) == 2
        gitlab.limit(5)
        limited = await client.post(by_id, json={"title": "x"})
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "5")
        assert len(gitlab.issues) == 3


async def test_gitlab_refuses(gitlab: GitLab) -> None:
    gitlab.add_token("reader", 1, scopes=("read_api",))
    gitlab.add_token("owner", 1, is_owner=True)
    closed = gitlab.add_project("acme/closed", can_create=False)
    here = "/api/v4/projects/acme%2Fsub%2Fapi/issues"
    for token, where, given, status, told in [
        (gitlab.token, here, {}, 400, {"error": "title is missing"}),
        (gitlab.token, here, {"title": ""}, 400, {"message": {"title": ["can't be blank"]}}),
        (gitlab.token, here, {"title": "x" * 256}, 400, {"message": {"title": ["is too long (maximum is 255 characters)"]}}),
        (gitlab.token, "/api/v4/projects/9/issues", {"title": "x"}, 404, {"message": "404 Project Not Found"}),
        (gitlab.token, f"/api/v4/projects/{closed.id}/issues", {"title": "x"}, 403, {"message": "403 Forbidden"}),
        ("wrong", here, {"title": "x"}, 401, {"message": "401 Unauthorized"}),
        ("owner", here, {"title": "x", "iid": 7}, 201, None),
        ("owner", here, {"title": "x", "iid": 7}, 409, {"message": "Duplicated issue"}),
        (gitlab.token, here, {"title": "x", "iid": 7}, 201, None),
        (gitlab.token, here + "/99/notes", {"body": "x"}, 404, {"message": "404 Not found"}),
    ]:
        async with httpx2.AsyncClient(base_url=gitlab.url, headers={"Authorization": f"Bearer {token}"}) as client:
            answer = await client.post(where, json=given)
            assert answer.status_code == status
            assert told in (None, answer.json())
    async with httpx2.AsyncClient(base_url=gitlab.url, headers={"PRIVATE-TOKEN": "reader"}) as client:
        answer = await client.post(here, json={"title": "x"})
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    assert [each.iid for each in gitlab.issues] == [7, 8]


# The proxy


@pytest.fixture
async def proxy(github: GitHub) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(github.url) as running:
        yield running


async def create(proxy: FaultProxy, github: GitHub) -> httpx2.Response:
    async with github_client(github, url=proxy.url) as client:
        return await client.post(ISSUES, json={"title": "x"})


async def test_the_proxy_lets_through(proxy: FaultProxy, github: GitHub) -> None:
    async with github_client(github, url=proxy.url) as client:
        assert (await client.post(ISSUES, json={"title": "x"})).status_code == 201
        assert len((await client.get(ISSUES)).json()) == 1
        assert (await client.get("/repos/acme/api/assignees/ann")).status_code == 204
        assert len(proxy._open) == 1
    assert [(each.method, each.reached, each.status) for each in proxy.passed] == [
        ("POST", True, 201),
        ("GET", True, 200),
        ("GET", True, 204),
    ]
    assert proxy.acted.is_set()
    assert json.loads(proxy.passed[0].body) == {"title": "x"}


@pytest.mark.parametrize(
    ("fault", "wrong", "made"),
    [
        ("drop_request", httpx2.RemoteProtocolError, 0),
        ("drop_reply", httpx2.RemoteProtocolError, 1),
        ("reset_request", httpx2.ReadError, 0),
        ("reset_reply", httpx2.ReadError, 1),
        ("half_head", httpx2.RemoteProtocolError, 1),
        ("half_body", httpx2.RemoteProtocolError, 1),
    ],
)
async def test_the_proxy_breaks_connections(
    proxy: FaultProxy, github: GitHub, fault: Any, wrong: type[Exception], made: int
) -> None:
    proxy.plan(fault, path="/issues$")
    with pytest.raises(wrong):
        await create(proxy, github)
    assert len(github.issues) == proxy.count(reached=True) == made
    assert (await create(proxy, github)).status_code == 201
    assert proxy.count() == 2


@pytest.mark.parametrize(
    ("fault", "status", "body", "made"),
    [
        ("429", 429, b"Too Many", 0),
        ("500", 500, b"upstream", 0),
        ("502", 502, b"upstream", 0),
        ("503", 503, b"upstream", 0),
        ("garbage_before", 200, b"\x00\xff", 0),
        ("html_403", 403, b"<!DOCTYPE html>", 0),
        ("500_after", 500, b"upstream", 1),
        ("502_after", 502, b"upstream", 1),
        ("503_after", 503, b"upstream", 1),
        ("garbage", 200, b"\x00\xff", 1),
        ("wrong_json", 201, b"{}", 1),
        ("empty_200", 200, b"", 1),
    ],
)
async def test_the_proxy_answers_itself(
    proxy: FaultProxy, github: GitHub, fault: Any, status: int, body: bytes, made: int
) -> None:
    proxy.plan(fault, times=2, seconds=3)
    for each in (1, 2):
        answer = await create(proxy, github)
        assert answer.status_code == status
        assert body in answer.content
        assert len(github.issues) == proxy.count(reached=True) == made * each
        assert answer.headers.get("retry-after") == ("3" if fault == "429" else None)
    assert (fault in BEFORE) == (not made)
    assert proxy.passed[0].fault == fault
    assert (await create(proxy, github)).status_code == 201


async def test_the_proxy_says_when_to_come_again_as_a_date(proxy: FaultProxy, github: GitHub) -> None:
    proxy.plan("429_http_date", seconds=30)
    when = parsedate_to_datetime((await create(proxy, github)).headers["retry-after"])
    assert 28 < when.timestamp() - time.time() <= 30


async def test_the_proxy_redirects(proxy: FaultProxy, github: GitHub) -> None:
    proxy.plan("redirect_302")
    answer = await create(proxy, github)
    assert (answer.status_code, answer.headers["location"]) == (302, github.url + ISSUES)
    proxy.plan("redirect_302", location="https://elsewhere.example/login")
    assert (await create(proxy, github)).headers["location"] == "https://elsewhere.example/login"
    assert not github.issues


async def test_the_proxy_is_slow(proxy: FaultProxy, github: GitHub) -> None:
    proxy.plan("delay", seconds=0.3)
    asking = asyncio.create_task(create(proxy, github))
    await asyncio.sleep(0.1)
    assert not github.issues
    assert (await asking).status_code == 201
    proxy.acted.clear()
    proxy.plan("delay_reply", seconds=0.3)
    asking = asyncio.create_task(create(proxy, github))
    await asyncio.wait_for(proxy.acted.wait(), 5)
    assert len(github.issues) == 2
    assert not asking.done()
    await asking
    proxy.plan("slow_drip", seconds=0.3)
    begun = time.monotonic()
    assert (await create(proxy, github)).json()["number"] == 3
    assert time.monotonic() - begun >= 0.3
    proxy.plan("delay_reply", seconds=1)
    async with github_client(github, url=proxy.url) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post(ISSUES, json={"title": "x"}, timeout=0.1)
    assert len(github.issues) == 4


async def test_nothing_listens_where_the_proxy_refuses(proxy: FaultProxy, github: GitHub) -> None:
    before = proxy.url
    await proxy.refuse()
    with pytest.raises(httpx2.ConnectError):
        await create(proxy, github)
    await proxy.reopen()
    assert proxy.url == before
    assert (await create(proxy, github)).status_code == 201
    proxy.plan("refuse")
    with pytest.raises(httpx2.TransportError):
        await create(proxy, github)
    with pytest.raises(httpx2.ConnectError):
        await create(proxy, github)
    await proxy.reopen()
    assert (await create(proxy, github)).status_code == 201
    assert len(github.issues) == 2


async def test_plans_hold_for_what_they_name(proxy: FaultProxy, github: GitHub) -> None:
    proxy.plan("500", path="/comments$")
    proxy.plan("503", method="GET", within="")
    proxy.plan("502", method=None, within="needle")
    assert (await create(proxy, github)).status_code == 201
    async with github_client(github, url=proxy.url) as client:
        assert (await client.get(ISSUES)).status_code == 503
        assert (await client.post(ISSUES, json={"title": "needle"})).status_code == 502
        assert (await client.post(ISSUES + "/1/comments", json={"body": "x"})).status_code == 500
        proxy.plan("500", times=99)
        proxy.heal()
        assert (await client.post(ISSUES + "/1/comments", json={"body": "x"})).status_code == 201
    assert proxy.count(within="needle") == 1
    assert proxy.count("POST", "/comments$") == 2


async def test_the_proxy_stands_before_a_tracker_that_is_not_there() -> None:
    async with fault_proxy("http://127.0.0.1:9") as proxy, httpx2.AsyncClient() as client:
        assert (await client.post(proxy.url, content=b"x")).status_code == 502
        assert proxy.count(reached=False) == 1


async def test_the_proxy_breaks_one_operation_of_linear(linear: Linear, team: Team) -> None:
    async with fault_proxy(linear.url) as proxy:
        proxy.plan("drop_reply", within="issueCreate")
        number = str(uuid.uuid4())
        given = {"id": number, "teamId": team.id, "title": "x"}
        assert (await ask(linear, "{ viewer { id } }", url=proxy.url))["data"]
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(linear, CREATE, url=proxy.url, input=given)
        again = await ask(linear, CREATE, url=proxy.url, input=given)
        assert again["errors"][0]["message"] == "conflict on insert of Issue"
        assert len(linear.issues) == 1


async def test_basic_authentication_is_that_of_jira(jira: Jira) -> None:
    given = base64.b64encode(f"{jira.email}:{jira.token}".encode()).decode()
    async with httpx2.AsyncClient(headers={"Authorization": f"Basic {given}"}) as client:
        assert (await client.get(jira.url + "/rest/api/3/myself")).status_code == 200
    assert jira.count("GET", "/myself", 200) == 1
