"""Quotes are found as whole words, and what is denied is not said."""

import time

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
        ("*the export* fails", "the export fails", "the export* fails"),
        ("the _export_ `fails`", "export fails", "export_ `fails"),
        ("wait… then fail", "wait... then", "wait… then"),
        ("l'export échoue", "export échoue", "export échoue"),
        ("ส่งออกล้มเหลว", "ล้มเหลว", "ล้มเหลว"),
        ("use ```code``` here", "```", "```"),
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
        ("about (-5) degrees", "5"),
        ("x = -5", "5"),
        ("\u22125 degrees", "5"),
        ("5 000 users", "5"),
        ("5 000 users", "000 users"),
        ("10\u202f000 users", "10"),
        ("5'000 users", "5"),
        ("1/2 of them", "2"),
        ("5e-3 seconds", "3"),
        ("< 5 ms", "5 ms"),
        ("we don't export", "don"),
        ("it's down", "s down"),
        ("order_id", "order"),
        ("किताबें", "किताब"),
        ("a " * 200 + "b", "a c"),
    ],
)
def test_half_a_word_or_a_number_is_no_quote(text: str, quote: str) -> None:
    assert find(text, quote) is None


def test_a_value_is_said_whatever_punctuation_is_around_it() -> None:
    assert said_at("the export, it fails!", "it fails.") == (12, 20)
    assert said_at("the export fails", "the import fails") is None
    assert said_at("???", "?") == (0, 1)


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
        ("this is *not* urgent", "urgent", False),
        ("this is not _urgent_", "urgent", False),
        ('this is not "urgent"', "urgent", False),
        ("a non-urgent thing", "urgent", False),
        ("I don't think it's urgent", "urgent", False),
        ("I don't think it's a bug", "bug", False),
        ("not at all urgent", "urgent", False),
        ("nobody says it's urgent", "urgent", False),
        ("no es muy urgente", "urgente", False),
        ("it isnt urgent", "urgent", False),
        ("hardly urgent", "urgent", False),
        ("het is niet dringend", "dringend", False),
        ("不是紧急", "紧急", False),
        ("緊急ではない", "緊急", False),
        ("dringend ist es nicht", "dringend", False),
        ("~use SSL~ use TLS", "use SSL", False),
        ("it does not work in Safari", "Safari", True),
        ("never happens on production", "production", True),
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


def test_a_long_quote_in_a_long_text_is_found_soon() -> None:
    text, began = "a " * 10_000, time.process_time()
    for length in (100, 1_000, 5_000):
        assert find(text, "a " * length + "b") is None
    assert find(text, "a " * 5_000) is not None
    assert time.process_time() - began < 5, "it is minutes if each start is tried in full"
