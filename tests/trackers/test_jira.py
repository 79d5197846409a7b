"""Filing to Jira: Cloud as the simulator has it, Data Center as jira820 has it, and what nobody's server can show by hand."""

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from agent.draft import Attachment, Constraint, TicketDraft
from agent.projects import OPTIONS, Project, ProjectField, TicketType
from agent.receipt import Receipt
from agent.sealing import Destination, SealedTicket, canonical, marker, seal
from agent.trackers import Later, Missing, Refused, Ticket, Unsure
from skills.trackers import adf, wiki
from skills.trackers.body import receipt_blocks
from skills.trackers.jira import RENDERER, JiraTracker, connect
from tests.trackers import jira820_server
from tests.trackers.jira820_server import Jira820, running_jira820
from tests.trackers.support import accepted
from tests.trackers_sim import FaultProxy, Jira, fault_proxy, running_jira
from tests.trackers_sim.adf import problems
from tests.trackers_sim.base import Sim, running
from tests.trackers_sim.jira_cloud import TEXTAREA, Field, Issue

ACCOUNT = "5b10ac8d82e05b22cc7d4ef5"
AGILE = "com.pyxis.greenhopper.jira:"
TYPES = "com.atlassian.jira.plugin.system.customfieldtypes:"
DRAFT = TicketDraft(
    title="Export fails",
    problem="It answers *500*, says [~bob]:\n\n```\nError {x}\n```",
    acceptance_criteria=["it finishes", "it is logged"],
    constraints=[Constraint(key="latency", value="200 ms")],
    issue_type="bug",
    priority="high",
    labels=["export", "api"],
    attachments=[Attachment(id="F1", name="log.txt", sha256="ab" * 32, url="https://s.example/f1")],
)


def sealed_of(draft: TicketDraft, project: Project) -> SealedTicket:
    assert RENDERER.questions(draft, project) == []
    return seal(Destination(tracker="jira", project=project.key), RENDERER.render(draft, project))


def receipt_for(sealed: SealedTicket, session: str = "T1:C1:1.1", **more: Any) -> Receipt:
    given = {
        "approved_by": "Ann *[~eve]*",
        "approved_at": datetime(2026, 11, 25, 12, tzinfo=UTC),
        "thread": "https://s.example/p1",
    }
    return Receipt(marker=marker(session, sealed.draft_hash), draft_hash=sealed.draft_hash, **{**given, **more})


@dataclass
class Place:
    """A Jira under test, with its project OPS, whichever it is."""

    tracker: JiraTracker
    proxy: FaultProxy
    site: str
    project: Project
    edit: Callable[..., None]
    fields: Callable[[str], dict[str, Any]]
    with_label: Callable[[str], list[str]]

    def seal(self, draft: TicketDraft) -> SealedTicket:
        return sealed_of(draft, self.project)

    def links(self, key: str) -> int:
        return self.proxy.count("POST", f"/issue/{key}/remotelink", reached=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jira820]:
    with running_jira820(tmp_path_factory.mktemp("jira820")) as server:
        yield server


@pytest.fixture
async def cloud() -> AsyncIterator[Jira]:
    async with running_jira() as jira:
        jira.add_project("OPS", kinds=("Story", "Task", "Bug", "Sub-task"))
        yield jira


def tracker_of(jira: Jira, url: str = "", **more: str) -> JiraTracker:
    made = connect({"JIRA_URL": url or jira.url, "JIRA_TOKEN": jira.token, "JIRA_EMAIL": jira.email, **more})
    assert made
    return made


@asynccontextmanager
async def cloud_place() -> AsyncIterator[Place]:
    async with running_jira() as jira, fault_proxy(jira.url) as proxy:
        jira.normalises = True
        jira.add_project("OPS", kinds=("Story", "Task", "Bug", "Sub-task"))
        tracker = tracker_of(jira, proxy.url)
        labelled: Callable[[str], list[str]] = lambda label: [  # noqa: E731
            one.key for one in jira.issues if label in one.fields["labels"]
        ]
        fields: Callable[[str], dict[str, Any]] = lambda key: jira.issue(key).fields  # noqa: E731
        project = await tracker.describe("OPS")
        yield Place(tracker, proxy, proxy.url, project, jira.edit, fields, labelled)


@pytest.fixture(params=["cloud", "server"])
async def place(request: pytest.FixtureRequest, server: Jira820) -> AsyncIterator[Place]:
    if request.param == "cloud":
        async with cloud_place() as made:
            yield made
        return
    async with fault_proxy(server.url) as proxy:
        tracker = connect({"JIRA_URL": proxy.url, "JIRA_TOKEN": "a-personal-token"})
        assert tracker
        yield Place(tracker, proxy, proxy.url, jira820_server.PROJECT, server.edit, server.fields, server.with_label)


# Where it is


@pytest.mark.parametrize("environ", [{}, {"JIRA_URL": " ", "JIRA_TOKEN": ""}])
def test_not_connected(environ: dict[str, str]) -> None:
    assert connect(environ) is None


SITE = "https://x.atlassian.net"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"JIRA_URL": SITE}, "JIRA_TOKEN"),
        ({"JIRA_TOKEN": "t"}, "JIRA_URL"),
        ({"JIRA_URL": "x.atlassian.net", "JIRA_TOKEN": "t"}, "JIRA_URL"),
        ({"JIRA_URL": SITE, "JIRA_TOKEN": "t", "JIRA_API_URL": "api.atlassian.com"}, "JIRA_API_URL"),
        ({"JIRA_URL": SITE, "JIRA_TOKEN": "se\ncret"}, "JIRA_TOKEN"),
        ({"JIRA_URL": SITE, "JIRA_TOKEN": "sécret"}, "JIRA_TOKEN"),
    ],
)
def test_settings_that_are_wrong(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named) as raised:
        connect(environ)
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("email", "wanted"),
    [("bot@x.example", "Basic " + base64.b64encode(b"bot@x.example:t0ken").decode()), ("", "Bearer t0ken")],
)
async def test_how_the_token_is_given(email: str, wanted: str) -> None:
    async with running(Center()) as center:
        tracker = connect({"JIRA_URL": f"{center.url}/jira/", "JIRA_TOKEN": " t0ken ", "JIRA_EMAIL": email})
        assert tracker
        with pytest.raises(Refused, match="check JIRA_URL"):
            await tracker.link(Ticket(key="OPS-1", url=""), receipt_for(SealedTicket(payload={})))
    assert [each.headers["Authorization"] for each in center.requests] == [wanted]
    assert center.requests[0].path == "/jira/rest/api/2/serverInfo"


async def test_a_scoped_token_goes_through_the_gateway(cloud: Jira) -> None:
    gateway = f"{cloud.url}/ex/jira/{cloud.cloud_id}"
    tracker = tracker_of(cloud, SITE, JIRA_API_URL=gateway)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    ticket = await tracker.create(sealed, receipt_for(sealed))
    assert ticket.url == f"{SITE}/browse/{ticket.key}"
    cloud.scopes_match = False
    with pytest.raises(Refused, match="scope"):
        await tracker.create(sealed, receipt_for(sealed))
    lost = tracker_of(cloud, SITE, JIRA_API_URL=f"{cloud.url}/ex/jira/another")
    with pytest.raises(Refused, match="JIRA_API_URL"):
        await lost.create(sealed, receipt_for(sealed))
    assert len(cloud.issues) == 1


# What a project takes


async def test_a_cloud_project(cloud: Jira) -> None:
    cloud.add_select("OPS", 101, "Severity", ["Low", "High"], required=True)
    for made in [
        Field("customfield_102", "Notes", {"type": "string", "custom": TEXTAREA}),
        Field("customfield_103", "Team", {"type": "string", "custom": TYPES + "textfield"}),
        Field("customfield_104", "Points", {"type": "number", "custom": TYPES + "float"}),
        Field("customfield_105", "Due", {"type": "date", "custom": TYPES + "datepicker"}),
        Field("customfield_106", "Reviewer", {"type": "user", "custom": TYPES + "userpicker"}),
        Field("customfield_107", "Tags", {"type": "array", "items": "string", "custom": TYPES + "labels"}),
        Field("customfield_108", "Sprint", {"type": "array", "items": "json", "custom": AGILE + "gh-sprint"}),
        Field("customfield_111", "Rank", {"type": "array", "items": "string", "custom": AGILE + "gh-rank"}),
        Field("fixVersions", "Fix versions", {"type": "array", "items": "version"}, allowed=[{"id": "1", "name": "1.0"}]),
        Field("customfield_109", "Region", {"type": "option-with-child", "custom": TYPES + "cascadingselect"}, required=True),
        Field("customfield_110", "Epic Link", {"type": "any", "custom": AGILE + "gh-epic-link"}),
        Field("components", "Components", {"type": "array", "items": "component"}, required=True, default=True,
              allowed=[{"id": "1", "name": "API"}]),
        Field("reporter", "Reporter", {"type": "user", "system": "reporter"}, required=True),
    ]:  # fmt: skip
        cloud.add_field("OPS", made, "Task")
    for number in range(200, 260):
        cloud.add_field(
            "OPS", Field(f"customfield_{number}", f"More {number}", {"type": "string", "custom": TYPES + "textfield"})
        )
    project = await tracker_of(cloud).describe("OPS")
    assert (project.key, project.form, [one.name for one in project.types]) == ("OPS", "cloud", ["Story", "Task", "Bug"])
    task = project.type_for("task")
    assert task
    named = {one.name: (one.kind, one.required, one.options) for one in task.fields if not one.name.startswith("More")}
    assert named == {
        "Labels": ("labels", False, []),
        "Priority": ("option", False, ["Highest", "High", "Medium", "Low"]),
        "Assignee": ("user", False, []),
        "Parent": ("epic", False, []),
        "Severity": ("option", True, ["Low", "High"]),
        "Notes": ("paragraph", False, []),
        "Team": ("text", False, []),
        "Points": ("number", False, []),
        "Due": ("date", False, []),
        "Reviewer": ("user", False, []),
        "Tags": ("labels", False, []),
        "Region": ("other", True, []),
        "Components": ("options", False, ["API"]),
        "Fix versions": ("options", False, ["1.0"]),
    }
    assert len(task.fields) == len(named) + 60
    assert cloud.count("GET", "serverInfo") == 1


class Center(Sim):
    """A Data Center of which a test gives every answer."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Nothing is served but what is given."""

    def is_version(self, *numbers: int) -> None:
        """What it says it is."""
        version = ".".join(map(str, numbers))
        self.answer(200, {"version": version, "versionNumbers": list(numbers), "deploymentType": "Server"}, path="serverInfo")

    def lists(self, path: str, values: list[dict[str, Any]], *, start: int = 0, last: bool = True) -> None:
        """A page of createmeta, as Data Center answers it."""
        page = {"maxResults": 50, "startAt": start, "total": len(values), "isLast": last, "values": values}
        self.answer(200, page, method="GET", path=path)


async def test_a_data_center_project() -> None:
    def shown(number: str, name: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"fieldId": number, "name": name, "required": False, "hasDefaultValue": False, "schema": schema, **more}

    many = [{"id": str(at), "value": f"V{at}"} for at in range(OPTIONS + 5)]
    fields = [
        shown("summary", "Summary", {"type": "string", "system": "summary"}, required=True),
        shown("issuetype", "Issue Type", {"type": "issuetype", "system": "issuetype"}, required=True),
        shown("reporter", "Reporter", {"type": "user", "system": "reporter"}, required=True),
        shown("environment", "Environment", {"type": "string", "system": "environment"}),
        shown("priority", "Priority", {"type": "priority", "system": "priority"}, required=True, hasDefaultValue=True,
              allowedValues=[{"id": "1", "name": "Major"}]),
        shown("parent", "Parent", {"type": "issuelink", "system": "parent"}),
        shown("customfield_10101", "Epic Link", {"type": "any", "custom": AGILE + "gh-epic-link"}),
        shown("customfield_10102", "Boxes", {"type": "array", "items": "option", "custom": TYPES + "multicheckboxes"},
              required=True, allowedValues=many),
    ]  # fmt: skip
    rest = [shown("customfield_10103", "Versions", {"type": "array", "items": "version", "custom": TYPES + "multiversion"})]
    async with running(Center()) as center:
        center.is_version(9, 12, 0)
        center.lists("/createmeta/OPS/issuetypes/7$", fields, last=False)
        center.lists("/createmeta/OPS/issuetypes/7$", rest)
        kinds = [{"id": "7", "name": "Bug", "subtask": False}, {"id": "8", "name": "Sub-task", "subtask": True}]
        center.lists("/createmeta/OPS/issuetypes$", kinds)
        tracker = connect({"JIRA_URL": center.url, "JIRA_TOKEN": "t"})
        assert tracker
        project = await tracker.describe("OPS")
    assert [each.query.get("startAt") for each in center.requests] == [None, "0", "0", str(len(fields))]
    assert project == Project(
        key="OPS",
        form="server",
        types=[
            TicketType(
                id="7",
                name="Bug",
                fields=[
                    ProjectField(id="environment", name="Environment", kind="paragraph"),
                    ProjectField(id="priority", name="Priority", kind="option", options=["Major"]),
                    ProjectField(id="customfield_10101", name="Epic Link", kind="epic"),
                    ProjectField(
                        id="customfield_10102",
                        name="Boxes",
                        kind="options",
                        required=True,
                        options=[each["value"] for each in many][:OPTIONS],
                    ),
                ],
            )
        ],
    )


async def test_a_data_center_that_is_too_old() -> None:
    async with running(Center()) as center:
        center.is_version(8, 3, 5)
        tracker = connect({"JIRA_URL": center.url, "JIRA_TOKEN": "t"})
        assert tracker
        with pytest.raises(Refused, match=r"8\.3\.5.*8\.4"):
            await tracker.describe("OPS")


async def test_a_data_center_without_the_newer_addresses(server: Jira820) -> None:
    tracker = connect({"JIRA_URL": server.url, "JIRA_TOKEN": "t"})
    assert tracker
    project = await tracker.describe("OPS")
    assert project.form == "server"
    assert "Sub-task" not in [each.name for each in project.types]
    [bug] = [each for each in project.types if each.name == "Bug"]
    kinds = {each.id: (each.kind, each.options) for each in bug.fields}
    assert kinds == {each.id: (each.kind, each.options) for each in jira820_server.FIELDS}
    with pytest.raises(Refused, match="project NOPE in which our account may create"):
        await tracker.describe("NOPE")


async def test_projects_that_cannot_be_filed_to(cloud: Jira) -> None:
    cloud.add_project("HID", can_browse=False)
    cloud.add_project("SUB", kinds=("Sub-task",))
    tracker = tracker_of(cloud)
    for key in ("NOPE", "HID", "SUB"):
        with pytest.raises(Refused, match=f"project {key} .*check the key"):
            await tracker.describe(key)
    with pytest.raises(Refused, match="capital letters"):
        await tracker.describe("../myself?")
    assert cloud.count("GET", "myself") == 0


# What would be sent


def kind(*fields: ProjectField, name: str = "Bug") -> TicketType:
    return TicketType(id="10", name=name, fields=list(fields))


LABELS = ProjectField(id="labels", name="Labels", kind="labels")
PRIORITY = ProjectField(id="priority", name="Priority", kind="option", options=["Highest", "High"])
ASSIGNEE = ProjectField(id="assignee", name="Assignee", kind="user")
PARENT = ProjectField(id="parent", name="Parent", kind="epic")
EPIC = ProjectField(id="customfield_1", name="Epic Link", kind="epic")


def one(name: str, of: str, *options: str, required: bool = False, id: str = "customfield_9") -> ProjectField:  # noqa: A002
    return ProjectField(id=id, name=name, kind=of, options=list(options), required=required)  # type: ignore[arg-type]


def at(form: str, *fields: ProjectField) -> Project:
    return Project(key="OPS", form=form, types=[kind(*fields)])


def test_what_cloud_is_sent() -> None:
    project = at("cloud", LABELS, PRIORITY, ASSIGNEE, PARENT)
    draft = DRAFT.model_copy(update={"epic_id": "ops-7", "assignee": ACCOUNT, "labels": ["export", "api", "export"]})
    rendered = RENDERER.render(draft, project)
    assert set(rendered) == {"type", "title", "body", "fields", "request"}
    assert (rendered["type"], rendered["title"]) == ("Bug", "Export fails")
    content = {name: value for name, value in draft.content().items() if value and name not in ("title", "issue_type")}
    assert rendered["fields"] == content
    request = dict(rendered["request"])
    assert problems(request["description"]) == []
    assert request.pop("description") == rendered["body"]
    assert request == {
        "project": {"key": "OPS"},
        "issuetype": {"id": "10"},
        "summary": "Export fails",
        "labels": ["export", "api"],
        "priority": {"name": "High"},
        "assignee": {"accountId": ACCOUNT},
        "parent": {"key": "OPS-7"},
    }
    canonical(rendered)


def test_what_data_center_is_sent() -> None:
    project = at("server", LABELS, PRIORITY, ASSIGNEE, EPIC)
    request = dict(RENDERER.render(DRAFT.model_copy(update={"epic_id": "ops-7", "assignee": "bob"}), project)["request"])
    assert request.pop("description").startswith(
        "h2. Problem\n\nIt answers \\*500\\*, says \\[&#126;bob\\]:\n\n{noformat}\nError {x}"
    )
    assert request == {
        "project": {"key": "OPS"},
        "issuetype": {"id": "10"},
        "summary": "Export fails",
        "labels": ["export", "api"],
        "priority": {"name": "High"},
        "assignee": {"name": "bob"},
        "customfield_1": "OPS-7",
    }


@pytest.mark.parametrize("form", ["cloud", "server"])
def test_what_has_no_field_is_in_the_body(form: str) -> None:
    draft = DRAFT.model_copy(update={"epic_id": "Reports", "assignee": "bob"})
    rendered = RENDERER.render(draft, at(form))
    assert set(rendered["request"]) == {"project", "issuetype", "summary", "description"}
    shown = adf.plain(rendered["body"]) if form == "cloud" else rendered["body"]
    for detail in ("Priority: high", "Assignee: bob", "Epic: Reports", "Labels: export, api"):
        assert detail in shown
    assert RENDERER.questions(draft, at(form)) == []


def test_somebody_whom_cloud_cannot_know_by_that_name_is_in_the_body() -> None:
    draft = DRAFT.model_copy(update={"assignee": "Christopher Bartholomew"})
    rendered = RENDERER.render(draft, at("cloud", ASSIGNEE))
    assert "assignee" not in rendered["request"]
    assert "Assignee: Christopher Bartholomew" in adf.plain(rendered["body"])
    other = RENDERER.render(
        DRAFT.model_copy(update={"assignee": "712020:0a1b2c3d-0000-4000-8000-1234567890ab"}), at("cloud", ASSIGNEE)
    )
    assert other["request"]["assignee"] == {"accountId": "712020:0a1b2c3d-0000-4000-8000-1234567890ab"}


MANY = [f"V{number}" for number in range(OPTIONS)]


@pytest.mark.parametrize(
    ("form", "to", "given", "wanted"),
    [
        ("server", one("Team", "text"), "[~blue]", "[~blue]"),
        ("server", one("Notes", "paragraph"), "*a*\n[~b]", "\\*a\\*\n\\[&#126;b\\]"),
        ("server", one("Points", "number"), "+5", 5),
        ("server", one("Points", "number"), "-3", -3),
        ("server", one("Due", "date"), "2026-12-31", "2026-12-31"),
        ("server", one("Severity", "option", "Low", "High"), "hIGH", {"value": "High"}),
        ("server", one("Severity", "option", "low", "Low"), "Low", {"value": "Low"}),
        ("server", one("Level", "option", "Top", id="security"), "top", {"name": "Top"}),
        ("server", one("Parts", "options", "API", "UI, web"), "ui, web", [{"value": "UI, web"}]),
        ("server", one("Parts", "options", "API", "UI"), "api ,UI,", [{"value": "API"}, {"value": "UI"}]),
        ("server", one("Components", "options", "API", id="components"), "api", [{"name": "API"}]),
        ("server", one("Big", "option", *MANY), "V100", {"value": "V100"}),
        ("server", one("Open", "option"), "x", {"value": "x"}),
        ("server", one("Tags", "labels"), "a, b", ["a", "b"]),
        ("server", one("Reviewer", "user"), "bob", {"name": "bob"}),
        ("cloud", one("Reviewer", "user"), ACCOUNT, {"accountId": ACCOUNT}),
    ],
)
def test_custom_values(form: str, to: ProjectField, given: str, wanted: Any) -> None:
    for name in (to.name, to.name.upper(), to.id):
        draft = TicketDraft(title="t", problem="p", issue_type="bug", custom={name: given})
        assert RENDERER.questions(draft, at(form, to)) == []
        rendered = RENDERER.render(draft, at(form, to))
        assert rendered["request"][to.id] == wanted
        canonical(rendered)


def test_a_paragraph_of_cloud_is_a_document() -> None:
    draft = TicketDraft(title="t", problem="p", issue_type="bug", custom={"Notes": "a `b`\n\nc"})
    assert adf.plain(RENDERER.render(draft, at("cloud", one("Notes", "paragraph")))["request"]["customfield_9"]) == "a `b`\n\nc"


def questions(draft: TicketDraft, project: Project) -> list[tuple[str, str]]:
    return [(question.field, question.text) for question in RENDERER.questions(draft, project)]


BUG = TicketDraft(title="t", problem="p", issue_type="bug")
LONG = "a" * 256
SMILE = "\U0001f600"


@pytest.mark.parametrize(
    ("form", "to", "change", "field", "said"),
    [
        ("server", one("Severity", "option", "Low", "High", required=True), {}, "custom.Severity", "one of Low, High"),
        ("server", one("Severity", "option", *MANY, required=True), {}, "custom.Severity", "Severity"),
        ("server", one("Region", "other", required=True), {}, "custom.Region", "Region.*cannot be filled in"),
        ("server", one("Region", "other", required=True), {"custom": {"Region": "EU"}}, "custom.Region", "cannot be"),
        (
            "server",
            one("Severity", "option", "Low", "High"),
            {"custom": {"severity": "Mid"}},
            "custom.severity",
            "'Mid'.*Low, High",
        ),
        ("server", one("Parts", "options", "API"), {"custom": {"Parts": "API, Web"}}, "custom.Parts", "'Web'"),
        ("server", one("Team", "text"), {"custom": {"Tame": "x"}}, "custom.Tame", "it has Team.*`/edit custom.Tame=`"),
        ("server", one("Team", "text"), {"custom": {"Team": "a\nb"}}, "custom.Team", "one line"),
        ("server", one("Team", "text"), {"custom": {"Team": LONG}}, "custom.Team", "256.*255"),
        ("server", one("Notes", "paragraph"), {"custom": {"Notes": "*" * 20_000}}, "custom.Notes", "40,000.*32,767"),
        ("server", one("Points", "number"), {"custom": {"Points": "1.5"}}, "custom.Points", "whole number"),
        ("server", one("Points", "number"), {"custom": {"Points": "1" * 16}}, "custom.Points", "whole number"),
        ("server", one("Points", "number"), {"custom": {"Points": "٣"}}, "custom.Points", "whole number"),
        ("server", one("Due", "date"), {"custom": {"Due": "31.12.2026"}}, "custom.Due", "2026-12-31"),
        ("server", one("Due", "date"), {"custom": {"Due": "20261231"}}, "custom.Due", "2026-12-31"),
        ("server", one("Due", "date"), {"custom": {"Due": "2026-02-30"}}, "custom.Due", "2026-12-31"),
        ("server", one("Tags", "labels"), {"custom": {"Tags": "a b"}}, "custom.Tags", "space"),
        ("cloud", one("Reviewer", "user"), {"custom": {"Reviewer": "bob"}}, "custom.Reviewer", "account id"),
        ("server", LABELS, {"labels": ["two words"]}, "labels", "'two words'.*space"),
        ("server", LABELS, {"labels": [LONG]}, "labels", "255"),
        ("server", LABELS.model_copy(update={"required": True}), {}, "labels", "at least one"),
        ("server", PRIORITY, {"priority": "urgent"}, "priority", "'urgent'.*Highest, High"),
        ("server", PRIORITY.model_copy(update={"required": True}), {}, "priority", "Highest, High"),
        ("server", EPIC, {"epic_id": "the reports"}, "epic_id", "OPS-7"),
        ("server", EPIC.model_copy(update={"required": True}), {}, "epic_id", "OPS-7"),
        ("cloud", PARENT, {"epic_id": "the reports"}, "epic_id", "OPS-7"),
        ("cloud", ASSIGNEE.model_copy(update={"required": True}), {"assignee": "bob"}, "assignee", "account id"),
        ("cloud", ASSIGNEE.model_copy(update={"required": True}), {}, "assignee", "account id"),
        ("server", LABELS, {"title": SMILE * 128}, "title", "256.*255"),
        ("server", LABELS, {"problem": "*" * 16_000}, "problem", "32,0.*31,267"),
        ("cloud", LABELS, {"problem": "a" * 20_000, "proposed_solution": "b" * 12_000}, "problem", "32,.*31,267"),
    ],
)
def test_what_is_asked(form: str, to: ProjectField, change: dict[str, Any], field: str, said: str) -> None:
    draft = BUG.model_copy(update=change)
    asked = questions(draft, at(form, to))
    assert [name for name, _ in asked] == [field]
    assert re.search(said, asked[0][1]), asked


def test_the_same_field_by_two_names_is_asked_about() -> None:
    draft = BUG.model_copy(update={"custom": {"Team": "a", "customfield_9": "b"}})
    assert [name for name, _ in questions(draft, at("server", one("Team", "text")))] == ["custom.customfield_9"]


def test_nothing_is_asked_that_has_a_default_or_is_given() -> None:
    fields = [LABELS, PRIORITY, ASSIGNEE, EPIC, one("Severity", "option", "Low", required=True)]
    assert questions(BUG.model_copy(update={"custom": {"severity": "low"}}), at("server", *fields)) == []


def test_a_project_that_is_not_described_yet() -> None:
    assert [name for name, _ in questions(BUG, Project(key="OPS"))] == [""]


async def test_the_longest_bodies_that_are_not_asked_about_are_taken(cloud: Jira) -> None:
    cloud.description_counts = "json"
    tracker = tracker_of(cloud)
    project = await tracker.describe("OPS")
    size = next(size for size in range(20_000, 40_000, 50) if questions(_of_size(size), project))
    assert 30_000 < size < 31_267
    draft = _of_size(size - 50)
    sealed = sealed_of(draft, project)
    receipt = receipt_for(
        sealed, approved_by="N" * 80, thread="https://example.slack.com/archives/C0123456789/p1700000000000000"
    )
    assert (await tracker.create(sealed, receipt)).key == "OPS-1"


def _of_size(size: int) -> TicketDraft:
    return BUG.model_copy(update={"problem": "a" * 20_000, "proposed_solution": "b" * (size - 20_000)})


# Filing


async def test_what_is_posted_to_cloud(cloud: Jira) -> None:
    tracker = tracker_of(cloud)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    receipt = receipt_for(sealed)
    before = len(cloud.requests)
    ticket = await tracker.create(sealed, receipt)
    assert ticket == Ticket(key="OPS-1", url=f"{cloud.url}/browse/OPS-1", title="Export fails")
    [posted] = cloud.requests[before:]
    request = sealed.payload["request"]
    end = adf.document(receipt_blocks(receipt))["content"]
    assert posted.body == {
        "fields": {
            **request,
            "description": {**request["description"], "content": [*request["description"]["content"], *end]},
            "labels": ["export", "api", receipt.marker],
        },
        "properties": [{"key": "signoff", "value": {"marker": receipt.marker, "draft_hash": sealed.draft_hash}}],
    }
    assert cloud.reasons == []


async def test_what_is_posted_to_data_center(server: Jira820) -> None:
    async with fault_proxy(server.url) as proxy:
        tracker = connect({"JIRA_URL": proxy.url, "JIRA_TOKEN": "t"})
        assert tracker
        sealed = sealed_of(DRAFT, jira820_server.PROJECT)
        receipt = receipt_for(sealed, "posted")
        await tracker.create(sealed, receipt)
        [posted] = [each for each in proxy.passed if each.method == "POST"]
    request = sealed.payload["request"]
    assert json.loads(posted.body) == {
        "fields": {
            **request,
            "description": request["description"] + "\n\n" + wiki.markup(receipt_blocks(receipt)),
            "labels": ["export", "api", receipt.marker],
        },
        "properties": [{"key": "signoff", "value": {"marker": receipt.marker, "draft_hash": sealed.draft_hash}}],
    }


AFTER = ("drop_reply", "reset_reply", "half_head", "half_body", "500_after", "503_after", "garbage", "wrong_json", "empty_200")


@pytest.mark.parametrize("fault", [*AFTER, "html_403"])
async def test_nobody_can_tell(place: Place, fault: Any) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"{fault} {place.project.form}")
    place.proxy.plan(fault, path="/issue$")
    with pytest.raises(Unsure):
        await place.tracker.create(sealed, receipt)
    assert place.proxy.count("POST") == 1
    there = place.with_label(receipt.marker)
    assert len(there) == (fault != "html_403")
    found = await accepted(place.tracker, sealed, receipt)
    assert [found.ticket.key] == there if found else not there


@pytest.mark.parametrize("fault", ["429", "refuse"])
async def test_surely_not_sent(place: Place, fault: Any) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"{fault} {place.project.form}")
    if fault == "refuse":
        await place.proxy.refuse()
    else:
        place.proxy.plan(fault, path="/issue$", seconds=7)
    with pytest.raises(Later) as raised:
        await place.tracker.create(sealed, receipt)
    assert raised.value.seconds == (7 if fault == "429" else None)
    assert place.with_label(receipt.marker) == []


async def test_refusals_name_the_drafts_fields(cloud: Jira) -> None:
    cloud.add_select("OPS", 101, "Severity", ["Low", "High"])
    tracker = tracker_of(cloud)
    project = await tracker.describe("OPS")
    draft = DRAFT.model_copy(update={"assignee": ACCOUNT, "epic_id": "OPS-99", "custom": {"severity": "high"}})
    sealed = sealed_of(draft, project)
    cloud.priorities.clear()
    allowed = cloud.projects["OPS"].kinds[2].fields["customfield_101"].allowed
    assert allowed
    allowed.clear()
    cloud.add_select("OPS", 102, "Area", ["A"], required=True)
    for asked in (tracker, tracker_of(cloud)):  # the second has described nothing
        if asked is not tracker:
            assert cloud.count("POST") == 1
        with pytest.raises(Refused) as raised:
            await asked.create(sealed, receipt_for(sealed))
        named = {"priority", "assignee", "epic_id", "custom.severity"}
        assert set(raised.value.fields) == (named if asked is tracker else named | {"custom.Area"})
        assert "Option id" in raised.value.fields["custom.severity"]
        assert "Jira did not take it" in str(raised.value)
    assert cloud.issues == []


async def test_the_epic_link_of_data_center_is_the_drafts_epic() -> None:
    async with running(Center()) as center:
        center.is_version(9, 12, 0)
        epic = {"fieldId": "customfield_1", "name": "Epic Link", "schema": {"type": "any", "custom": AGILE + "gh-epic-link"}}
        center.lists("/createmeta/OPS/issuetypes/10$", [epic])
        center.answer(400, {"errorMessages": [], "errors": {"customfield_1": "There is no epic OPS-7."}}, method="POST")
        tracker = connect({"JIRA_URL": center.url, "JIRA_TOKEN": "t"})
        assert tracker
        sealed = sealed_of(BUG.model_copy(update={"epic_id": "OPS-7"}), at("server", EPIC))
        with pytest.raises(Refused) as raised:
            await tracker.create(sealed, receipt_for(sealed))
    assert raised.value.fields == {"epic_id": "There is no epic OPS-7."}


async def test_a_refusal_is_told_even_if_nobody_knows_the_fields(cloud: Jira) -> None:
    sealed = sealed_of(DRAFT, await tracker_of(cloud).describe("OPS"))
    cloud.answer(503, "down", path="createmeta")
    cloud.answer(400, {"errorMessages": [], "errors": {"customfield_5": "no", "summary": "bad"}}, method="POST")
    with pytest.raises(Refused, match="no bad") as raised:
        await tracker_of(cloud).create(sealed, receipt_for(sealed))
    assert raised.value.fields == {"title": "bad"}


@pytest.mark.parametrize(
    ("status", "body", "raised", "said"),
    [
        (400, {"errorMessages": ["CONTENT_LIMIT_EXCEEDED"], "errors": {}}, Refused, "too long"),
        (401, "Client must be authenticated to access this resource.", Refused, "token"),
        (401, {"errorMessages": ["Login Required"], "errors": {}}, Refused, "renew it.*Login Required"),
        (403, {"errorMessages": ["You may not."], "errors": {}}, Refused, "permit it.*You may not"),
        (404, {"errorMessages": ["Gone."], "errors": {}}, Refused, "Gone"),
        (413, {"errorMessages": ["The request is too large."], "errors": {}}, Refused, "too large"),
        (403, {"code": 403, "message": "Forbidden"}, Refused, "JIRA_API_URL"),
        (403, {"message": "blocked by the proxy"}, Unsure, "403"),
        (403, {"code": 99, "message": "blocked by the proxy"}, Unsure, "403"),
        (403, "<html>blocked</html>", Unsure, "403"),
        (413, "<html>too large</html>", Unsure, "413"),
        (500, {"errorMessages": ["Internal server error"], "errors": {}}, Unsure, "500"),
        (200, [], Unsure, "200"),
        (201, {"id": "1"}, Unsure, "which it is"),
        (201, {"key": "../x"}, Unsure, "which it is"),
    ],
)
async def test_what_an_answer_means(cloud: Jira, status: int, body: Any, raised: Any, said: str) -> None:
    tracker = tracker_of(cloud)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    cloud.answer(status, body, method="POST", path="/issue$")
    with pytest.raises(raised, match=said) as caught:
        await tracker.create(sealed, receipt_for(sealed))
    assert cloud.token not in repr(caught.value)
    if isinstance(caught.value, Refused):
        assert caught.value.fields == ({"problem": "It is too long for Jira: shorten it."} if "too long" in said else {})


# What is there


async def test_it_is_found_and_reads_as_sealed(place: Place) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"found {place.project.form}")
    assert await accepted(place.tracker, sealed, receipt) is None
    ticket = await place.tracker.create(sealed, receipt)
    found = await accepted(place.tracker, sealed, receipt)
    assert found
    assert found.ticket == ticket
    assert (found.ours, found.changed, found.receipt) == (True, [], True)
    assert found.draft_hash == sealed.draft_hash
    for given in (ticket.key, f" {ticket.key.lower()} ", ticket.url, f"{ticket.url}/?focusedId=1#comment"):
        assert await place.tracker.read(given, sealed, receipt) == found


@pytest.mark.parametrize("part", ["summary", "labels", "priority"])
async def test_what_was_changed_is_told(place: Place, part: str) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"changed {part} {place.project.form}")
    key = (await place.tracker.create(sealed, receipt)).key
    value, gone, come = {
        "summary": ("Import fails", ["Export fails"], ["Import fails"]),
        "labels": (["export", receipt.marker, "new"], ["api"], ["new"]),
        "priority": ({"id": "1", "name": "Highest"}, ["high"], ["highest"]),
    }[part]
    place.edit(key, **{part: value})
    assert await accepted(place.tracker, sealed, receipt) is None
    copy = await place.tracker.read(key, sealed, receipt)
    assert (copy.ours, copy.receipt) == (True, True)
    assert [(change.field, change.removed, change.added) for change in copy.changed] == [(part, gone, come)]
    assert copy.draft_hash != sealed.draft_hash


def described(place: Place, key: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Changes the blocks of a description."""
    now = place.fields(key)["description"]
    if isinstance(now, str):
        place.edit(key, description="\r\n\r\n".join(change(now.split("\n\n"))))
    else:
        place.edit(key, description={**now, "content": change(now["content"])})


def note(place: Place, text: str) -> Any:
    return text if place.project.form == "server" else {"type": "paragraph", "content": [{"type": "text", "text": text}]}


async def test_what_became_of_the_description_and_the_receipt(place: Place) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"receipt {place.project.form}")
    key = (await place.tracker.create(sealed, receipt)).key
    original = place.fields(key)["description"]

    async def after(change: Callable[[list[Any]], list[Any]]) -> tuple[bool, list[str], list[str]]:
        place.edit(key, description=original)
        described(place, key, change)
        copy = await place.tracker.read(key, sealed, receipt)
        assert copy.ours
        [removed, added] = [[text for each in copy.changed for text in getattr(each, name)] for name in ("removed", "added")]
        return copy.receipt, removed, added

    other = note(place, f"Approved by Eve. SHA-256: {sealed.draft_hash}")
    assert await after(lambda blocks: blocks) == (True, [], [])
    assert await after(lambda blocks: [note(place, "more"), *blocks]) == (True, [], ["more"])
    assert await after(lambda blocks: [*blocks, note(place, "more")]) == (False, [], ["more"])
    assert await after(lambda blocks: blocks[:-2]) == (False, [], [])
    assert await after(lambda blocks: blocks[:-1]) == (False, [], [])
    assert await after(lambda blocks: [*blocks[:-1], other]) == (False, [], [])
    assert await after(lambda blocks: [*blocks[:-2], other]) == (False, [], [])
    receipt_kept, removed, added = await after(lambda blocks: blocks[1:])
    assert (receipt_kept, added) == (True, [])
    assert removed in (["## Problem"], ["h2. Problem"])


async def test_an_emptied_description(place: Place) -> None:
    sealed = place.seal(BUG)
    receipt = receipt_for(sealed, f"empty {place.project.form}")
    key = (await place.tracker.create(sealed, receipt)).key
    place.edit(key, description=None)
    copy = await place.tracker.read(key, sealed, receipt)
    assert (copy.ours, copy.receipt, [change.field for change in copy.changed]) == (True, False, ["description"])


async def test_a_ticket_without_a_body_has_the_receipt_alone(place: Place) -> None:
    sealed = place.seal(BUG.model_copy(update={"problem": ""}))
    receipt = receipt_for(sealed, f"bare {place.project.form}")
    key = (await place.tracker.create(sealed, receipt)).key
    copy = await place.tracker.read(key, sealed, receipt)
    assert (copy.ours, copy.receipt, copy.changed, copy.draft_hash) == (True, True, [], sealed.draft_hash)
    if place.project.form == "server":
        assert place.fields(key)["description"] == wiki.markup(receipt_blocks(receipt))


async def test_numbers_and_dates_come_back_as_they_went(server: Jira820) -> None:
    tracker = connect({"JIRA_URL": server.url, "JIRA_TOKEN": "t"})
    assert tracker
    draft = DRAFT.model_copy(
        update={"assignee": "U01", "epic_id": "OPS-1", "custom": {"Story Points": "3", "due date": "2026-12-31"}}
    )
    sealed = sealed_of(draft, jira820_server.PROJECT)
    receipt = receipt_for(sealed, "numbers")
    key = (await tracker.create(sealed, receipt)).key
    server.edit(key, **{jira820_server.POINTS: 3.0, "assignee": {"name": "u01"}})
    copy = await tracker.read(key, sealed, receipt)
    assert (copy.changed, copy.draft_hash) == ([], sealed.draft_hash)
    server.edit(key, **{jira820_server.POINTS: 3.5})
    copy = await tracker.read(key, sealed, receipt)
    assert [(one.field, one.removed, one.added) for one in copy.changed] == [(jira820_server.POINTS, ["3"], ["3.5"])]
    assert copy.draft_hash != sealed.draft_hash


async def test_a_document_with_a_fraction_in_it_can_be_compared(cloud: Jira) -> None:
    tracker = tracker_of(cloud)
    sealed = sealed_of(BUG, await tracker.describe("OPS"))
    receipt = receipt_for(sealed)
    key = (await tracker.create(sealed, receipt)).key
    media = {"type": "mediaSingle", "attrs": {"width": 66.67, "layout": "center"}, "content": []}
    cloud.edit(key, description={"type": "doc", "version": 1, "content": [media]})
    assert (await tracker.read(key, sealed, receipt)).draft_hash != sealed.draft_hash


@dataclass
class Filed:
    """A ticket in the simulator, and what is needed to look at it."""

    jira: Jira
    tracker: JiraTracker
    sealed: SealedTicket
    receipt: Receipt
    issue: Issue

    async def ours(self) -> bool:
        """Whether it is held for ours; it is found exactly if it is, and if nothing changed."""
        copy = await self.tracker.read(self.issue.key, self.sealed, self.receipt)
        found = await accepted(self.tracker, self.sealed, self.receipt)
        assert bool(found) == (copy.ours and not copy.changed)
        return copy.ours


@pytest.fixture
async def filed(cloud: Jira) -> Filed:
    tracker = tracker_of(cloud)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    receipt = receipt_for(sealed)
    issue = cloud.issue((await tracker.create(sealed, receipt)).key)
    return Filed(cloud, tracker, sealed, receipt, issue)


async def test_it_is_ours(filed: Filed) -> None:
    assert await filed.ours()
    assert filed.jira.count("GET", "myself") == 1


async def test_it_is_ours_without_a_property_if_we_made_it(filed: Filed) -> None:
    filed.issue.properties.clear()
    assert await filed.ours()
    filed.issue.fields["summary"] = "other"
    assert await filed.ours()


async def test_it_is_ours_if_the_maker_cannot_be_told_but_the_property_can(filed: Filed) -> None:
    del filed.issue.fields["creator"]
    for properties in (dict(filed.issue.properties), {}):
        filed.issue.properties = properties
        copy = await filed.tracker.read(filed.issue.key, filed.sealed, filed.receipt)
        assert copy.ours == bool(properties)


async def test_another_type_is_a_change(filed: Filed) -> None:
    before = filed.issue.fields["issuetype"]["id"]
    filed.issue.fields["issuetype"] = {"id": "77", "name": "Epic"}
    copy = await filed.tracker.read(filed.issue.key, filed.sealed, filed.receipt)
    assert [(change.field, change.removed, change.added) for change in copy.changed] == [("issuetype", [before], ["77"])]


async def test_the_order_of_labels_is_jiras(filed: Filed) -> None:
    filed.issue.fields["labels"].reverse()
    assert await filed.ours()
    assert (await filed.tracker.read(filed.issue.key, filed.sealed, filed.receipt)).changed == []


async def test_what_is_found_and_has_no_key_is_passed_over(filed: Filed) -> None:
    filed.jira.answer(200, {"issues": [{"key": "../myself", "fields": {}}, {"id": "1"}]}, path="search")
    asked = filed.jira.count("GET", "/issue/")
    assert await accepted(filed.tracker, filed.sealed, filed.receipt) is None
    assert filed.jira.count("GET", "/issue/") == asked


@pytest.mark.parametrize("what", ["maker", "label", "marker", "hash", "project"])
async def test_it_is_not_ours(filed: Filed, what: str) -> None:
    match what:
        case "maker":
            filed.issue.fields["creator"] = {"accountId": "ann", "displayName": "signoff-bot"}
        case "label":
            filed.issue.fields["labels"] = ["export", "api"]
        case "marker":
            filed.issue.properties["signoff"] = {"marker": "signoff-other", "draft_hash": filed.sealed.draft_hash}
        case "hash":
            filed.issue.properties["signoff"] = {"marker": filed.receipt.marker, "draft_hash": "0" * 64}
        case "project":
            filed.issue.fields["project"] = {"id": "9", "key": "DEV", "name": "DEV"}
    assert not await filed.ours()


async def test_of_two_that_qualify_none_is_found(filed: Filed) -> None:
    await filed.tracker.create(filed.sealed, filed.receipt)
    assert await accepted(filed.tracker, filed.sealed, filed.receipt) is None


async def test_somebodys_clone_is_passed_over(filed: Filed) -> None:
    made = filed.jira.add_issue("OPS", "Export fails", kind="Bug")
    made.fields = {**filed.issue.fields, "creator": {"accountId": "ann"}}
    made.properties = dict(filed.issue.properties)
    found = await accepted(filed.tracker, filed.sealed, filed.receipt)
    assert found
    assert found.ticket.key == filed.issue.key


async def test_another_approval_of_the_same_content_is_not_it(filed: Filed) -> None:
    other = receipt_for(filed.sealed, "another session")
    assert await accepted(filed.tracker, filed.sealed, other) is None
    assert not (await filed.tracker.read(filed.issue.key, filed.sealed, other)).ours


async def test_what_the_index_does_not_have_yet_is_not_found(cloud: Jira) -> None:
    cloud.index_lag = 60
    tracker = tracker_of(cloud)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    ticket = await tracker.create(sealed, receipt_for(sealed))
    assert await accepted(tracker, sealed, receipt_for(sealed)) is None
    assert (await tracker.read(ticket.key, sealed, receipt_for(sealed))).ours


async def test_a_type_without_labels_is_known_by_its_property_alone(cloud: Jira) -> None:
    cloud.remove_field("OPS", "labels")
    tracker = tracker_of(cloud)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    receipt = receipt_for(sealed)
    ticket = await tracker.create(sealed, receipt)
    assert cloud.issue(ticket.key).fields["labels"] == []
    assert await accepted(tracker, sealed, receipt) is None
    assert cloud.count("GET", "search") == 0
    assert (await tracker.read(ticket.key, sealed, receipt)).ours
    cloud.issue(ticket.key).properties.clear()
    assert not (await tracker.read(ticket.key, sealed, receipt)).ours


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("OPS12", "OPS-12"),
        ("OPS-0", "OPS-12"),
        ("../myself", "OPS-12"),
        ("", "OPS-12"),
        ("DEV-1", "DEV-1 is not in OPS"),
        ("https://elsewhere.example/browse/OPS-1", "no address of a ticket in this Jira"),
        ("{site}/secure/OPS-1", "no address of a ticket in this Jira"),
        ("{site}/browse/OPS-1/more", "OPS-12"),
    ],
)
async def test_keys_that_cannot_be(cloud: Jira, given: str, said: str) -> None:
    tracker = tracker_of(cloud)
    sealed = sealed_of(DRAFT, await tracker.describe("OPS"))
    before = len(cloud.requests)
    with pytest.raises(Refused, match=said) as raised:
        await tracker.read(given.format(site=cloud.url), sealed, receipt_for(sealed))
    assert not isinstance(raised.value, Missing)
    assert len(cloud.requests) == before


async def test_a_key_that_is_not_there(place: Place) -> None:
    sealed = place.seal(DRAFT)
    with pytest.raises(Missing):
        await place.tracker.read("OPS-99999", sealed, receipt_for(sealed))


# What follows


async def test_one_link_to_the_conversation(place: Place) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"link {place.project.form}")
    ticket = await place.tracker.create(sealed, receipt)
    for _ in range(2):
        await place.tracker.link(ticket, receipt)
    root = "rest/api/3" if place.project.form == "cloud" else "rest/api/2"
    [link] = await place.tracker._api.get(f"{root}/issue/{ticket.key}/remotelink")
    assert link["object"]["url"] == "https://s.example/p1"
    assert link["object"]["title"] == "The conversation in Slack"
    assert receipt.marker in link["globalId"]
    before = place.links(ticket.key)
    await place.tracker.link(ticket, receipt.model_copy(update={"thread": ""}))
    assert place.links(ticket.key) == before


async def test_one_comment_for_each_id(place: Place) -> None:
    sealed = place.seal(DRAFT)
    key = (await place.tracker.create(sealed, receipt_for(sealed, f"comment {place.project.form}"))).key
    for number in range(60):
        await place.tracker.comment(f"c{number}", key, "Ann", "[~bob] *look*")
    for number in (0, 59):
        await place.tracker.comment(f"c{number}", key, "Ann", "[~bob] *look*")
    place.proxy.plan("drop_reply", path="/comment$")
    with pytest.raises(Later):
        await place.tracker.comment("lost", key, "Bob", "once")
    await place.tracker.comment("lost", key, "Bob", "once")
    root = "rest/api/3" if place.project.form == "cloud" else "rest/api/2"
    said = await place.tracker._pages(f"{root}/issue/{key}/comment", "comments")
    texts = [adf.plain(one["body"]) if place.project.form == "cloud" else one["body"] for one in said]
    wanted = "\\[~bob] *look*" if place.project.form == "cloud" else "\\[&#126;bob\\] \\*look\\*"
    begun = sorted(text.split("\n\n")[0] for text in texts)  # jira820 orders those of one second by their ids' spelling
    assert begun == sorted([wanted] * 60 + ["once"])
    assert sum("Ann via Signoff" in text.split("\n\n")[1] for text in texts) == 60


async def test_a_comment_on_what_is_not_there(place: Place) -> None:
    with pytest.raises(Missing):
        await place.tracker.comment("c1", "OPS-99999", "Ann", "hi")


@pytest.mark.parametrize(
    "text", ["frobnicate", "FROBNICATE", 'frobnicate" OR project = "X', "frobnicate\\", "(frobnicate)* -?~{[!"]
)
async def test_looking_for_tickets_about_something(place: Place, text: str) -> None:
    sealed = place.seal(DRAFT.model_copy(update={"title": "Frobnicate the widget"}))
    receipt = receipt_for(sealed, f"search {text} {place.project.form}")
    ticket = await place.tracker.create(sealed, receipt)
    found = await place.tracker.search("OPS", text)
    assert 1 <= len(found) <= 10
    assert {one.title for one in found} == {"Frobnicate the widget"}
    assert found[0].url == f"{place.site}/browse/{found[0].key}"
    assert ticket.key.startswith("OPS-")


async def test_looking_for_nothing(cloud: Jira) -> None:
    assert await tracker_of(cloud).search("OPS", "?! -") == []
    assert cloud.requests == []


async def test_a_project_cannot_widen_a_query(cloud: Jira) -> None:
    with pytest.raises(Refused):
        await tracker_of(cloud).search('OPS" OR project != "X\\', "ab")
    assert cloud.requests[-1].query["jql"] == r'project = "OPS\" OR project != \"X\\" AND text ~ "ab"'


async def test_words_that_would_be_operators_are_words(cloud: Jira) -> None:
    await tracker_of(cloud).search("OPS", "NOT alpha OR beta) AND gamma")
    asked = [each.query["jql"] for each in cloud.requests if "jql" in each.query]
    wanted = ("alpha gamma beta", "alpha", "gamma", "beta")
    assert sorted(asked) == sorted(f'project = "OPS" AND text ~ "{words}"' for words in wanted)


async def test_a_text_cannot_widen_a_query(cloud: Jira) -> None:
    cloud.add_project("HR")
    cloud.add_issue("HR", "Widget secret", "Bug")
    cloud.add_issue("OPS", "Widget widening", "Bug")
    found = await tracker_of(cloud).search("OPS", 'widget" OR project = "HR')
    assert [one.title for one in found] == ["Widget widening"]


async def test_a_ticket_need_not_have_every_word(cloud: Jira) -> None:
    cloud.add_issue("OPS", "Timeout of the export", "Bug")
    cloud.add_issue("OPS", "Colours of the export", "Bug")
    found = await tracker_of(cloud).search("OPS", "The CSV export of reports fails with a timeout after 30 s")
    assert [one.title for one in found] == ["Timeout of the export", "Colours of the export"]


async def test_reads_that_fail_may_be_made_again(place: Place) -> None:
    sealed = place.seal(DRAFT)
    receipt = receipt_for(sealed, f"reads {place.project.form}")
    ticket = await place.tracker.create(sealed, receipt)
    for fault in ("drop_reply", "500", "garbage_before", "wrong_json", "html_403"):
        place.proxy.plan(fault, method="GET", path=f"/issue/{ticket.key}\\?")
        with pytest.raises(Later):
            await place.tracker.read(ticket.key, sealed, receipt)
    assert (await place.tracker.read(ticket.key, sealed, receipt)).ours
