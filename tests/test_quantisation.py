from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmrec_bench import quantisation
from mmrec_bench.errors import ModelError
from mmrec_bench.quantisation import ProductCodes, distinct_ratio, quantise

N, DIM = 240, 12


@pytest.fixture
def values() -> np.ndarray:
    """Vectors whose variance is uneven and turned across all columns; of a magnitude that is left as it is."""
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    found = (rng.standard_normal((N, DIM)) * 0.7 ** np.arange(DIM)) @ turn + 0.3
    return (found / np.abs(found).max() * 0.75).astype(np.float32)


def run(values: np.ndarray, **options: Any) -> ProductCodes:
    options = {
        "present": np.ones(len(values), np.bool_),
        "fitted": np.ones(len(values), np.bool_),
        "method": "opq",
        "n_subspaces": 3,
        "n_codes": 7,
        "normalise": False,
        "rng": np.random.default_rng(options.pop("seed", 0)),
        **options,
    }
    return quantise(values, **options)


def decoded(found: ProductCodes) -> np.ndarray:
    """Return what the codes say of each vector, in double precision."""
    centroids = found.centroids
    chosen = centroids.values[np.arange(found.codes.shape[1]), found.codes].reshape(len(found.codes), -1)
    turned = chosen.astype(np.float64) if centroids.rotation is None else chosen @ centroids.rotation.astype(np.float64)
    return np.asarray(turned + centroids.mean)


@pytest.mark.parametrize("n_codes", [2, 7, 16, 100])
@pytest.mark.parametrize("method", ["opq", "pq"])
def test_codes_are_the_nearest_centroids(values: np.ndarray, method: str, n_codes: int) -> None:
    found = run(values, method=method, n_codes=n_codes)
    centroids = found.centroids
    centred = values.astype(np.float64) - centroids.mean
    turned = centred if centroids.rotation is None else centred @ centroids.rotation.T.astype(np.float64)
    for row, codes in enumerate(found.codes):
        for space, code in enumerate(codes):
            part = turned[row, 4 * space : 4 * space + 4]
            distances = ((part - centroids.values[space]) ** 2).sum(axis=1)
            assert distances[code] <= distances.min() + 1e-6
    assert found.codes.min() >= 0
    assert found.codes.max() < n_codes


@pytest.mark.parametrize("method", ["opq", "pq", "random"])
def test_the_error_is_the_variance_that_decoding_loses(values: np.ndarray, method: str) -> None:
    found = run(values, method=method)
    lost = ((decoded(found) - values) ** 2).sum()
    assert found.error == pytest.approx(lost / ((values - values.mean(axis=0, dtype=np.float64)) ** 2).sum(), rel=1e-4)


def test_a_rotation_keeps_more_than_none_and_random_codes_keep_almost_nothing(values: np.ndarray) -> None:
    errors = {method: run(values, method=method).error for method in ("opq", "pq", "random")}
    assert errors["opq"] < 0.9 * errors["pq"]
    assert errors["pq"] < 0.5
    assert errors["random"] > 0.9


def test_the_rotation_is_one(values: np.ndarray) -> None:
    rotation = run(values).centroids.rotation
    assert rotation is not None
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(DIM), atol=1e-5)


def test_of_wide_tables_the_rotation_keeps_leading_components(
    values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantisation, "ROTATED_DIM", 8)
    found = run(values)
    rotation = found.centroids.rotation
    assert rotation is not None
    assert rotation.shape == (6, DIM)  # as many as three sub-spaces can share
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-5)
    centred = (values - values.mean(axis=0)).astype(np.float64)
    left_out = np.sort(np.linalg.eigvalsh(centred.T @ centred))[:6].sum() / (centred**2).sum()
    assert found.error > left_out
    lost = ((decoded(found) - values) ** 2).sum()
    assert found.error == pytest.approx(lost / (centred**2).sum(), rel=1e-3)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_a_rotation_starts_at_the_components_of_most_variance_in_any_unit(unit: float) -> None:
    centred = np.diag(unit * np.sqrt(np.array([8, 1, 4, 2], np.float32) * 4))
    leading = quantisation._leading_components(np.asarray(centred, np.float32), 2)
    np.testing.assert_allclose(np.abs(leading), np.eye(4)[[0, 2, 3, 1]], atol=1e-6)


@pytest.mark.parametrize("method", ["opq", "pq"])
def test_only_the_given_rows_are_fitted_and_all_that_are_present_encoded(values: np.ndarray, method: str) -> None:
    present, fitted = np.ones(N, np.bool_), np.arange(N) < 150
    present[[3, 200]] = False
    values[~present] = np.nan
    base = run(values, method=method, present=present, fitted=fitted)
    assert (base.codes[~present] == -1).all()
    assert (base.codes[present] >= 0).all()
    other = values.copy()
    other[220:] = 0.5 * other[220:][::-1]
    moved = run(other, method=method, present=present, fitted=fitted)
    np.testing.assert_array_equal(moved.codes[:220], base.codes[:220])
    assert (moved.codes[220:] != base.codes[220:]).any()


@pytest.mark.parametrize("method", ["opq", "pq", "random"])
def test_the_seed_decides(values: np.ndarray, method: str) -> None:
    first, again, other = (run(values, method=method, seed=seed).codes for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_random_codes_know_nothing_of_the_vectors(values: np.ndarray) -> None:
    np.testing.assert_array_equal(run(values, method="random").codes, run(values[::-1].copy(), method="random").codes)


def test_a_power_of_two_as_unit_changes_no_code(values: np.ndarray) -> None:
    base = run(values)
    for unit in (2.0**-100, 2.0**100):
        found = run((values * np.float32(unit)).astype(np.float32))
        np.testing.assert_array_equal(found.codes, base.codes)
        assert found.error == base.error


def test_normalised_rows_forget_their_length(values: np.ndarray) -> None:
    stretched = values * 2.0 ** np.random.default_rng(0).integers(-3, 4, size=(N, 1)).astype(np.float32)
    normalised = [run(rows, normalise=True).codes for rows in (values, stretched)]
    np.testing.assert_array_equal(*normalised)
    assert (run(values).codes != run(stretched).codes).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 0.1, -3e38])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("method", ["opq", "pq"])
def test_equal_vectors_share_one_code(method: str, normalise: bool, constant: float) -> None:
    values = np.full((50, DIM), constant, np.float32)
    found = run(values, method=method, normalise=normalise)
    assert (found.codes == found.codes[0]).all()
    assert found.error == 0.0
    assert np.isfinite(found.centroids.values).all()


@pytest.mark.parametrize("method", ["opq", "pq"])
def test_copies_of_a_vector_share_its_codes_wherever_they_stand(values: np.ndarray, method: str) -> None:
    copies = np.concatenate([values, values[::-1], values[:7]])
    codes = run(copies, method=method).codes
    np.testing.assert_array_equal(codes[N : 2 * N], codes[:N][::-1])
    np.testing.assert_array_equal(codes[2 * N :], codes[:7])


@pytest.mark.parametrize("method", ["opq", "pq"])
def test_as_many_codes_as_vectors_lose_next_to_nothing(values: np.ndarray, method: str) -> None:
    assert run(values, method=method, n_codes=N).error < 1e-3


def test_faiss_keeps_silent_about_few_rows(values: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    run(values, n_codes=N)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_subspaces": 5}, r"n_subspaces must divide the 12 values of a vector \(1, 2, 3, 4, 6, 12\); got 5"),
        ({"n_codes": N + 1}, "n_codes must be at most 240, the number of items with features that occur in train"),
        ({"fitted": np.zeros(N, np.bool_)}, "no item with features occurs in train"),
        ({"present": np.zeros(N, np.bool_)}, "no item with features occurs in train"),
    ],
)
def test_what_cannot_be_quantised_is_refused(values: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run(values, **options)


def test_the_ratio_of_distinct_codes() -> None:
    assert distinct_ratio(np.array([[0, 1], [0, 1], [1, 0], [-1, -1], [-1, -1]])) == 0.6
