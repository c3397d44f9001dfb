"""Families of cards: one template for every category that a publisher offers, such as ``amazon-2023:All_Beauty``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.registry import unknown_message
from mmrec_bench.resources import find_yaml, names
from mmrec_bench.settings import BaseConfig, Document, load_yaml, of_form

Category = Annotated[
    str,
    of_form(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}", "1 to 64 letters of English, digits and '_', the first no '_'"),
]
BETWEEN = ":"


class Family(BaseConfig):
    """Cards that differ by a category alone."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    title: str
    """Name for people."""
    categories: Annotated[tuple[Category, ...], Field(min_length=1)]
    """What the publisher calls its categories, in the names of its files."""
    card: Mapping[str, Any]
    """The card, in which ``{category}`` stands for the category, and ``{category_in_words}`` for the same with spaces.
    Its name is made of family and category."""


def is_of_family(name: str) -> bool:
    """Whether a name is one of a card of a family."""
    return BETWEEN in name and not name.endswith((".yaml", ".yml"))


def family_names() -> tuple[str, ...]:
    """Return the names of all families, sorted."""
    return names("datasets/families")


def load_family(name: str) -> Family:
    """Return a family by its name.

    Raises:
        ConfigError: No such family, or all that is wrong with it.
    """
    return load_yaml(find_yaml("datasets/families", name)).parse(Family)


def card_document(name: str) -> Document:
    """Return the card of a name such as ``amazon-2023:All_Beauty``, not parsed yet.

    Raises:
        ConfigError: No such family, or it has no such category; names the nearest.
    """
    family, _, category = name.partition(BETWEEN)
    found = load_family(family)
    if category not in found.categories:
        raise ConfigError(name, [ConfigIssue("", unknown_message(f"category of {family}", category, found.categories))])
    card = {"name": card_name(family, category), **_filled(found.card, category)}
    return Document(name, card)


def card_name(family: str, category: str) -> str:
    """Return the name of a card, by which its folders are called: ``amazon-2023-all-beauty``."""
    return f"{family}-{category.lower().replace('_', '-')}"


def _filled(value: Any, category: str) -> Any:
    """Return a value with the category in its place in all texts."""
    if isinstance(value, str):
        return value.replace("{category}", category).replace("{category_in_words}", category.replace("_", " "))
    if isinstance(value, Mapping):
        return {_filled(key, category): _filled(inner, category) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(inner, category) for inner in value]
    return value
