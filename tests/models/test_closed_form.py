"""Closed forms against slow references, first principles and published arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ConfigError, ModelError, ResourceError
from mmrec_bench.graph import co_occurrence
from mmrec_bench.models.base import MODELS, ClosedFormRecommender, ModelContext
from mmrec_bench.models.retrieval import ease, itemknn_content
from mmrec_bench.models.retrieval.popularity import LARGEST_EXACT_COUNT, exact_counts
from mmrec_bench.settings import Document
from mmrec_bench.testing.subjects import all_scores, tiny_context


def scores(name: str, context: ModelContext, **options: Any) -> np.ndarray:
    entry = MODELS[name]
    model = entry.build(entry.config.model_validate({"name": name, **options}), context)
    assert isinstance(model, ClosedFormRecommender)
    model.fit(context)
    return all_scores(model.export()).numpy()


def interactions(pairs: list[tuple[int, int]], n_users: int, n_items: int, **facts: Any) -> Interactions:
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions(users, items, n_users, n_items, **facts)


def features_of(
    values: np.ndarray, present: list[bool] | None = None, name: str = "text"
) -> Mapping[str, FeatureTable]:
    mask = np.ones(len(values), np.bool_) if present is None else np.array(present)
    return {name: FeatureTable(name, values.astype(np.float32), mask, "test")}


@pytest.fixture(scope="module")
def toy() -> ModelContext:
    """15 users, 24 items, 66 pairs; sines as image and cosines as text."""
    train = interactions([(u, (5 * u + 3 * j) % 24) for u in range(15) for j in range(3 + u % 4)], 15, 24)
    rows = np.arange(24)[:, None]
    image = np.sin(0.37 * (rows + 1) * (np.arange(10) + 1))
    text = np.cos(0.23 * (rows + 2) * (np.arange(6) + 1))
    return ModelContext(train, {**features_of(image, name="image"), **features_of(text)})


@pytest.fixture(scope="module")
def random_world() -> ModelContext:
    """60 users, 40 items of uneven popularity; item 39 and user 59 are cold."""
    random = np.random.default_rng(5)
    matrix = random.random((60, 40)) < np.linspace(0.5, 0.02, 40)
    matrix[:, 39] = matrix[59] = False
    return ModelContext(interactions(list(zip(*np.nonzero(matrix), strict=True)), 60, 40))


# popularity


def test_popularity_counts_training_interactions() -> None:
    context = ModelContext(interactions([(0, 1), (1, 1), (2, 1), (0, 2)], 4, 4))
    np.testing.assert_array_equal(scores("popularity", context), np.tile([0, 3, 1, 0], (4, 1)))


def test_popularity_refuses_counts_that_float32_would_tie() -> None:
    largest = np.array([LARGEST_EXACT_COUNT - 1, LARGEST_EXACT_COUNT])
    assert exact_counts(largest).unique().numel() == 2
    with pytest.raises(ModelError, match=r"item row 1 has 16777217"):
        exact_counts(largest + 1)


TIMES = np.array([0, 900, 950, 1000, 1000])
PAIRS = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]


def test_recent_popularity_counts_the_window() -> None:
    for clock in ({"timestamps": TIMES + 10**9}, {"order": TIMES}):
        context = ModelContext(interactions(PAIRS, 3, 4, **clock))
        got = scores("recent-popularity", context, weighting="window", window=0.1)
        np.testing.assert_array_equal(got, np.tile([0, 1, 2, 0], (3, 1)))
        whole = scores("recent-popularity", context, weighting="window", window=0.101)
        np.testing.assert_array_equal(whole, np.tile([0, 2, 2, 0], (3, 1)))


def test_recent_popularity_halves_by_age() -> None:
    context = ModelContext(interactions(PAIRS, 3, 4, timestamps=TIMES))
    got = scores("recent-popularity", context, half_life=0.05)
    np.testing.assert_allclose(got[0], [2.0**-20, 2.0**-2 + 2.0**-1, 2, 0], rtol=1e-6)


def test_recent_popularity_of_one_moment_is_popularity() -> None:
    train = interactions(PAIRS, 3, 4, timestamps=np.full(5, 77))
    for weighting in ("window", "decay"):
        got = scores("recent-popularity", ModelContext(train), weighting=weighting)
        np.testing.assert_array_equal(got, scores("popularity", ModelContext(train)))


def test_timestamps_come_before_order() -> None:
    context = ModelContext(interactions(PAIRS, 3, 4, timestamps=TIMES, order=TIMES[::-1].copy()))
    assert scores("recent-popularity", context)[0].argmax() == 2


# itemknn


def slow_neighbours(similarity: np.ndarray, k: int, orientation: str) -> np.ndarray:
    """Keep the k largest finite similarities of each row, ties by column; ``column`` keeps them of each column."""
    kept = np.zeros_like(similarity)
    for item, row in enumerate(similarity):
        ranked = sorted((-value, other) for other, value in enumerate(row) if np.isfinite(value))
        for value, other in ranked[:k]:
            kept[item, other] = -value
    return kept if orientation == "row" else kept.T


@pytest.mark.parametrize("orientation", ["row", "column"])
@pytest.mark.parametrize(("k", "shrink"), [(1, 0.0), (3, 10.0), (7, 0.5), (1000, 2.0)])
def test_itemknn_follows_its_formula(random_world: ModelContext, orientation: str, k: int, shrink: float) -> None:
    matrix = random_world.train.matrix().toarray().astype(np.float64)
    counts, together = matrix.sum(axis=0), matrix.T @ matrix
    denominator = np.sqrt(np.outer(counts, counts)) + shrink
    similarity = np.divide(together, denominator, out=np.zeros_like(together), where=together > 0)
    similarity[together == 0] = -np.inf
    np.fill_diagonal(similarity, -np.inf)
    expected = matrix @ slow_neighbours(similarity, k, orientation)
    got = scores("itemknn", random_world, n_neighbors=k, shrink=shrink, orientation=orientation)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert not got[59].any()
    assert not got[:, 39].any()


def test_itemknn_blocks_do_not_change_the_result(random_world: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores("itemknn", random_world, n_neighbors=5)
    for budget in (1, 50, 300):
        monkeypatch.setattr(co_occurrence, "BLOCK_PRODUCTS", budget)
        np.testing.assert_array_equal(scores("itemknn", random_world, n_neighbors=5), whole)


def test_itemknn_breaks_ties_by_item() -> None:
    # Items 1, 2 and 3 were each consumed once, with item 0; item 0 keeps the lower two.
    context = ModelContext(interactions([(0, 0), (0, 3), (1, 0), (1, 2), (2, 0), (2, 1), (3, 0)], 4, 4))
    got = scores("itemknn", context, n_neighbors=2, orientation="row")
    assert (got[3] > 0).tolist() == [False, True, True, False]


# itemknn-content


@pytest.mark.parametrize("block", [1 << 24, 200])
def test_released_itemknn_content_has_the_known_scores(
    toy: ModelContext, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Made with the model as released in MMRec (version e775373): k = 4, shrink 10.
    monkeypatch.setattr(itemknn_content, "BLOCK_VALUES", block)
    got = scores("itemknn-content", toy, preset="released", n_neighbors=4)
    assert got[0, 3] == pytest.approx(0.452686, rel=1e-4)
    assert got[5, 20] == pytest.approx(0.069181, rel=1e-4)
    assert got.sum(dtype=np.float64) == pytest.approx(60.45195, rel=1e-6)


@pytest.mark.parametrize("orientation", ["row", "column"])
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize(("k", "shrink"), [(3, 0.0), (6, 0.3), (30, 0.0)])
def test_itemknn_content_follows_its_formula(orientation: str, exclude_self: bool, k: int, shrink: float) -> None:
    context = tiny_context()
    weights = {"image": 1.0, "text": 3.0}
    parts = []
    for modality, weight in weights.items():
        filled = context.features[modality].filled().astype(np.float64)
        norms = np.linalg.norm(filled, axis=1, keepdims=True)
        parts.append(np.divide(filled, norms, out=np.zeros_like(filled), where=norms > 0) * np.sqrt(weight / 4))
    joined = np.concatenate(parts, axis=1)
    norms = np.linalg.norm(joined, axis=1)
    absent = norms == 0
    assert absent.sum() == 2
    denominator = np.where(absent | absent[:, None], 1.0, np.outer(norms, norms) + shrink)
    similarity = joined @ joined.T / denominator
    similarity[absent] = similarity[:, absent] = -np.inf
    if exclude_self:
        np.fill_diagonal(similarity, -np.inf)
    expected = context.train.matrix().toarray() @ slow_neighbours(similarity, k, orientation)
    options = {"orientation": orientation, "exclude_self": exclude_self, "n_neighbors": k, "shrink": shrink}
    got = scores("itemknn-content", context, modality_weights=weights, **options)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_clean_similarity_is_the_weighted_mean_of_cosines() -> None:
    image, text = np.array([[1.0, 0.0], [0.0, 50.0]]), np.array([[2.0, 0.0], [30.0, 0.0]])
    tables = {**features_of(image, name="image"), **features_of(text)}
    context = ModelContext(interactions([(0, 0)], 1, 2), tables)
    got = scores("itemknn-content", context, modality_weights={"image": 3.0})
    np.testing.assert_allclose(got, [[0.0, 0.25]], atol=1e-7)


def test_scale_of_features_does_not_matter_when_clean_and_does_when_released(toy: ModelContext) -> None:
    image, text = (toy.features[name].values for name in ("image", "text"))
    louder = ModelContext(toy.train, {**features_of(image * 1e25, name="image"), **features_of(text * 1e-25)})
    np.testing.assert_allclose(scores("itemknn-content", louder), scores("itemknn-content", toy), rtol=1e-4, atol=1e-6)
    released = scores("itemknn-content", louder, preset="released")
    assert np.isfinite(released).all()
    only_image = ModelContext(toy.train, features_of(image, name="image"))
    unshrunk = scores("itemknn-content", only_image, preset="released", shrink=0.0)
    np.testing.assert_allclose(released, unshrunk, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [1 << 24, 5000, 1])
def test_equal_vectors_tie_by_item(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(itemknn_content, "BLOCK_VALUES", block)
    values = np.repeat(np.random.default_rng(0).standard_normal((3, 17)), 50, axis=0)
    shuffled = np.random.default_rng(1).permutation(len(values))
    neighbors, _ = itemknn_content.nearest_by_content(values[shuffled].astype(np.float32), 4, 1.0, exclude_self=True)
    group = shuffled // 50
    for item, found in enumerate(neighbors):
        alike = np.flatnonzero(group == group[item])
        assert found.tolist() == alike[alike != item][:4].tolist()


def test_items_without_features_have_no_neighbours() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.1], [0.0, 0.0]], np.float32)
    neighbors, similarities = itemknn_content.nearest_by_content(vectors, 3, 0.0, exclude_self=True)
    assert neighbors.tolist() == [[2, -1, -1], [-1, -1, -1], [0, -1, -1], [-1, -1, -1]]
    assert (similarities > 0).tolist() == (neighbors >= 0).tolist()
    nothing, _ = itemknn_content.nearest_by_content(np.zeros((2, 3), np.float32), 1, 0.0, exclude_self=False)
    assert nothing.tolist() == [[-1], [-1]]


def test_weights_of_unknown_modalities_are_refused() -> None:
    with pytest.raises(ModelError, match=r"missing: audio\. This data set has: image, text"):
        scores("itemknn-content", tiny_context(), modality_weights={"audio": 1.0})


def test_weights_that_nothing_reads_are_refused() -> None:
    data = {"name": "itemknn-content", "preset": "released", "modality_weights": {"text": 2.0}}
    with pytest.raises(ConfigError, match="modality_weights need combine: weighted"):
        Document("test", data).parse(MODELS["itemknn-content"].config)


# ease


def test_ease_solves_its_own_least_squares(random_world: ModelContext) -> None:
    """Column j of B is the ridge regression of item j on all other items, computed here one by one."""
    matrix, reg_weight = random_world.train.matrix().toarray().astype(np.float64), 3.0
    weights = np.zeros((40, 40))
    for item in range(40):
        others = np.delete(np.arange(40), item)
        design = matrix[:, others]
        normal = design.T @ design + reg_weight * np.eye(39)
        weights[others, item] = np.linalg.solve(normal, design.T @ matrix[:, item])
    for precision, tolerance in (("float64", 1e-5), ("float32", 1e-4)):
        got = scores("ease", random_world, reg_weight=reg_weight, precision=precision)
        np.testing.assert_allclose(got, matrix @ weights, rtol=tolerance, atol=tolerance)


def test_ease_blocks_do_not_change_the_result(random_world: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores("ease", random_world)
    for rows in (1, 7, 39):
        monkeypatch.setattr(ease, "BLOCK_ROWS", rows)
        np.testing.assert_array_equal(scores("ease", random_world), whole)


def test_ease_refuses_what_would_not_fit(random_world: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError, match=r"at most model\.max_items = 39 items; this data set has 40"):
        scores("ease", random_world, max_items=39)
    monkeypatch.setattr(ease, "available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match=r"ease needs 0\.0 GiB for 40 items in float64; 0\.0 GiB are free"):
        scores("ease", random_world)


def test_ease_says_when_the_matrix_cannot_be_factored() -> None:
    # Two items always consumed together: without regularisation R^T R is singular.
    context = ModelContext(interactions([(user, item) for user in range(50) for item in (0, 1)], 50, 2))
    with pytest.raises(ModelError, match=r"not positive definite in float32; raise model\.reg_weight"):
        scores("ease", context, reg_weight=1e-12, precision="float32")


@pytest.mark.parametrize(("precision", "fits"), [("float32", 1e18), ("float64", 1e37)])
@pytest.mark.filterwarnings("error")
def test_ease_refuses_weights_that_leave_no_similarity(precision: str, fits: float) -> None:
    small, large = (scores("ease", tiny_context(), reg_weight=w, precision=precision) for w in (fits / 1e4, fits))
    np.testing.assert_allclose(large / large.max(), small / small.max(), atol=1e-6)  # B is R^T R / w by then
    assert large.any()
    for reg_weight in (fits * 100, 1e300):
        with pytest.raises(ModelError, match=rf"reg_weight may be at most .* in {precision}.*; got 1e\+"):
            scores("ease", tiny_context(), reg_weight=reg_weight, precision=precision)


# all


@pytest.mark.parametrize("name", ["popularity", "recent-popularity", "itemknn", "itemknn-content", "ease"])
def test_nothing_is_exported_before_fitting(name: str) -> None:
    model = MODELS[name].build(MODELS[name].config(), tiny_context())
    assert isinstance(model, ClosedFormRecommender)
    with pytest.raises(ModelError, match=r"nothing to export yet; call fit"):
        model.export()


@pytest.mark.parametrize("name", ["itemknn", "itemknn-content", "ease"])
def test_scorers_serve_any_order_repeats_and_nobody(name: str) -> None:
    context = tiny_context()
    model = MODELS[name].build(MODELS[name].config(), context)
    assert isinstance(model, ClosedFormRecommender)
    model.fit(context)
    scorer: Any = model.export()
    whole = all_scores(scorer)
    users = torch.tensor([12, 3, 3, 12, 0, 12])
    torch.testing.assert_close(scorer.scores(users), whole[users], rtol=0, atol=0)
    assert scorer.scores(torch.tensor([12])).shape == (1, 30)
    assert scorer.scores(torch.zeros(0, dtype=torch.int64)).shape == (0, 30)
