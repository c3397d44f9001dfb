"""Strict YAML: what people write is what they get, and bad text is one clear error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_bench.errors import ConfigError
from mmrec_bench.settings import MAX_BYTES, Document, load_yaml, parse_yaml
from mmrec_bench.strict_yaml import StrictYamlError, dump, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        ("-2", -2),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("null", None),
        ("2014-01-01", "2014-01-01"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("'1'", "1"),
        ("[1, 2]", [1, 2]),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    data, _ = parse(text)
    assert data == value
    assert type(data) is type(value)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: 1\nb:\n\t- 2", "tabs are not allowed", 3),
        ("a: 1\na: 2", "given twice", 2),
        ("a: &x 1\nb: *x", "anchors and aliases", 1),
        ("a: *x", "anchors and aliases", 1),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML|not allowed", 1),
        ("a: !mine x", "tag", 1),
        ("? [1, 2]\n: 3", "key must be plain text", 1),
        ("a: b: c", "not valid YAML", 1),
        ("a\n---\nb", "another document", None),
        ("a: \x00", "not valid YAML", None),
        ("[" * 100_000, "deeper", None),
        ("a: 1\nb: 9223372036854775808", "'9223372036854775808' is too large", 2),
        ("a: -9223372036854775808", "is too large", 1),
        (f"a: 1{'0' * 100_000}", "is too large", 1),
    ],
)
def test_bad_text_is_refused(text: str, message: str, line: int | None) -> None:
    with pytest.raises(StrictYamlError, match=message) as caught:
        parse(text)
    if line is not None:
        assert caught.value.line in (line, None)


def test_anchor_bomb_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(ConfigError, match="anchors"):
        parse_yaml(bomb, "bomb.yaml")


def test_lines_point_at_values() -> None:
    _, lines = parse("a:\n  b: 1\n  c:\n    - 2\n")
    assert lines[("a", "b")] == 2
    assert lines[("a", "c", 0)] == 4


def test_files_that_cannot_be_read(tmp_path) -> None:
    for name, content, message in (
        ("missing.yaml", None, "no such file"),
        ("latin.yaml", "a: é".encode("latin-1"), "not UTF-8"),
        ("large.yaml", b"#" * (MAX_BYTES + 1), "too large"),
        ("list.yaml", b"- 1", "must be a mapping"),
        ("empty.yaml", b"", "must be a mapping"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            load_yaml(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path)


@settings(max_examples=300)
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_random_text_loads_or_fails_cleanly(text: str) -> None:
    try:
        outcome: object = parse_yaml(text, "random.yaml")
    except ConfigError as error:
        outcome = error
    assert "random.yaml" in (outcome.source if isinstance(outcome, Document) else str(outcome))


words = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["1e5", "no", "1_0", "~", ".5", "0x1", ".nan", "1:30", "a: b"]
)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False) | words,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(words, children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(words, json_like, max_size=4))
def test_what_is_dumped_reads_back_equal(data: dict[str, object]) -> None:
    assert parse_yaml(dump(data), "dump.yaml").data == data
