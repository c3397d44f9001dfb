"""What strangers write is shown as it is, and controls nothing."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError

from mmrec_bench.cli.app import main
from mmrec_bench.leaderboard.findings import Findings
from mmrec_bench.leaderboard.words import EntryName, one_line, plain


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1bb", "\u202e", "<b>", "a > b", "\u2800", "\u3164", "\xad", "a\ufe0f", "a\U000e0101"]
)
def test_lines_hold_neither_markup_nor_what_is_not_to_be_seen(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        one_line(text)


@pytest.mark.parametrize("text", ["", "  ", "| -- |", "..."])
def test_names_hold_a_letter_or_a_digit(text: str) -> None:
    assert one_line(text) == text
    with pytest.raises(PydanticCustomError, match="must hold a letter or a digit"):
        plain(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" ease", "one plain blank between them"),
        ("ease ", "one plain blank between them"),
        ("ease  2", "one plain blank between them"),
        ("ease\u20032", "one plain blank between them"),
        ("ease\xa02", "one plain blank between them"),
        ("Mu\u0308ller", "as in Unicode NFC"),
        ("\u212b", "as in Unicode NFC"),
        ("m\u0300\u0489\u0300", "may hold 2 marks on a letter"),
        ("m" + "\u0489" * 95, "may hold 2 marks on a letter"),
    ],
)
def test_names_that_look_like_others_are_refused(text: str, reason: str) -> None:
    assert one_line(text) == text
    with pytest.raises(PydanticCustomError, match=reason):
        plain(text)


@pytest.mark.parametrize("text", ["EASE (\u03bb = 250)", "M\u00fcller, 2 seeds", "\u63a8\u85a6", "\u0e17\u0e35\u0e48"])
def test_names_of_all_scripts_are_allowed(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("name", ["con", "nul.v2", "aux", "com1", "lpt9.x", "index", "index.html", "a.html", "a.."])
def test_entries_have_names_that_files_can_have(name: str) -> None:
    with pytest.raises(ValueError, match=r"ends in '.' or '.html', or is a name"):
        TypeAdapter(EntryName).validate_python(name)


@pytest.mark.parametrize("name", ["console", "v1.0", "com", "com10", "indexed", "a.htm", "freedom-five-seeds"])
def test_other_names_of_entries_are_allowed(name: str) -> None:
    assert TypeAdapter(EntryName).validate_python(name) == name


def test_messages_of_checks_are_visible_and_short() -> None:
    findings = Findings()
    findings.fail("card", "a\x1b", "b\n" * 400)
    findings.flag("gap", "\u202e", "x" * 5000)
    findings.passed("tier", "\x07")
    told = [check.message for check in findings.checks]
    assert told[0].startswith(r"a\x1b: b\nb\n")
    assert told[1].startswith(r"\u202e: xxx")
    assert told[2] == r"\x07"
    assert [len(message) for message in told[:2]] == [1000, 1000]
    assert told[1].endswith("x\u2026")


def test_errors_of_commands_control_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["mmrec-bench", "card", "no-\x1b[2J\u202erun"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert r"no-\x1b[2J\u202erun" in told
    assert "\x1b" not in told
