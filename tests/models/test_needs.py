"""What models ask of data, alone and inside one another."""

from __future__ import annotations

import pytest

from mmrec_bench.models.base import MODELS
from mmrec_bench.models.needs import Needs, models_for


def needs(*names: str) -> Needs:
    return Needs.of(MODELS[name] for name in names)


@pytest.mark.parametrize(
    ("names", "given", "lacking"),
    [
        (["mf"], (), ()),
        (["freedom"], (), ("features of at least one modality",)),
        (["freedom"], ("audio",), ()),
        (["mgcn"], ("text",), ("image",)),
        (["mgcn"], (), ("image", "text")),
        (["freedom", "mgcn"], ("text",), ("image",)),
        (["mf", "freedom"], (), ("features of at least one modality",)),
    ],
)
def test_what_is_lacking_is_named(names: list[str], given: tuple[str, ...], lacking: tuple[str, ...]) -> None:
    assert needs(*names).lacking(given) == lacking


def test_the_needs_of_all_models_inside_one_another_count() -> None:
    assert needs("mf", "recent-popularity").time
    assert not needs("mf").time
    scorer = next(name for name in MODELS if MODELS[name].exports == "scorer")
    assert needs("mf", scorer).exports == "scorer"
    assert needs("mf").exports == "vectors"


def test_a_table_that_the_settings_name_is_needed_and_models_that_do_without_are_named() -> None:
    alignrec = MODELS["alignrec"].config.model_validate({"name": "alignrec", "content": "ica"})
    assert Needs.of([MODELS["alignrec"]], alignrec.tables).lacking(["image", "text"]) == ("ica",)
    assert {"mf", "lightgcn"} <= set(models_for("retrieval", []))
    assert "vbpr" not in models_for("retrieval", [])
