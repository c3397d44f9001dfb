"""Strict configs: every error of a file at once, with path, line, value and the nearest valid name."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field, PlainValidator, PositiveInt, ValidationError

from mmrec_bench.errors import ConfigError
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, named, parse_yaml


class Shape(BaseConfig):
    name: str


class Circle(Shape):
    name: Literal["circle"] = "circle"
    radius: Annotated[float, Field(gt=0)] = 1.0


class Square(Shape):
    name: Literal["square"] = "square"
    side: PositiveInt = 1


SHAPES: Registry[type[Shape]] = Registry("shape")
SHAPES.register("circle", Circle)
SHAPES.register("square", Square)


class Inner(BaseConfig):
    n_layers: PositiveInt = 2
    learning_rate: float = 1e-3
    cutoffs: tuple[int, ...] = (10,)
    mode: Literal["a", "b"] = "a"


class Outer(BaseConfig):
    inner: Inner = Inner()
    flag: bool = False
    shape: Annotated[Shape, PlainValidator(named(lambda: SHAPES, Shape, lambda entry: entry))] = Circle()


def errors(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "file.yaml").parse(Outer)
    return caught.value


def test_all_errors_of_a_file_come_at_once_with_their_lines() -> None:
    error = errors(
        "inner:\n  n_layer: 3\n  learning_rate: '1e-3'\n  cutoffs: [1, 2.5]\n  mode: c\nflag: 1\n"
        "shape: {name: circle, radius: -1}\n"
    )
    found = {issue.path: issue for issue in error.issues}
    assert set(found) == {
        "inner.n_layer",
        "inner.learning_rate",
        "inner.cutoffs[1]",
        "inner.mode",
        "flag",
        "shape.radius",
    }
    assert [found[path].line for path in ("inner.n_layer", "inner.cutoffs[1]", "flag", "shape.radius")] == [2, 4, 6, 7]
    assert "did you mean 'n_layers'?" in found["inner.n_layer"].message
    assert "got 'c'" in found["inner.mode"].message
    assert "greater than 0; got -1" in found["shape.radius"].message
    assert str(error).startswith("file.yaml: 6 errors")


@pytest.mark.parametrize("value", ["true", "2.0", "'2'", "no", "[2]", "null", "0", "-1", "1e1"])
def test_types_are_not_coerced(value: str) -> None:
    assert errors(f"inner: {{n_layers: {value}}}").issues[0].path == "inner.n_layers"


def test_floats_must_be_finite() -> None:
    for value in (".nan", ".inf", "1e999"):
        assert "finite" in errors(f"inner: {{learning_rate: {value}}}").issues[0].message


def test_an_integer_is_a_float_and_a_list_is_a_tuple() -> None:
    parsed = parse_yaml("inner: {learning_rate: 1, cutoffs: [5, 10]}", "x").parse(Outer)
    assert parsed.inner.learning_rate == 1.0
    assert parsed.inner.cutoffs == (5, 10)


def test_named_configs_take_a_name_or_a_mapping_and_explain_unknown_names() -> None:
    assert parse_yaml("shape: square", "x").parse(Outer).shape == Square()
    assert parse_yaml("shape: {name: square, side: 3}", "x").parse(Outer).shape == Square(side=3)
    assert "unknown shape 'sqare'; did you mean 'square'?" in errors("shape: sqare").issues[0].message
    assert "needs a name" in errors("shape: {side: 3}").issues[0].message
    assert "needs a name" in errors("shape: 7").issues[0].message


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Inner().n_layers = 3  # type: ignore[misc]


def test_overrides_apply_and_are_checked_like_the_file() -> None:
    document = parse_yaml("inner: {n_layers: 1}\nshape: square", "x")
    parsed = document.with_overrides(["inner.n_layers=3", "shape.side=2", "flag=true"]).parse(Outer)
    assert (parsed.inner.n_layers, parsed.shape, parsed.flag) == (3, Square(side=2), True)
    assert document.parse(Outer).inner.n_layers == 1
    for assignment, message in (
        ("inner.n_layrs=3", "did you mean 'n_layers'"),
        ("inner.n_layers", "needs KEY.KEY=VALUE"),
        ("=3", "needs KEY.KEY=VALUE"),
        ("inner.n_layers.deep=3", "not a mapping"),
        ("inner.n_layers=[", "not valid YAML"),
        ("inner.n_layers=x", "valid integer"),
    ):
        with pytest.raises(ConfigError, match=message):
            document.with_overrides([assignment]).parse(Outer)


class _Listed(BaseConfig):
    names: Annotated[tuple[str, ...], Field(min_length=1)]


class _Outer(BaseConfig):
    inner: _Listed | None = None
    rows: tuple[_Listed, ...] = ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("inner: a", "inner: needs a mapping of keys to values, of names; got 'a' (line 1)"),
        ("inner: [a, [1, true]]", "inner: needs a mapping of keys to values, of names; got ['a', [1, True]] (line 1)"),
        ("rows: [{names: [a]}, b]", "rows[1]: needs a mapping of keys to values, of names; got 'b' (line 1)"),
        ("inner: {names: a}", "inner.names: needs a list; got 'a' (line 1)"),
        ("inner: {names: {a: 1}}", "inner.names: needs a list; got a mapping (line 1)"),
        ("inner: {names: []}", "inner.names: needs at least 1 item(s); got an empty list (line 1)"),
    ],
)
def test_what_a_list_or_mapping_should_have_been(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml").parse(_Outer)
    assert [str(issue) for issue in caught.value.issues] == [told]


@pytest.mark.parametrize(("text", "told"), [("", "the file is empty"), ("[a]", "got ['a']"), ("a", "got 'a'")])
def test_a_document_that_is_no_mapping_is_shown(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        parse_yaml(text, "f.yaml")
