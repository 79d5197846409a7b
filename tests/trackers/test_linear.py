"""Linear against a server that behaves as Linear does, and through a proxy that breaks what goes there."""

import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agent.draft import TicketDraft
from agent.projects import Project, ProjectField, TicketType
from agent.sealing import Destination, SealedTicket, seal
from agent.trackers import Later, Missing, Refused, Unsure
from skills.trackers.linear import RENDERER, LinearTracker, client_id, connect, explain
from tests.trackers.support import accepted, receipt
from tests.trackers_sim.linear import Linear, Team, running_linear
from tests.trackers_sim.proxy import fault_proxy

PROJECT = Project(
    key="ENG",
    types=[
        TicketType(
            id="issue",
            name="Issue",
            fields=[
                ProjectField(id="team-id", name="team", kind="other"),
                ProjectField(id="bug-id", name="label:Bug", kind="other"),
                ProjectField(id="ux-id", name="label:UX: colours", kind="other"),
            ],
        )
    ],
)
DRAFT = TicketDraft(
    title="Log in fails",
    problem="As in ENG-7, @ann sees `500`.\nSee https://example.com/a_b",
    issue_type="bug",
    priority="High",
    labels=["bug"],
    assignee="Ann",
    custom={"Team": "Web"},
)


@pytest.fixture
async def linear() -> AsyncIterator[Linear]:
    async with running_linear() as sim:
        sim.add_team("ENG", labels=("Bug", "Backend"))
        sim.add_team("OPS", labels=("Pager",))
        sim.add_label("Everywhere")
        yield sim


@pytest.fixture
def team(linear: Linear) -> Team:
    return linear.teams[0]


@pytest.fixture
def tracker(linear: Linear) -> LinearTracker:
    return connected(linear.url)


def connected(url: str, key: str = "lin_api_test") -> LinearTracker:
    tracker = connect({"LINEAR_API_KEY": key, "LINEAR_API_URL": f"{url}/graphql"})
    assert tracker
    return tracker


async def sealed(tracker: LinearTracker, draft: TicketDraft = DRAFT) -> SealedTicket:
    project = await tracker.describe("ENG")
    assert tracker.questions(draft, project) == []
    return seal(Destination(tracker="linear", project="ENG"), tracker.render(draft, project))


def test_all_of_the_draft_is_in_the_request() -> None:
    rendered = RENDERER.render(DRAFT, PROJECT)
    assert rendered["type"] == "bug"
    assert rendered["request"] == {
        "teamId": "team-id",
        "title": "Log in fails",
        "description": "## Problem\n\n"
        "As in `ENG-7`, @ann sees `500`.\\\nSee <https://example.com/a_b>\n\n"
        "## Details\n\n- Type: Bug\n- Assignee: Ann\n- Team: Web",
        "priority": 2,
        "labelIds": ["bug-id"],
    }
    assert rendered["body"] == rendered["request"]["description"]


def test_what_linear_has_no_word_for_is_in_the_description() -> None:
    draft = DRAFT.model_copy(update={"priority": "soon", "epic_id": "the big one", "labels": ["ux: Colours"]})
    request = RENDERER.render(draft, PROJECT)["request"]
    assert "priority" not in request
    assert "parentId" not in request
    assert request["labelIds"] == ["ux-id"]
    assert "- Priority: soon\n- Epic: the big one" in request["description"]
    assert RENDERER.render(DRAFT.model_copy(update={"epic_id": "eng-7"}), PROJECT)["request"]["parentId"] == "ENG-7"


@pytest.mark.parametrize(
    ("word", "number"), [("urgent", 1), ("P0", 1), ("high", 2), ("p1", 2), ("normal", 3), ("Medium", 3), ("low", 4), ("p4", 4)]
)
def test_priorities(word: str, number: int) -> None:
    assert RENDERER.render(DRAFT.model_copy(update={"priority": word}), PROJECT)["request"]["priority"] == number


def test_questions_name_the_labels_that_there_are() -> None:
    asked = RENDERER.questions(DRAFT.model_copy(update={"labels": ["bug", "nope"]}), PROJECT)
    assert [(one.field, one.text) for one in asked] == [
        ("labels", "Linear has no label 'nope' in ENG; it has Bug, UX: colours.")
    ]
    assert "say *show*" in RENDERER.questions(DRAFT, Project(key="ENG"))[0].text


async def test_a_team_is_described_with_all_labels_that_it_may_use(linear: Linear, tracker: LinearTracker, team: Team) -> None:
    for number in range(300):
        linear.add_label(f"l{number}", team)
    linear.add_label("A group", team)["isGroup"] = True
    kind = (await tracker.describe("ENG")).types[0]
    names = [one.name for one in kind.fields]
    assert kind.fields[0].id == team.id
    assert len(names) == len(set(names)) == 304
    assert {"team", "label:Bug", "label:Everywhere", "label:l299"} <= set(names)
    assert not {"label:Pager", "label:A group"} & set(names)
    with pytest.raises(Refused, match="no team NONE"):
        await tracker.describe("NONE")


@pytest.mark.parametrize("normalises", ["", "*"])
async def test_a_ticket_is_filed_found_and_read(linear: Linear, tracker: LinearTracker, team: Team, normalises: Any) -> None:
    linear.normalises = normalises
    parent = linear.add_issue(team, "epic")
    ticket = await sealed(tracker, DRAFT.model_copy(update={"epic_id": parent.identifier, "risks": ["a_b", "- c"]}))
    made = await tracker.create(ticket, receipt(ticket))
    issue = linear.issues[1]
    assert (made.key, made.url) == ("ENG-2", "https://linear.app/acme/issue/ENG-2/log-in-fails")
    assert (issue.id, issue.title, issue.priority, issue.parent) == (client_id("signoff-1234"), "Log in fails", 2, parent)
    assert [one["name"] for one in issue.labels] == ["Bug"]
    assert issue.description
    assert issue.description.endswith(f"of what was approved: `{ticket.draft_hash}`.")
    assert len(linear.operations("issueCreate")) == 1
    for copy in (await tracker.find(ticket, receipt(ticket)), await tracker.read("eng-2", ticket, receipt(ticket))):
        assert copy
        assert (copy.ticket.key, copy.ours, copy.changed, copy.receipt) == (made.key, True, [], True)
        assert copy.draft_hash == ticket.draft_hash


async def test_what_linear_was_seen_to_make_of_markdown_is_no_change(linear: Linear, tracker: LinearTracker) -> None:
    draft = DRAFT.model_copy(
        update={"problem": "[x] a* install.rs\nb https://a.b/c\n\n```\ncode\n```", "risks": ["one", "two"]}
    )
    ticket = await sealed(tracker, draft)
    await tracker.create(ticket, receipt(ticket))
    text = linear.issues[0].description or ""
    text = text.replace("\n- ", "\n* ").replace("<https://a.b/c>", "[https://a.b/c](<https://a.b/c>)").replace("\\\n", "\n")
    linear.issues[0].description = text.replace("install.rs", "[install.rs](<http://install.rs>)").replace("---", "***")
    assert await accepted(tracker, ticket, receipt(ticket))
    linear.issues[0].description += "\n\nPS"
    copy = await tracker.read("ENG-1", ticket, receipt(ticket))
    assert (copy.receipt, [(one.field, one.added) for one in copy.changed]) == (True, [("description", ["PS"])])


CHANGES: list[tuple[str, Any, list[str], bool]] = [
    ("title", "Other", ["title"], True),
    ("priority", 4, ["priority"], True),
    ("labels", [], ["labelIds"], True),
    ("description", ("sees", "saw"), ["description"], True),
    ("description", ("Approved by", "Refused by"), [], False),
    ("archived", 1.0, [], True),
]


@pytest.mark.parametrize(("part", "value", "changed", "stands"), CHANGES)
async def test_what_was_changed_is_told(
    linear: Linear, tracker: LinearTracker, part: str, value: Any, changed: list[str], stands: bool
) -> None:
    ticket = await sealed(tracker)
    await tracker.create(ticket, receipt(ticket))
    issue = linear.issues[0]
    setattr(issue, part, (issue.description or "").replace(*value) if part == "description" else value)
    copy = await tracker.read("ENG-1", ticket, receipt(ticket))
    assert (copy.ours, [one.field for one in copy.changed], copy.receipt) == (True, changed, stands)
    assert (copy.draft_hash == ticket.draft_hash) == (not changed)
    assert bool(await accepted(tracker, ticket, receipt(ticket))) == (not changed)


async def test_only_what_is_ours_is_found(linear: Linear, tracker: LinearTracker, team: Team) -> None:
    ticket = await sealed(tracker)
    assert await accepted(tracker, ticket, receipt(ticket)) is None
    await tracker.create(ticket, receipt(ticket))
    more = {"priority": 2, "labels": [team.labels[0]], "creator": linear.viewer}
    copied = linear.add_issue(team, DRAFT.title, linear.issues[0].description, **more)
    other = await tracker.read(copied.identifier, ticket, receipt(ticket))
    assert (other.ours, other.changed) == (False, [])
    linear.issues[0].creator = linear.add_user("mallory")
    assert await accepted(tracker, ticket, receipt(ticket)) is None
    linear.issues[0].creator = linear.viewer
    assert await accepted(tracker, ticket, receipt(ticket))
    linear.issues[0].team = linear.teams[1]
    moved = await tracker._copy(linear.issues[0].id, ticket, receipt(ticket))
    assert (moved.ours, [one.field for one in moved.changed]) == (False, ["teamId"])


KEYS = ["ENG-1", " eng-1 ", "https://linear.app/acme/issue/ENG-1/log-in-fails", "https://linear.app/acme/issue/ENG-1#comment-2"]


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_may_be_written_in_many_ways(tracker: LinearTracker, key: str) -> None:
    ticket = await sealed(tracker)
    made = await tracker.create(ticket, receipt(ticket))
    assert (await tracker.read(key, ticket, receipt(ticket))).ticket == made


@pytest.mark.parametrize(
    "key", ["x", "#1", "OPS-1", "https://evil.example/acme/issue/ENG-1", "https://linear.app/acme/issue/OPS-1"]
)
async def test_what_cannot_be_a_key_is_refused(linear: Linear, tracker: LinearTracker, key: str) -> None:
    ticket = await sealed(tracker)
    linear.requests.clear()
    with pytest.raises(Refused) as refused:
        await tracker.read(key, ticket, receipt(ticket))
    assert not isinstance(refused.value, Missing)
    assert linear.requests == []


async def test_what_is_not_there_is_missing(tracker: LinearTracker) -> None:
    ticket = await sealed(tracker)
    with pytest.raises(Missing):
        await tracker.read("ENG-7", ticket, receipt(ticket))


def test_an_id_is_a_uuid_of_version_4() -> None:
    given = uuid.UUID(client_id("signoff-1234"))
    assert (given.version, given.variant) == (4, uuid.RFC_4122)
    assert client_id("signoff-1234") == str(given) != client_id("signoff-1235")


@pytest.mark.parametrize("fault", ["drop_reply", "500_after", "502_after", "garbage", "wrong_json", "empty_200", "html_403"])
async def test_nobody_knows_what_became_of_a_post_without_a_good_answer(linear: Linear, fault: Any) -> None:
    async with fault_proxy(linear.url) as proxy:
        tracker = connected(proxy.url)
        ticket = await sealed(tracker)
        proxy.plan(fault)
        with pytest.raises(Unsure):
            await tracker.create(ticket, receipt(ticket))
        assert proxy.count("POST", within="issueCreate") == 1
        assert bool(await accepted(tracker, ticket, receipt(ticket))) == (fault != "html_403")


@pytest.mark.parametrize("status", [200, 400])
async def test_a_second_issue_with_our_id_is_unsure_and_found(linear: Linear, tracker: LinearTracker, status: int) -> None:
    ticket = await sealed(tracker)
    await tracker.create(ticket, receipt(ticket))
    if status != 200:
        linear.fail("conflict on insert of Issue", "invalid input", "INPUT_ERROR", status=status)
    with pytest.raises(Unsure):
        await tracker.create(ticket, receipt(ticket))
    assert len(linear.issues) == 1
    assert await accepted(tracker, ticket, receipt(ticket))


@pytest.mark.parametrize("body", [{"data": "x"}, {"data": {"issueCreate": []}}, {"errors": [1]}, {"errors": [{}]}, [], "x"])
async def test_an_answer_that_cannot_be_read_leaves_a_post_unknown(linear: Linear, tracker: LinearTracker, body: Any) -> None:
    ticket = await sealed(tracker)
    linear.answer(200, body)
    with pytest.raises(Unsure):
        await tracker.create(ticket, receipt(ticket))
    linear.answer(200, body)
    with pytest.raises((Later, Missing)):
        await tracker.read("ENG-1", ticket, receipt(ticket))


@pytest.mark.parametrize("status", [200, 500])
async def test_an_error_of_linear_s_own_leaves_a_post_unknown(linear: Linear, tracker: LinearTracker, status: int) -> None:
    ticket = await sealed(tracker)
    linear.fail("oops", "internal error", "INTERNAL_SERVER_ERROR", status=status)
    with pytest.raises(Unsure):
        await tracker.create(ticket, receipt(ticket))
    linear.fail("oops", "internal error", "INTERNAL_SERVER_ERROR", status=status)
    with pytest.raises(Later):
        await accepted(tracker, ticket, receipt(ticket))


async def test_a_pause_is_kept(linear: Linear, tracker: LinearTracker) -> None:
    ticket = await sealed(tracker)
    linear.limit(20)
    linear.answer(400, {"errors": [{"message": "m", "extensions": {"code": "RATELIMITED"}}]}, {"Retry-After": "7"})
    linear.fail("m", "ratelimited", "RATELIMITED")
    for seconds in (20, 7, 60):
        with pytest.raises(Later) as later:
            await tracker.create(ticket, receipt(ticket))
        assert later.value.seconds == pytest.approx(seconds, abs=2)
    assert linear.issues == []


@pytest.mark.parametrize("status", [200, 400])
async def test_refusals_say_what_a_person_can_do(linear: Linear, tracker: LinearTracker, status: int) -> None:
    ticket = await sealed(tracker)
    for kind, text in (
        ("authentication error", "renew"),
        ("forbidden", "permit"),
        ("usage limit exceeded", "free issue limit"),
    ):
        linear.fail("m", kind, "X", status=status, presentable="You've exceeded the free issue limit.")
        with pytest.raises(Refused, match=text):
            await tracker.create(ticket, receipt(ticket))
    with pytest.raises(Refused, match="renew") as refused:
        await connected(linear.url, "lin_api_wrong").describe("ENG")
    assert "lin_api" not in str(refused.value)


async def test_fields_are_blamed_by_the_draft_s_names(linear: Linear, tracker: LinearTracker) -> None:
    ticket = await sealed(tracker, DRAFT.model_copy(update={"epic_id": "ENG-99"}))
    with pytest.raises(Refused) as refused:
        await tracker.create(ticket, receipt(ticket))
    assert list(refused.value.fields) == ["epic_id"]
    linear.teams[0].labels.clear()
    ticket = seal(Destination(tracker="linear", project="ENG"), {**ticket.payload, "request": _without_parent(ticket)})
    with pytest.raises(Refused) as refused:
        await tracker.create(ticket, receipt(ticket))
    assert list(refused.value.fields) == ["labels"]


def _without_parent(ticket: SealedTicket) -> dict[str, Any]:
    return {name: value for name, value in ticket.payload["request"].items() if name != "parentId"}


def test_only_linear_s_own_errors_are_believed() -> None:
    def said(body: Any) -> Any:
        return explain(httpx.Response(400, json=body), body)

    assert said({"errors": [{"message": "no"}]}) is None
    assert said({"message": "Forbidden"}) is None
    assert said({"errors": "no"}) is None
    assert said(["errors"]) is None
    assert isinstance(said({"errors": [{"message": "m", "extensions": {"type": "invalid input"}}]}), Refused)


async def test_a_comment_is_made_once_and_a_link_too(linear: Linear, tracker: LinearTracker) -> None:
    ticket = await sealed(tracker)
    made = await tracker.create(ticket, receipt(ticket))
    for _ in range(2):
        await tracker.comment("C1:2", made.key, "Ann", "see ENG-7 <b>")
        await tracker.link(made, receipt(ticket))
    assert [one["body"] for one in linear.issues[0].comments] == ["see `ENG-7` \\<b\\>\n\nAnn via Signoff"]
    assert [one["url"] for one in linear.issues[0].attachments] == ["https://acme.slack.com/archives/C1/p1"]
    await tracker.link(made, receipt(ticket).model_copy(update={"thread": ""}))
    with pytest.raises(Missing):
        await tracker.comment("C1:3", "ENG-9", "Ann", "x")


async def test_similar_issues_are_found(linear: Linear, tracker: LinearTracker, team: Team) -> None:
    linear.add_issue(team, "The login page fails")
    linear.add_issue(linear.teams[1], "The login page fails too")
    assert [one.key for one in await tracker.search("ENG", "login page")] == ["ENG-1"]
    assert await tracker.search("ENG", " ") == []
    assert [one.key for one in await tracker.search("ENG", "A customer says the login page fails")] == ["ENG-1"]
    assert [one.key for one in await tracker.search("ENG", 'login page" team:OPS OR too')] == ["ENG-1"]


async def test_connecting(linear: Linear) -> None:
    assert connect({}) is None
    assert (await connected(linear.url, "lin_oauth_test").describe("eng")).key == "eng"
    for environ in ({"LINEAR_API_KEY": "a b"}, {"LINEAR_API_KEY": "a", "LINEAR_API_URL": "linear.app"}):
        with pytest.raises(ValueError, match="LINEAR_"):
            connect(environ)


async def test_every_request_is_one_that_we_mean(linear: Linear, tracker: LinearTracker) -> None:
    ticket = await sealed(tracker)
    await tracker.create(ticket, receipt(ticket))
    sent = linear.operations("issueCreate")[0]["variables"]["input"]
    description = sent.pop("description")
    assert sent == {**_without_description(ticket), "id": client_id("signoff-1234")}
    assert re.fullmatch(rf"{re.escape(ticket.payload['body'])}\n\n---\n\nApproved by Ann @ann on .*", description)


def _without_description(ticket: SealedTicket) -> dict[str, Any]:
    return {name: value for name, value in ticket.payload["request"].items() if name != "description"}


async def test_an_issue_that_nobody_says_who_made_is_not_ours(linear: Linear, tracker: LinearTracker) -> None:
    ticket = await sealed(tracker)
    issue = {"id": client_id("signoff-1234"), "identifier": "ENG-1", "team": {"id": ticket.payload["request"]["teamId"]}}
    linear.answer(200, {"data": {"issue": issue, "viewer": None}})
    assert not (await tracker.read("ENG-1", ticket, receipt(ticket))).ours
