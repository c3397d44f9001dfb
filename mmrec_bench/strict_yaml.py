"""Strict YAML text to plain data, with the line of every value.

Follows YAML 1.2's core schema where YAML 1.1 surprises people: ``1e-3`` is a number, ``no`` and ``2014-01-01`` text.
Duplicate keys, anchors, aliases, tags and deep nesting are errors.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import yaml

MAX_DEPTH = 50
"""A configuration nested deeper than this is a mistake."""

MAX_INT, MAX_DIGITS = 2**63 - 1, 400
"""Largest integer that numpy and torch hold, and letters of one, leading zeros among them."""

Location: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the top of a document to a value."""


class StrictYamlError(Exception):
    """Text that is no strict YAML; `line` is one-based."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message)


def parse(text: str) -> tuple[Any, dict[Location, int]]:
    """Return the data of the text, and the line of each value.

    Raises:
        StrictYamlError: The text is no strict YAML.
    """
    lines: dict[Location, int] = {}
    try:
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            return (None if node is None else _construct(node, (), lines)), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "cannot be parsed"
        if "\\t" in problem:
            problem += " (tabs are not allowed for indentation; use spaces)"
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise StrictYamlError(f"is not valid YAML: {problem}", line) from None
    except yaml.YAMLError as error:
        raise StrictYamlError(f"is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise StrictYamlError(f"is nested deeper than {MAX_DEPTH} levels") from None


def dump(data: Any) -> str:
    """Return plain data as YAML text that `parse` reads back unchanged."""
    return yaml.dump(data, Dumper=_StrictDumper, sort_keys=False, width=110)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that knows only the plain scalars of the core schema and refuses anchors."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            message = f"anchors and aliases are not allowed (found '{event.anchor}'); write the value out"
            raise StrictYamlError(message, event.start_mark.line + 1)
        return super().compose_node(parent, index)


class _StrictDumper(yaml.SafeDumper):
    """SafeDumper that also quotes text which only the core schema takes for a number, such as ``1e5``."""


_SCALARS = (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        "float",
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$",
        list("-+.0123456789"),
    ),
)
_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _SCALARS:
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
    _StrictDumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _whole(text: str, line: int) -> int:
    if len(text) > MAX_DIGITS or not -MAX_INT <= (number := int(text)) <= MAX_INT:
        raise StrictYamlError(f"{text[:40]!r} is too large: integers go from -(2**63 - 1) to 2**63 - 1", line)
    return number


def _construct(node: yaml.Node, path: Location, lines: dict[Location, int]) -> Any:
    """Build plain data from a node tree, refusing what a configuration has no use for."""
    line = node.start_mark.line + 1
    if len(path) > MAX_DEPTH:
        raise StrictYamlError(f"is nested deeper than {MAX_DEPTH} levels", line)
    lines[path] = line
    kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), str(node.value)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise StrictYamlError("a key must be plain text", key_line)
            key = str(key_node.value)
            if key in mapping:
                raise StrictYamlError(f"the key '{key}' is given twice", key_line)
            mapping[key] = _construct(value_node, (*path, key), lines)
        return mapping
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_construct(child, (*path, index), lines) for index, child in enumerate(node.value)]
    try:
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        if kind == "int":
            return _whole(text, line)
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (KeyError, ValueError):
        raise StrictYamlError(f"{text!r} is not a {kind}", line) from None
    raise StrictYamlError(f"the tag '{node.tag}' is not allowed", line)
