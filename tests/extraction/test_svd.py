"""Encoders without weights: texts that share words are near, a text without a known word has no vector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.text_vectors import TextVectors
from mmrec_bench.errors import DataError
from mmrec_bench.extraction.base import CONTENT_ENCODERS
from mmrec_bench.extraction.svd import HashingSvdConfig, TfidfSvdConfig

CPU = torch.device("cpu")
TEXTS = [
    "red apple pie tart",
    "apple pie of red fruit, tart",
    "steel bolt hex metric",
    "metric steel bolt with hex head",
    "garden hose",
    "the of and",
]


@pytest.mark.parametrize("config", [TfidfSvdConfig(dim=3), HashingSvdConfig(dim=3)])
def test_texts_that_share_words_are_near(config: TfidfSvdConfig | HashingSvdConfig) -> None:
    encoder = config.build(CPU)
    encoder.fit(TEXTS)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (6, 3)
    assert vectors.dtype == np.float32
    near = vectors[:4] @ vectors[:4].T
    np.testing.assert_allclose(np.diag(near), 1, atol=1e-5)
    assert min(near[0, 1], near[2, 3]) > 0.8
    assert np.abs(near[:2, 2:]).max() < 0.1
    assert np.isnan(vectors[4:]).all(), "words of one item alone, and stop words, say nothing of what is alike"


def test_shards_and_the_whole_give_the_same_vectors() -> None:
    encoder = TfidfSvdConfig(dim=3).build(CPU)
    encoder.fit(TEXTS)
    np.testing.assert_array_equal(np.concatenate([encoder.encode(TEXTS[:2]), encoder.encode(TEXTS[2:])]),
                                  encoder.encode(TEXTS))  # fmt: skip


def test_the_short_form_of_cards_is_the_same_of_titles() -> None:
    encoder = TfidfSvdConfig(dim=3).build(CPU)
    encoder.fit(TEXTS)
    of_card = TextVectors(dim=3).table("text", ItemTable(titles=np.array(TEXTS)))
    ours, theirs = encoder.encode(TEXTS), of_card.values
    np.testing.assert_array_equal(of_card.present, ~np.isnan(ours[:, 0]))
    # Equal singular values leave the axes open, but never the angles.
    np.testing.assert_allclose(ours[:4] @ ours[:4].T, theirs[:4] @ theirs[:4].T, atol=1e-5)


@pytest.mark.parametrize("texts", [["the", "of"], ["bolt", "nut", "screw"]])
def test_too_few_words_are_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match=r"encoder.dim is 2, and 0 words .* Lower encoder.dim"):
        TfidfSvdConfig(dim=2).build(CPU).fit(texts)


def test_known_encoders() -> None:
    assert {name: CONTENT_ENCODERS[name].modality for name in CONTENT_ENCODERS} == {
        "tfidf-svd": "text",
        "hashing-svd": "text",
        "sentence-transformers": "text",
        "transformers": "text",
        "colour-edges": "image",
        "transformers-image": "image",
    }
