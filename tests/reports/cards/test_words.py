"""Protocols in words: every task has some, and what decides a number is named."""

from __future__ import annotations

import pytest

from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.reports.cards.words import protocol_words


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("synthetic/lightgcn", (), "all items are ranked but the user's items of train; held-out"),
        ("synthetic/lightgcn", ("protocol.exclude=[train, valid]",), "train and validation (at validation: of train)"),
        ("synthetic/lightgcn", ("protocol.cutoffs=[7, 20]",), "cut-offs 7, 20"),
        ("synthetic-ranking/mlp", (), "given lists are put in order and judged by their labels (gain exp2"),
        ("synthetic-clicks/fm", (), "probabilities of single impressions, made by the recipe shown"),
        ("synthetic/item-only-lightgcn", (), "simulated user (noise-free) over 30 sampled candidates"),
        ("synthetic/item-only-lightgcn", ("protocol.candidates=full",), "over all items"),
    ],
)
def test_words_name_what_decides(name: str, overrides: tuple[str, ...], said: str) -> None:
    config = load_experiment(name, overrides).config
    words = protocol_words(config.entry.task, config.model_dump(mode="json"))
    assert said in words
    assert words.startswith(f"Split {config.protocol.split.name}")
    assert f"chosen by {config.protocol.select_by} on validation" in words
    assert words.endswith(".")
