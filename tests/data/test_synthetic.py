"""The synthetic world is what its config says, by measurements that a wrong generator fails."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mmrec_bench.data import synthetic
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.synthetic import SyntheticCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.synthetic import generate, make_world, weighted_order
from mmrec_bench.data.world import KINDS, FeatureConfig, KindShares, World, WorldConfig, products
from mmrec_bench.errors import ConfigError
from mmrec_bench.settings import parse_yaml

SMALL = {"n_users": 300, "n_items": 250, "mean_interactions": 12.0, "max_interactions": 60}


@cache
def world(**overrides: object) -> World:
    """Return a world of the defaults with these values instead."""
    return generate(WorldConfig.model_validate(overrides))


def everything(dataset: Dataset[Interactions]) -> dict[str, object]:
    """Return the bytes of all that a data set holds."""
    payload, words = dataset.payload, dataset.items.words
    assert payload.timestamps is not None
    assert words is not None
    return {
        "pairs": payload.keys().tobytes(),
        "timestamps": payload.timestamps.tobytes(),
        **{name: table.values.tobytes() for name, table in dataset.features.items()},
        "titles": dataset.items.titles.tolist() if dataset.items.titles is not None else None,
        "words": words.indices.tobytes(),
        "ids": (dataset.user_ids.tolist(), dataset.item_ids.tolist()),
    }


# --- determinism


def test_one_seed_gives_the_same_bytes_and_another_other_ones() -> None:
    one, again, other = (everything(make_world(WorldConfig(**SMALL, seed=seed), "world")) for seed in (3, 3, 4))
    assert one == again
    assert [name for name in one if one[name] == other[name]] == ["ids"]


def test_neither_blocks_nor_threads_change_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = WorldConfig(**SMALL)
    with threadpool_limits(2):
        whole = everything(make_world(config, "world"))
    monkeypatch.setattr(synthetic, "BLOCK_CELLS", 7 * config.n_items)
    with threadpool_limits(1):
        assert everything(make_world(config, "world")) == whole


def test_a_change_of_one_part_leaves_the_others_alone() -> None:
    """Streams are named, so that worlds which differ in features alone have the same interactions."""
    noisy = world(**SMALL, image=FeatureConfig(signal=0.2, missing=0.5)).dataset
    plain = world(**SMALL, image=FeatureConfig(signal=0.9)).dataset
    assert noisy.payload.fingerprint() == plain.payload.fingerprint()
    assert noisy.features["text"].fingerprint() == plain.features["text"].fingerprint()
    assert noisy.features["image"].fingerprint() != plain.features["image"].fingerprint()


# --- marginals


def test_counts_of_users_follow_the_configured_power_law() -> None:
    payload = world(
        n_users=8_000, n_items=400, mean_interactions=11.0, min_interactions=4, max_interactions=120, n_periods=1
    )  # fmt: skip
    counts = payload.dataset.payload.user_counts()
    assert counts.min() == 4
    assert counts.max() <= 120
    assert counts.mean() == pytest.approx(11.0, abs=4 * counts.std() / np.sqrt(len(counts)))
    # n^-b has a straight survival function in log-log scale, far from the cut at 120
    sizes = np.array([4, 6, 8, 12, 16, 24])
    survival = np.log([(counts >= size).mean() for size in sizes])
    slopes = np.diff(survival) / np.diff(np.log(sizes))
    assert np.ptp(slopes) < 0.35
    assert slopes.mean() < -0.8


def test_all_users_can_have_the_same_number() -> None:
    counts = world(**{**SMALL, "mean_interactions": 5.0, "min_interactions": 5}).dataset.payload.user_counts()
    assert set(counts) == {5}


@pytest.mark.parametrize("exponent", [0.0, 0.4, 0.8])
def test_popularity_follows_the_configured_power_law(exponent: float) -> None:
    made = world(
        n_users=10_000, n_items=600, mean_interactions=6.0, max_interactions=20, popularity_exponent=exponent,
        popularity_drift=0.0, taste_strength=0.0, n_periods=1,
    )  # fmt: skip
    shares = np.exp(made.truth.log_popularity)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    # few draws without replacement from many items: counts are nearly proportional to popularity, but for the head
    ranks = np.arange(20, 300)
    order = np.argsort(-shares[0], kind="stable")
    counts = made.dataset.payload.item_counts()[order]
    slope = np.polyfit(np.log(ranks), np.log(counts[ranks - 1]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.06)
    head, middle = slice(0, 10), slice(250, 350)
    expected = shares[0, order][head].mean() / shares[0, order][middle].mean()
    assert counts[head].mean() / counts[middle].mean() == pytest.approx(expected, rel=0.2)


def test_row_numbers_tell_neither_popularity_nor_kind() -> None:
    made = world()
    for facts, bound in ((made.dataset.payload.item_counts(), 1_000), (made.truth.user_kinds, 2_000)):
        assert abs(np.corrcoef(np.arange(bound), facts)[0, 1]) < 4 / np.sqrt(bound)


@pytest.mark.parametrize("shares", [(0.4, 0.3, 0.3), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.335, 0.0, 0.665)])
def test_shares_of_kinds_are_met_to_one_user(shares: tuple[float, float, float]) -> None:
    users = KindShares(image=shares[0], text=shares[1], collaborative=shares[2])
    kinds = world(**SMALL, users=users).truth.user_kinds
    counts = np.bincount(kinds, minlength=3)
    assert counts.sum() == 300
    assert np.abs(counts - 300 * np.array(shares)).max() <= 1


@pytest.mark.parametrize(("image", "text"), [(0.3, 0.8), (1.0, 0.0)])
def test_features_carry_the_configured_share_of_their_own_factors_alone(image: float, text: float) -> None:
    made = world(
        n_items=3_000, n_users=50, image=FeatureConfig(dim=48, signal=image), text=FeatureConfig(dim=20, signal=text)
    )
    for modality, signal in (("image", image), ("text", text)):
        values = made.dataset.features[modality].values.astype(np.float64)
        assert (values**2).sum(axis=1).mean() == pytest.approx(1.0, abs=0.03)
        for kind, factors in zip(KINDS, made.truth.factors, strict=True):
            expected = signal if kind == modality else 0.0
            assert share_explained(factors, values) == pytest.approx(expected, abs=0.02)


def share_explained(causes: np.ndarray, values: np.ndarray) -> float:
    """Return R^2 of least squares over all columns, adjusted for the number of causes."""
    causes = np.column_stack([causes, np.ones(len(causes))])
    residuals = values - causes @ np.linalg.lstsq(causes, values, rcond=None)[0]
    scale = (len(values) - 1) / (len(values) - causes.shape[1])
    return float(1 - scale * (residuals**2).sum() / ((values - values.mean(axis=0)) ** 2).sum())


def test_the_configured_share_of_items_has_no_vector() -> None:
    dataset = world(image=FeatureConfig(missing=0.25), text=FeatureConfig(missing=0.1)).dataset
    image, text = dataset.features["image"].present, dataset.features["text"].present
    assert [(~image).sum(), (~text).sum()] == [250, 100]
    assert dataset.report.missing == {"image": 250, "text": 100}
    assert (~image & ~text).sum() == pytest.approx(25, abs=4 * np.sqrt(25))


# --- choices


def test_weighted_order_has_the_probabilities_of_draws_without_replacement() -> None:
    weights = np.array([1.0, 2.0, 5.0, 0.5])
    n = 200_000
    order = weighted_order(np.broadcast_to(weights, (n, 4)), 2, np.random.default_rng(0))
    for a in range(4):
        for b in set(range(4)) - {a}:
            expected = weights[a] / 8.5 * weights[b] / (8.5 - weights[a])
            measured = ((order[:, 0] == a) & (order[:, 1] == b)).mean()
            assert measured == pytest.approx(expected, abs=4 * np.sqrt(expected / n))


def test_weighted_order_can_take_everything() -> None:
    order = weighted_order(np.ones((5, 7)), 7, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(7), (5, 1)))


def slow_weight(made: World, user: int, item: int, period: int) -> float:
    """Return presence x popularity x exp(taste strength x affinity), written out."""
    truth, config = made.truth, made.truth.config
    begin = max(truth.life_starts[user], period / config.n_periods)
    end = min(truth.life_starts[user] + config.user_life, (period + 1) / config.n_periods)
    angle = config.taste_drift * np.pi / 2 * (period + 0.5) / config.n_periods
    taste = np.cos(angle) * truth.tastes[user] + np.sin(angle) * truth.turns[user]
    affinity = float(np.dot(taste, truth.factors[truth.user_kinds[user], item]))
    popularity = float(np.exp(truth.log_popularity[period, item]))
    return max(0.0, end - begin) * popularity * float(np.exp(config.taste_strength * affinity))


def test_choice_weights_agree_with_the_formula() -> None:
    made = world(**SMALL, taste_drift=0.7, n_periods=5, user_life=0.37)
    users, items = np.array([0, 7, 8, 123, 299, 42]), np.array([3, 0, 249, 17, 99, 98])
    terms = np.array([[slow_weight(made, u, i, p) for p in range(5)] for u, i in zip(users, items, strict=True)])
    np.testing.assert_allclose(made.truth.period_weights(users, items), terms, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(made.truth.choice_weights(users)[np.arange(6), items], terms.sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(made.truth.presence(users).sum(axis=1), 0.37)


def test_products_are_matrix_products() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    np.testing.assert_allclose(products(left, right), left @ right.T)


def test_truth_has_the_declared_geometry() -> None:
    truth = world().truth
    np.testing.assert_allclose((truth.factors**2).sum(axis=2), truth.config.factor_dim)
    np.testing.assert_allclose((truth.tastes**2).sum(axis=1), 1.0)
    np.testing.assert_allclose((truth.turns**2).sum(axis=1), 1.0)
    np.testing.assert_allclose((truth.turns * truth.tastes).sum(axis=1), 0.0, atol=1e-12)
    affinities = truth.affinities(np.arange(200), np.full(200, 0.5))
    assert affinities.std() == pytest.approx(1.0, abs=0.05)
    with pytest.raises(ValueError, match="read-only"):
        truth.tastes[0, 0] = 0.0


def test_users_heed_the_factors_of_their_kind_and_no_other() -> None:
    # many items, since factors of a small catalogue are correlated by chance
    made = world(n_items=6_000, n_periods=2)
    truth, payload = made.truth, made.dataset.payload
    sums = np.empty((len(KINDS), payload.n_users))
    for place, factors in enumerate(truth.factors):
        liking = (truth.tastes[payload.users] * factors[payload.items]).sum(axis=1)
        sums[place] = np.bincount(payload.users, weights=liking, minlength=payload.n_users)
    for kind in range(len(KINDS)):
        users = truth.user_kinds == kind
        for place in range(len(KINDS)):
            liking = sums[place, users]
            score = liking.mean() / (liking.std() / np.sqrt(users.sum()))
            assert score > 20 if place == kind else abs(score) < 4, (kind, place, score)


def recall(scores: np.ndarray, train: np.ndarray, test: np.ndarray, k: int = 20) -> float:
    """Return the mean recall@k over users with a test item."""
    top = np.argpartition(-np.where(train, -np.inf, scores), k, axis=1)[:, :k]
    hits, wanted = np.take_along_axis(test, top, axis=1).sum(axis=1), test.sum(axis=1)
    return float((hits[wanted > 0] / wanted[wanted > 0]).mean())


@cache
def halves(made: World) -> tuple[np.ndarray, np.ndarray]:
    """Return dense train and test indicators: a fifth of the interactions is held out at random."""
    payload = made.dataset.payload
    held_out = np.random.default_rng(0).random(len(payload)) < 0.2
    train, test = (payload.select(mask).matrix().toarray() > 0 for mask in (~held_out, held_out))
    return train, test


def test_the_oracle_beats_popularity_twofold_and_popularity_chance() -> None:
    made = world(popularity_exponent=0.5)
    train, test = halves(made)
    n_users, n_items = train.shape
    oracle = recall(made.truth.choice_weights(np.arange(n_users)), train, test)
    popularity = recall(np.broadcast_to(train.sum(axis=0), train.shape), train, test)
    chance = recall(np.random.default_rng(1).random(train.shape), train, test)
    assert oracle > 2 * popularity
    assert popularity > 2 * chance
    assert chance == pytest.approx(20 / n_items, abs=0.01)


def test_no_part_of_the_truth_ranks_as_well_as_the_whole() -> None:
    made = world(popularity_exponent=0.5)
    train, test = halves(made)
    users = np.arange(len(train))
    whole = recall(made.truth.choice_weights(users), train, test)
    affinity = recall(made.truth.affinities(users, np.full(len(users), 0.5)), train, test)
    popularity = recall(np.broadcast_to(np.exp(made.truth.log_popularity).sum(axis=0), train.shape), train, test)
    assert whole > 1.05 * max(affinity, popularity)


# --- time


def test_times_are_in_order_within_the_span_and_within_each_life() -> None:
    made = world(start_time=1_000_000, span_days=10.0, user_life=0.3)
    payload, truth = made.dataset.payload, made.truth
    assert payload.timestamps is not None
    assert (np.diff(payload.timestamps) >= 0).all()
    passed = (payload.timestamps - 1_000_000) / (10 * 86_400)
    starts = truth.life_starts[payload.users]
    assert (passed >= starts - 2e-6).all()  # seconds are whole
    assert (passed <= starts + 0.3).all()
    assert starts.min() < 0.02
    assert (starts + 0.3).max() > 0.98
    within = (passed - starts) / 0.3
    assert within.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(within)))


def trend(made: World) -> float:
    """Return the correlation of items' true trends with what the counts of the two halves of time say."""
    payload = made.dataset.payload
    middle = len(payload) // 2
    early, late = (payload.select(rows).item_counts() for rows in (np.arange(middle), np.arange(middle, len(payload))))
    true = world(n_users=6_000).truth.log_popularity
    return float(np.corrcoef(np.log((late + 1) / (early + 1)), true[-1] - true[0])[0, 1])


def test_popularity_drifts_as_configured() -> None:
    assert trend(world(n_users=6_000)) > 0.5
    assert abs(trend(world(n_users=6_000, popularity_drift=0.0))) < 0.15


def test_the_size_of_the_drift_is_the_configured_one() -> None:
    truth = world(n_users=50, popularity_drift=0.8, n_periods=101).truth
    change = truth.log_popularity[-1] - truth.log_popularity[0]
    assert change.std() == pytest.approx(2 * 0.8 * 100 / 101, rel=0.1)
    power_law = np.arange(1.0, 1_001) ** -0.4
    in_the_middle = np.sort(np.exp(truth.log_popularity[50]))[::-1]
    np.testing.assert_allclose(in_the_middle, power_law / power_law.sum())


def turned(made: World) -> float:
    """Return how much more late than early choices follow where tastes turn to, in standard errors."""
    truth, payload = made.truth, made.dataset.payload
    assert payload.timestamps is not None
    rows = truth.factors[truth.user_kinds[payload.users], payload.items]
    liking = (truth.turns[payload.users] * rows).sum(axis=1)
    late = payload.timestamps > np.median(payload.timestamps)
    difference = liking[late].mean() - liking[~late].mean()
    return float(difference / np.sqrt(liking[late].var() / late.sum() + liking[~late].var() / (~late).sum()))


def test_tastes_turn_only_where_configured() -> None:
    assert turned(world(taste_drift=1.0, user_life=1.0)) > 10
    assert abs(turned(world(taste_drift=0.0, user_life=1.0))) < 5  # interactions of a user are not independent


# --- words


def test_each_item_has_its_six_words_and_they_make_its_title() -> None:
    items = world().dataset.items
    assert items.words is not None
    assert items.titles is not None
    for row in (0, 500, 999):
        words = dict(items.words.of_item(row))
        assert sorted(words) == ["brand", "colour", "edition", "mood", "pattern", "topic"]
        assert all(value.lower() in items.titles[row].lower() for value in words.values())
    assert len(items.words.indices) == 6 * 1_000
    assert set(items.words.indices) == set(range(len(items.words.vocabulary)))


@pytest.mark.parametrize(
    ("field", "kind"),
    [("colour", 0), ("pattern", 0), ("topic", 1), ("mood", 1), ("brand", 2)],
)
def test_words_tell_the_factors_they_come_from_and_no_other(field: str, kind: int) -> None:
    made = world(n_users=50, n_items=3_000)
    words = made.dataset.items.words
    assert words is not None
    rows = [row for row, (name, _) in enumerate(words.vocabulary) if name == field]
    assert len(rows) >= 8
    of_item = words.indices[np.isin(words.indices, rows)]
    indicators = (of_item[:, None] == np.array(rows)[:-1]).astype(float)
    for place, factors in enumerate(made.truth.factors):
        explained = share_explained(indicators, factors)
        assert explained > 0.2 if place == kind else abs(explained) < 0.01


def test_editions_are_quarters_of_popularity() -> None:
    made = world()
    words, counts = made.dataset.items.words, made.dataset.payload.item_counts()
    assert words is not None
    editions = [dict(words.of_item(row))["edition"] for row in range(1_000)]
    means = [counts[np.array(editions) == edition].mean() for edition in ("open", "large", "limited", "rare")]
    assert [editions.count(edition) for edition in ("open", "large", "limited", "rare")] == [250] * 4
    assert means == sorted(means, reverse=True)


# --- configs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("users: {image: 0.5, text: 0.4}", r"must sum to 1; got 0.5 \+ 0.4 \+ 0.0"),
        ("users: {image: 1.5, text: -0.5}", "users.image: input should be less than or equal to 1; got 1.5"),
        ("mean_interactions: 4.0", r"between min_interactions \(6\) and half way to max_interactions \(103\)"),
        ("mean_interactions: 150.0", "as a falling power law has it; got 150"),
        ("n_items: 200", r"max_interactions must be below n_items \(200\); got 200"),
        ("n_items: 40\nmax_interactions: 30\nimpressions: {list_length: 50}", "list_length must be at most n_items"),
        ("factor_dim: 1", "factor_dim: input should be greater than or equal to 2"),
        ("image: {signal: 1.2}", "image.signal: input should be less than or equal to 1"),
        ("text: {missing: 1.0}", "text.missing: input should be less than 1"),
        ("n_user: 3", "did you mean 'n_users'"),
        ("user_life: 0", "user_life: input should be greater than 0"),
    ],
)
def test_impossible_worlds_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, "card.yaml").parse(WorldConfig)


@pytest.mark.parametrize(
    "config",
    [
        {"n_users": 1, "n_items": 12, "mean_interactions": 6.0, "max_interactions": 11},
        {"n_users": 3, "n_items": 2, "mean_interactions": 1.0, "min_interactions": 1, "max_interactions": 1,
         "impressions": {"list_length": 1}},
        {**SMALL, "n_periods": 1, "user_life": 1.0},
        {**SMALL, "taste_strength": 20.0, "factor_dim": 64, "popularity_exponent": 4.0, "popularity_drift": 5.0},
        {**SMALL, "taste_strength": 0.0, "popularity_exponent": 0.0, "popularity_drift": 0.0, "user_life": 0.001},
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_extreme_worlds_are_made(config: dict[str, object]) -> None:
    made = generate(WorldConfig.model_validate(config))
    assert made.dataset.payload.user_counts().min() >= made.truth.config.min_interactions


# --- the bundled worlds


@cache
def bundled(name: str) -> World:
    """Return the world of a bundled card."""
    card = load_card(name)
    assert isinstance(card, SyntheticCard)
    return generate(card.world, card.name)


def scores(made: World, scorer: str, train: np.ndarray) -> np.ndarray:
    """Return the scores of a closed-form scorer, float ``[n_users, n_items]``."""
    seen = train.astype(np.float32)
    if scorer == "popularity":
        return np.broadcast_to(seen.sum(axis=0), seen.shape)
    if scorer == "neighbours":
        lengths = np.sqrt(np.maximum(seen.sum(axis=0), 1))
        return np.asarray(seen / lengths @ (seen.T @ seen) / lengths)
    values = made.dataset.features[scorer].filled()
    return np.asarray(seen @ values @ values.T)


def measure(name: str, kind: str) -> dict[str, float]:
    """Return recall@20 of closed-form scorers for the users of one kind."""
    made = bundled(name)
    train, test = halves(made)
    users = made.truth.user_kinds == KINDS.index(kind)  # type: ignore[arg-type]
    names = ("popularity", "neighbours", "image", "text")
    return {scorer: recall(scores(made, scorer, train)[users], train[users], test[users]) for scorer in names}


def test_the_bundled_worlds_are_what_they_were() -> None:
    """Numbers made on them stay comparable; a change of these fingerprints is a breaking change."""
    found = {name: bundled(name).dataset for name in ("synthetic", "synthetic-collaborative")}
    assert {name: dataset.fingerprint() for name, dataset in found.items()} == {
        "synthetic": "e46a93e6ff63d8d1",
        "synthetic-collaborative": "60d2330a1f285365",
    }
    assert found["synthetic"].feature_fingerprints() == {"image": "fc5a43ba7513d7f4", "text": "b42b685280ed937d"}


def test_the_default_world_has_the_size_and_the_mix_it_was_made_for() -> None:
    made = bundled("synthetic")
    assert 20_000 <= len(made.dataset.payload) <= 30_000
    assert set(made.truth.user_kinds) == {0, 1, 2}
    assert 0 < made.dataset.features["image"].n_missing < 100
    assert 0 < made.dataset.features["text"].n_missing < 100


@pytest.mark.parametrize(("kind", "other"), [("image", "text"), ("text", "image")])
def test_content_says_most_where_users_are_driven_by_it_and_items_are_rare(kind: str, other: str) -> None:
    made = bundled(f"synthetic-{kind}")
    assert np.median(made.dataset.payload.item_counts()) < 8
    found = measure(f"synthetic-{kind}", kind)
    assert found[kind] > 1.5 * max(found["neighbours"], found["popularity"])
    assert found[other] < 2 * 20 / made.dataset.payload.n_items


def test_content_says_nothing_to_collaborative_users_but_neighbours_do() -> None:
    made = bundled("synthetic-collaborative")
    found = measure("synthetic-collaborative", "collaborative")
    assert found["neighbours"] > 2 * found["popularity"]
    assert max(found["image"], found["text"]) < 1.5 * 20 / made.dataset.payload.n_items


@pytest.mark.parametrize(("kind", "other"), [("image", "text"), ("text", "image")])
def test_in_the_mixed_world_each_kind_of_user_is_served_by_its_own_modality(kind: str, other: str) -> None:
    found = measure("synthetic", kind)
    assert found[kind] > 1.5 * found["popularity"]
    assert found[kind] > 4 * found[other]


def test_in_the_mixed_world_collaborative_users_are_served_by_neighbours_alone() -> None:
    found = measure("synthetic", "collaborative")
    assert found["neighbours"] > 1.2 * found["popularity"]
    assert found["popularity"] > 2 * max(found["image"], found["text"])
