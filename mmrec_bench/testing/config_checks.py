"""Checks of a model's config: strictness, presets, names, documentation."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import yaml

from mmrec_bench.errors import ConfigError
from mmrec_bench.settings import BaseConfig, Document, parse_yaml
from mmrec_bench.testing.subjects import Subject, fail, require

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        alias: name
        for name, aliases in {
            "embedding_dim": "embedding_size emb_size emb_dim embed_dim latent_dim n_factors factors dim",
            "n_layers": "n_ui_layers num_layers layers n_hops n_ui_layer layer_num",
            "learning_rate": "lr learner_rate",
            "weight_decay": "wd l2_decay",
            "batch_size": "train_batch_size bs",
            "max_epochs": "epochs n_epochs num_epochs max_epoch",
            "patience": "stopping_step early_stop early_stopping",
            "temperature": "tau temp",
            "dropout": "drop_rate dropout_rate dropout_prob p_drop drop_prob",
            "n_neighbors": "knn_k knn k topk top_k n_neighbours num_neighbors num_neighbours",
            "reg_weight": "reg lambda_ l2 l2_reg reg_lambda",
        }.items()
        for alias in aliases.split()
    }
)
"""Names that mean one of the shared hyper-parameters."""

TRAINER_KEYS = frozenset({"learning_rate", "batch_size", "max_epochs", "patience", "optimizer", "seed", "device"})
"""Keys that belong to the trainer or the run, never to a model."""


def check_config_round_trip(subject: Subject) -> None:
    """A config written out as YAML reads back as an equal config."""
    config = subject.config()
    text = yaml.safe_dump(config.model_dump(mode="json"))
    again = parse_yaml(text, "contract").parse(subject.entry.config)
    require(again == config, subject, f"its config changes when written and read: {config!r} became {again!r}")


def check_unknown_key_is_refused(subject: Subject) -> None:
    """A key nobody reads is an error that names it."""
    data = {"name": subject.entry.name, **subject.options, "no_such_key": 1}
    try:
        Document("contract", data).parse(subject.entry.config)
    except ConfigError as error:
        require("no_such_key" in str(error), subject, f"the error for an unknown key does not name it: {error}")
    else:
        raise fail(subject, f"{subject.entry.config.__name__} accepts the unknown key 'no_such_key'")


def check_released_preset(subject: Subject) -> None:
    """``preset: released`` sets exactly the switches of RELEASED, each to another value than the clean default."""
    released, fields = subject.entry.config.RELEASED, subject.entry.config.model_fields
    require(set(released) <= set(fields), subject, f"RELEASED names no fields: {sorted(set(released) - set(fields))}")
    clean, other = (subject.with_options(preset=preset).config().model_dump() for preset in ("clean", "released"))
    changed = {key for key in fields if clean[key] != other[key]} - {"preset"}
    require(
        changed == set(released),
        subject,
        f"preset: released must change {sorted(released)} and nothing else; it changes {sorted(changed)}",
    )
    for key in released:
        kept = subject.with_options(preset="released", **{key: clean[key]}).config()
        require(kept.model_dump()[key] == clean[key], subject, f"a written '{key}' must win over preset: released")


def check_parameter_names(subject: Subject) -> None:
    """Shared hyper-parameters carry their shared names, and what the trainer decides is not repeated."""
    for key in subject.entry.config.model_fields:
        require(key not in ALIASES, subject, f"config key '{key}' must be called '{ALIASES.get(key)}'")
        require(key not in TRAINER_KEYS, subject, f"config key '{key}' belongs to the trainer or the run")


def check_documentation(subject: Subject) -> None:
    """The class names its paper's link, and a docstring stands under every config field."""
    entry = subject.entry
    text = inspect.getdoc(entry.model) or ""
    require(bool(text), subject, f"{entry.model.__name__} has no docstring")
    if entry.paper is not None:
        require(
            entry.paper.url in text, subject, f"the docstring of {entry.model.__name__} must hold {entry.paper.url}"
        )
    bare = undocumented(entry.config)
    require(not bare, subject, f"config keys without a docstring under them: {', '.join(bare)}")


def undocumented(config: type[BaseConfig]) -> list[str]:
    """Return the fields that have neither a docstring under them nor a description, ``name`` aside, in their order.

    Pydantic can collect these docstrings, but then opens the source of every configuration whenever a command starts.
    """
    documented = dict[str, bool]()
    for one in config.__mro__:  # who defines a field anew must say anew what it means
        if one is not BaseConfig and issubclass(one, BaseConfig):
            for field, below in pairwise([*_body(one), ast.Pass()]):
                match field:
                    case ast.AnnAssign(target=ast.Name(id=key)):
                        documented.setdefault(key, _is_docstring(below))
    fields = config.model_fields.items()
    return [key for key, info in fields if key != "name" and not (documented.get(key) or info.description)]


def _body(config: type[BaseConfig]) -> list[ast.stmt]:
    try:
        source = inspect.getsource(config)
    except (OSError, TypeError):  # made by a call, or typed into an interpreter: what it defines has no docstrings
        return []
    (definition,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    return definition.body


def _is_docstring(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return bool(text.strip())
    return False
