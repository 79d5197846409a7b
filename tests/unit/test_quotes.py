"""Quotes are found as whole words, and what is denied is not said."""

import pytest

from agent.operations import Operation, Source, evidence_for
from agent.quotes import find, said_at


@pytest.mark.parametrize(
    ("text", "quote", "there"),
    [
        ("It fails in Safari.", "fails in Safari", "fails in Safari"),
        ("It fails\n  in   Safari.", "fails in safari", "fails\n  in   Safari"),
        ("He said “it’s broken”", '"it\'s broken"', "“it’s broken”"),
        ("Le café est fermé", "cafe\u0301 est", "café est"),
        ("エクスポートが失敗します", "が失敗", "が失敗"),
        ("내보내기가 실패합니다", "실패합니다", "실패합니다"),
        ("a.b(c)[0] \\d+ $^", "(c)[0] \\d+", "(c)[0] \\d+"),
        ("carried: cart, then car", "car", "car"),
    ],
)
def test_a_quote_stands_in_its_message(text: str, quote: str, there: str) -> None:
    start, words = find(text, quote) or (-1, "")
    assert words == there
    assert text[start : start + len(there)] == there


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("It fails in Safari.", "fails in Firefox"),
        ("It fails in Safari.", "in fails"),
        ("It fails.", ""),
        ("It fails.", "  \n"),
        ("unavailable", "available"),
        ("It takes 30 seconds", "3"),
        ("It takes 30 seconds", "0 seconds"),
        ("It takes 1.5 seconds", "5 seconds"),
        ("It takes 1.5 seconds", "It takes 1"),
        ("at -5 degrees", "5 degrees"),
        ("1,500 users", "500 users"),
        ("versions 10-20", "20"),
    ],
)
def test_half_a_word_or_a_number_is_no_quote(text: str, quote: str) -> None:
    assert find(text, quote) is None


def test_a_value_is_said_whatever_punctuation_is_around_it() -> None:
    assert said_at("the export, it fails!", "it fails.") == 12
    assert said_at("the export fails", "the import fails") is None
    assert said_at("???", "?") == 0


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("this is not urgent", "urgent", False),
        ("this isn't urgent", "urgent", False),
        ("this isn’t really urgent", "urgent", False),
        ("it does not export invoices", "export invoices", False),
        ("das ist nicht dringend", "dringend", False),
        ("ce n'est pas urgent", "urgent", False),
        ("no es urgente", "urgente", False),
        ("not now, it is urgent", "urgent", True),
        ("Why not? Urgent!", "Urgent", True),
        ("this is not\nurgent", "urgent", True),
        ("this is not urgent", "not urgent", True),
        ("I do not know why the export fails", "the export fails", True),
    ],
)
def test_what_is_denied_is_not_said(text: str, value: str, said: bool) -> None:
    source = Source(id="1", author="ann", text=text)
    for quote in ("", value, text):
        assert (evidence_for(Operation(field="title", quote=quote), value, source) is not None) == said


def test_a_type_is_said_by_name_or_by_what_it_is_about() -> None:
    def says_bug(text: str) -> bool:
        return evidence_for(Operation(field="issue_type", quote=text), "bug", Source(id="1", text=text)) is not None

    assert says_bug("file it as a bug")
    assert says_bug("the export crashes")
    assert not says_bug("this is not a bug")
    assert not says_bug("please add an export")
