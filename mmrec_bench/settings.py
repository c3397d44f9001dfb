"""Strict configuration: documents to frozen pydantic objects, with all errors of a file reported at once."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmrec_bench import strict_yaml
from mmrec_bench.errors import ConfigError, ConfigIssue, MMRecBenchError, RegistryError
from mmrec_bench.registry import Registry, nearest
from mmrec_bench.strict_yaml import Location, StrictYamlError
from mmrec_bench.visible_text import is_hidden

MAX_BYTES = 1 << 20
"""A configuration larger than this is a mistake."""


C = TypeVar("C", bound="BaseConfig")


class BaseConfig(BaseModel):
    """Every configuration object: unknown keys are errors, values are frozen, types are not coerced."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @classmethod
    def others_with(cls, key: str) -> list[str]:
        """Return the names of what reads a key that this one does not know, for messages."""
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[C]) -> C:
        """Read YAML lists as tuples; name the nearest valid key for an unknown one, and the value for a bad one."""
        if isinstance(data, Mapping):
            data = {key: _frozen(value) for key, value in data.items()}
        try:
            return handler(data)
        except ValidationError as error:
            lines = error.errors(include_url=False)
            details = [_explained(cls, line) for line in lines if not _follows(line, lines)]
            raise ValidationError.from_exception_data(cls.__name__, details) from None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _follows(line: Any, lines: Sequence[Any]) -> bool:
    """Whether an error only follows from others: a sequence is too short because its items were refused."""
    below = (other["loc"] for other in lines if len(other["loc"]) > len(line["loc"]))
    return line["type"] == "too_short" and any(place[: len(line["loc"])] == line["loc"] for place in below)


def _explained(cls: type[BaseConfig], line: Any) -> InitErrorDetails:
    location, message = line["loc"], line["msg"]
    if line["type"] == "extra_forbidden" and len(location) == 1:
        known = sorted(cls.model_fields)
        close = nearest(str(location[0]), known)
        message = "unknown key;" + (f" did you mean '{close}'?" if close else "") + f" known: {', '.join(known)}"
        if others := cls.others_with(str(location[0])):
            message += f"; read by {', '.join(others)}"
    elif line["type"] == "missing":
        message = "required, but missing"
    elif line["type"] != "explained":
        if line["type"] == "model_type":
            keys = "" if location else f", of {', '.join(cls.model_fields)}"
            message = f"needs a mapping of keys to values{keys}"
        elif line["type"] == "dict_type":
            message = "needs a mapping of keys to values"
        elif line["type"] == "tuple_type":
            message = "needs a list"
        elif line["type"] == "too_short":
            message = f"needs at least {line['ctx']['min_length']} item(s)"
        shown = _shown(line["input"])
        message = f"{message[:1].lower()}{message[1:]}; got {shown[:80] + '…' if len(shown) > 80 else shown}"
    kind = PydanticCustomError("explained", "{message}", {"message": message})
    return InitErrorDetails(type=kind, loc=location, input=line["input"])


def _shown(value: Any) -> str:
    """Return a value as a message shows it: lists as they were written, mappings by their kind."""
    if isinstance(value, (dict, BaseModel)):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(item) for item in value)}]" if value else "an empty list"
    return "nothing" if value is None else repr(value)


def _seen_line(text: str) -> str:
    if not text.strip():
        raise explained_error("needs letters; got none. Remove it, or fill it in")
    return seen(text)


def seen(text: str) -> str:
    """Return the text if it is of one line, and nothing in it controls what stands around it; for use in validators."""
    for letter in filter(is_hidden, text):
        name = unicodedata.name(letter, f"character {ord(letter):#x}")
        raise explained_error(f"must be one line without control characters; got {text[:80]!r}, which has {name}")
    return text


def explained_error(message: str) -> PydanticCustomError:
    """Return an error for use inside validators whose message is shown as it is."""
    return PydanticCustomError("explained", "{message}", {"message": message})


def of_form(pattern: str, words: str) -> AfterValidator:
    """Return a validator of texts that match a pattern as a whole; it says in words what such texts are."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if form.fullmatch(text) is None:
            raise explained_error(f"needs {words}; got {text[:80]!r}")
        return text

    return AfterValidator(check)


Slug = Annotated[
    str,
    of_form(
        r"[a-z0-9][a-z0-9._-]{0,63}",
        "1 to 64 lower-case letters, digits, '.', '_' and '-', the first a letter or digit",
    ),
]
"""A name in paths: lower-case letters, digits, ``.``, ``_`` and ``-``."""

SeenLine = Annotated[str, AfterValidator(_seen_line)]
"""One line that people can read, such as a heading: nothing in it controls a terminal, or cannot be drawn."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turn our errors into such as validators raise; a heading of their own would stand inside a line of an issue."""
    try:
        yield
    except ConfigError as error:
        raise explained_error(f"{error.source}: {'; '.join(map(str, error.issues))}") from None
    except MMRecBenchError as error:
        raise explained_error(str(error)) from None


def check_unique(field: str, values: Sequence[object]) -> None:
    """Refuse values of a field that repeat; for use inside validators."""
    if len(set(values)) != len(values):
        raise explained_error(f"{field} must not repeat; got {list(values)}")


def check_rising(field: str, values: Sequence[float]) -> None:
    """Refuse numbers of a field that do not rise; for use inside validators."""
    if list(values) != sorted(set(values)):
        raise explained_error(f"{field} must rise without repeats; got {list(values)}")


def named(
    registry: Callable[[], Registry[Any]], base: type[C], config_of: Callable[[Any], type[C]]
) -> Callable[[Any], C]:
    """Return a validator that turns ``NAME`` or ``{name: NAME, ...}`` into the config class registered under it.

    Args:
        registry: Returns the registry; a function, so that plug-ins are imported only when a config is read.
        base: Common base class of the configs; instances pass through.
        config_of: Gives the config class of a registry entry.
    """

    def validate(value: Any) -> C:
        if isinstance(value, base):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping) or "name" not in value:
            raise explained_error(f"needs a name, or a mapping with the key 'name'; got {_shown(value)[:80]}")
        if not isinstance(value["name"], str):
            raise explained_error(f"name: needs text; got {_shown(value['name'])[:80]}")
        try:
            entry = registry()[value["name"]]
        except RegistryError as error:
            raise explained_error(str(error)) from None
        return config_of(entry).model_validate(dict(value))

    return validate


@dataclass(frozen=True)
class Document:
    """A parsed YAML file.

    Attributes:
        source: File name or description, for messages.
        data: The mapping of the file.
        lines: One-based line of each path; None for values from the command line.
    """

    source: str
    data: dict[str, Any]
    lines: Mapping[Location, int | None] = field(default_factory=dict)

    def parse(self, config: type[C]) -> C:
        """Validate the document.

        Raises:
            ConfigError: All issues of the document, each with its path and line.
        """
        try:
            return config.model_validate(self.data)
        except ValidationError as error:
            issues = [
                ConfigIssue(dotted(line["loc"]), line["msg"], self._line(line["loc"]))
                for line in error.errors(include_url=False)
            ]
            raise ConfigError(self.source, issues) from None

    def with_overrides(self, assignments: Sequence[str]) -> Document:
        """Return a copy in which ``a.b=c`` assignments are applied; values are read as YAML.

        Raises:
            ConfigError: An assignment is malformed or goes through a value that is no mapping.
        """
        data = json.loads(json.dumps(self.data))
        lines: dict[Location, int | None] = dict(self.lines)
        for assignment in assignments:
            key, separator, text = assignment.partition("=")
            parts = key.strip().split(".")
            if not separator or not all(parts):
                issue = ConfigIssue("--set", f"needs KEY.KEY=VALUE, such as model.n_layers=3; got '{assignment}'")
                raise ConfigError(self.source, [issue])
            value = parse_yaml(text, f"--set {assignment}", mapping=False).data["value"]
            node = data
            for depth, part in enumerate(parts[:-1]):
                child = node.get(part)
                if isinstance(child, str):  # `split: random-811` is short for `split: {name: random-811}`
                    child = {"name": child}
                elif child is None:
                    child = {}
                elif not isinstance(child, dict):
                    path = ".".join(parts[: depth + 1])
                    issue = ConfigIssue(path, f"is {child!r}, not a mapping; --set {assignment} cannot go into it")
                    raise ConfigError(self.source, [issue])
                node[part] = child
                node = child
            node[parts[-1]] = value
            lines[tuple(parts)] = None  # it came from the command line, whatever line its neighbours have
        return Document(self.source, data, lines)

    def _line(self, location: Location) -> int | None:
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return None


def dotted(location: Location) -> str:
    """Return ``a.b[2]`` for ``("a", "b", 2)``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load_yaml(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: The file is missing, unreadable, too large, not UTF-8, or not a strict YAML mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                str(path), [ConfigIssue("", f"is larger than {MAX_BYTES} bytes, too large for a configuration")]
            )
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(str(path), [ConfigIssue("", "no such file")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [ConfigIssue("", f"is not UTF-8 text: byte {error.start}")]) from None
    except OSError as error:
        raise ConfigError(str(path), [ConfigIssue("", f"cannot be read: {error.strerror}")]) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str, *, mapping: bool = True) -> Document:
    """Parse YAML text strictly.

    Args:
        text: The text.
        source: Where it comes from, for messages.
        mapping: Whether the top must be a mapping; if not, the value is returned under the key ``value``.

    Raises:
        ConfigError: The text is no strict YAML.
    """
    try:
        data, lines = strict_yaml.parse(text)
    except StrictYamlError as error:
        raise ConfigError(source, [ConfigIssue("", str(error), error.line)]) from None
    if not mapping:
        return Document(source, {"value": data}, lines)
    if not isinstance(data, dict):
        got = "nothing: the file is empty" if data is None else _shown(data)[:80]
        raise ConfigError(source, [ConfigIssue("", f"must be a mapping of keys to values; got {got}")])
    return Document(source, data, lines)
