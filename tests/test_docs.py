"""The docs name what is there, and their pictures are the program's."""

import re
import subprocess
from pathlib import Path

import pytest

from agent.cli import main
from agent.studio import graph
from tests.protocol import drawing

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_picture_of_the_graph_is_the_graph() -> None:
    assert (ROOT / "docs" / "graph.mmd").read_text() == graph.get_graph().draw_mermaid(), "run scripts/pictures.py"


def test_the_pictures_of_the_protocol_are_its_tables() -> None:
    document = drawing.DOCUMENT.read_text()
    assert document == drawing.with_drawing(document), "run scripts/pictures.py"


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{one.name}" for one in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for link in re.findall(r"\]\((?!https:)([^)#]+)[^)]*\)", path.read_text()):
        assert (path.parent / link).exists(), link


def test_each_promise_names_tests_that_exist() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", README)
    assert len(named) >= 8
    for test, file in named:
        assert re.search(rf"def {test}\(", (ROOT / file).read_text()), test


def test_each_claim_about_security_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    named = [
        (re.findall(r"`(test_\w+)`", tests), file)
        for tests, file in re.findall(r"((?:`test_\w+`[ ,\n]*)+)\(?(tests/[\w/]+\.py)", text)
    ]
    assert sum(len(tests) for tests, _ in named) == len(re.findall(r"`test_\w+`", text)) >= 40
    for tests, file in named:
        for test in tests:
            assert re.search(rf"def {test}\(", (ROOT / file).read_text()), f"{test} in {file}"
    for conversation in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text):
        assert (ROOT / "tests" / "conversations" / f"{conversation}.jsonl").exists(), conversation


def test_files_of_the_architecture_exist() -> None:
    for file in re.findall(
        r"`((?:agent|skills|persistence|slack_adapter)/[\w/]+\.py)`", (ROOT / "docs" / "architecture.md").read_text()
    ):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("words", [["--help"], ["chat", "--help"], ["tickets", "--help"], ["--version"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "signoff" in capsys.readouterr().out


def test_nothing_committed_names_a_registry_or_an_address_to_install_from() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for file in [one for one in tracked if one.startswith("requirements")]:
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (ROOT / file).read_text()), file
