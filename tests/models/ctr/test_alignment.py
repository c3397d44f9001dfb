from __future__ import annotations

import numpy as np
import torch

from mmrec_bench.data.points import Points
from mmrec_bench.experiments.lis.config import AlignConfig
from mmrec_bench.experiments.lis.features import aligned
from mmrec_bench.models.ctr.alignment import IdAlignment
from mmrec_bench.training.config import TrainerConfig


def _items(n: int = 200, dim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    identities = rng.standard_normal((n, dim)).astype(np.float32)
    features = (identities @ rng.standard_normal((dim, 6)) + 0.05 * rng.standard_normal((n, 6))).astype(np.float32)
    features[3] = 0
    return features, identities


def test_recall_is_the_place_of_each_identity_among_all() -> None:
    features, identities = _items()
    torch.manual_seed(0)
    model = IdAlignment(features, identities, 8, 0.1)
    ids = np.arange(10, 40)
    made = torch.nn.functional.normalize(model.mlp(model.features[ids]), dim=1)
    known = torch.nn.functional.normalize(model.identities[ids], dim=1)
    cosines = (made @ known.T).tolist()
    ranks = [sum(other > row[i] for other in row) for i, row in enumerate(cosines)]
    expected = np.mean([np.mean([rank < k for rank in ranks]) for k in (1, 5, 10)])
    assert abs(model.recall(ids) - expected) < 1e-6


def test_alignment_finds_the_identities_of_items_it_has_not_seen() -> None:
    features, identities = _items()
    n = len(features)
    before = Points(
        np.zeros(4 * n, np.int64), np.tile(np.arange(n), 4), np.zeros(4 * n, np.int8), np.arange(4 * n), 1, n, ""
    )
    config = AlignConfig(frequent=1.0, trainer=TrainerConfig(batch_size=64, max_epochs=60, learning_rate=1e-2))
    vectors, facts = aligned(config, features, identities, before, 0, torch.device("cpu"))
    chance = np.mean([k / facts["held_out_items"] for k in (1, 5, 10)])
    assert facts["recall"] > 3 * chance
    assert not vectors[3].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(vectors, 3, axis=0), axis=1), 1.0, rtol=1e-5)
