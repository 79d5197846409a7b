import io
import re
from typing import Any

import pytest
from rich.console import Console

from agent.cli.acts import Quit, Say, parse
from agent.cli.screen import render
from agent.operations import Operation
from agent.projects import Project
from agent.protocol import Decision, PreviewRequest, Reply
from agent.sealing import Destination, diff, seal
from skills.trackers.local import LocalRenderer
from tests.unit.test_sealing import DRAFT


def printed(show: dict[str, Any], width: int = 80) -> str:
    output = io.StringIO()
    Console(file=output, width=width, highlight=False).print(render(show))
    return output.getvalue()


def preview(**changed: Any) -> dict[str, Any]:
    sealed = seal(Destination(), LocalRenderer().render(DRAFT.model_copy(update=changed), Project(key="LOCAL")))
    before = seal(Destination(), LocalRenderer().render(DRAFT, Project(key="LOCAL"))).payload
    request = PreviewRequest(
        preview_id="p", draft_hash=sealed.draft_hash, version=2, sealed=sealed.payload, diff=diff(before, sealed.payload)
    )
    return {"kind": "preview", "session_id": "s", **request.model_dump()}


@pytest.mark.parametrize("width", [50, 80])
def test_the_card_cuts_no_long_word_and_tells_items_from_lines(width: int) -> None:
    long = "H" * 300 + "-THE-END"
    show = preview(priority=long, labels=["a, b", "c" * 200 + "-LAST"], epic_id=long, custom={"team": long}, assignee=long)
    joined = re.sub(r"[\s│]", "", printed(show, width))
    assert joined.count("-THE-END") == 8, "four in the card, four in what changed"
    assert joined.count("-LAST") == 2
    assert printed(preview(labels=["a, b"])) != printed(preview(labels=["a", "b"]))
    assert printed(preview(acceptance_criteria=["a\n• b"])) != printed(preview(acceptance_criteria=["a", "b"]))
    assert "a*b and 2*3=6" in printed({"kind": "say", "text": "a*b and 2*3=6"})


@pytest.mark.parametrize("width", [30, 80, 200])
def test_the_card_shows_everything_that_would_be_filed(width: int) -> None:
    show = preview(problem="word " * 400 + "END-OF-PROBLEM", acceptance_criteria=[f"criterion-{n}" for n in range(60)])
    text = printed(show, width)
    joined = "".join(text.split())
    for words in ("Exportfails", "END-OF-PROBLEM", "criterion-59", "Retry.", "latency", "storage", "slower", "whopays?"):
        assert words in joined
    for words in ("high", "export", "bob", "OPS-1", "blue", "bug", show["draft_hash"][:8]):
        assert words in joined


def test_what_people_write_is_not_read_as_markup() -> None:
    text = printed(preview(title="[red]x[/red] [link=evil]y[/link]", problem="[bold]"))
    assert "[red]x[/red] [link=evil]y[/link]" in text
    assert "[bold]" in text
    assert "[red]no[/red]" in printed({"kind": "say", "text": "[red]no[/red]"})


def test_changes_are_named_with_words() -> None:
    text = printed(preview(title="New"))
    assert "Title: removed  Export fails" in text
    assert "Title: added    New" in text


def test_an_unknown_show_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing is known of a poem"):
        printed({"kind": "poem"})


@pytest.mark.parametrize(
    ("line", "act"),
    [
        ("hello", Reply(text="hello", by="ann")),
        (" /etc is full", Reply(text=" /etc is full", by="ann")),
        ("/approve", Decision(type="approve", by="ann")),
        ("/approve  ABCDEF01 ", Decision(type="approve", draft_hash="abcdef01", by="ann")),
        ("/reject no good", Decision(type="reject", reason="no good", by="ann")),
        ("/show", Reply(text="show", show=True, by="ann")),
        ("/quit", Quit()),
        (
            "/edit acceptance criteria=a\nb",
            Reply(
                text="/edit acceptance criteria=a\nb",
                by="ann",
                edits=[Operation(field="acceptance_criteria", value=["a", "b"])],
            ),
        ),
        ("/edit title=a=b", Reply(text="/edit title=a=b", by="ann", edits=[Operation(field="title", value=["a=b"])])),
    ],
)
def test_lines_are_read_as_acts(line: str, act: object) -> None:
    assert parse(line, "ann") == act


@pytest.mark.parametrize("line", ["/", "/approved", "/edit =x", "/approve 123", "/ approve"])
def test_lines_that_are_no_act_are_answered(line: str) -> None:
    assert isinstance(parse(line, "ann"), Say)
