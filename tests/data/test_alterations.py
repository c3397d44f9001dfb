"""Alterations change what they say and nothing else: marginals, presence, nesting, and the same bytes every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmrec_bench.data.alterations import (
    ALTERATIONS,
    Alteration,
    Constant,
    Dropped,
    Gaussian,
    Masked,
    Shuffled,
    alter,
    alter_dataset,
    modalities_left,
)
from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import DataError

N_ITEMS = 400


@pytest.fixture
def features() -> dict[str, FeatureTable]:
    rng = np.random.default_rng(3)

    def table(modality: str, dim: int) -> FeatureTable:
        values = rng.normal(2.0, 3.0, (N_ITEMS, dim)).astype(np.float32)
        return FeatureTable(modality, values, rng.random(N_ITEMS) < 0.9, "made")

    return {"image": table("image", 12), "text": table("text", 5)}


def only(features: dict[str, FeatureTable], change: Alteration) -> FeatureTable:
    """Apply a change of images; check that texts are untouched and that images stay where they are."""
    changed = alter(features, [change])
    assert changed["text"] is features["text"]
    table, before = changed["image"], features["image"]
    assert table.values.dtype == np.float32
    assert table.values.shape == before.values.shape
    if not isinstance(change, Masked):
        np.testing.assert_array_equal(table.present, before.present)
    assert np.isnan(table.values[~table.present]).all()
    assert table.source != before.source, "the source says what was done"
    assert alter(features, [change])["image"].fingerprint() == table.fingerprint()
    return table


def test_shuffled_rows_are_the_same_rows_elsewhere(features: dict[str, FeatureTable]) -> None:
    table, before = only(features, Shuffled(modality="image")), features["image"]
    rows, wanted = table.values[table.present], before.values[before.present]
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], wanted[np.lexsort(wanted.T)])
    assert (rows == wanted).all(axis=1).mean() < 0.02
    other = alter(features, [Shuffled(modality="image", seed=1)])["image"]
    assert (other.values == table.values).all(axis=1).mean() < 0.02


def test_modalities_are_shuffled_independently(features: dict[str, FeatureTable]) -> None:
    both = {name: dataclasses.replace(features["image"], modality=name) for name in ("image", "text")}
    changed = alter(both, [Shuffled(modality="image"), Shuffled(modality="text")])
    assert not np.array_equal(changed["image"].filled(), changed["text"].filled())


def test_gaussian_rows_have_the_moments_of_the_table_and_nothing_else(features: dict[str, FeatureTable]) -> None:
    table, before = only(features, Gaussian(modality="image")), features["image"]
    noise, values = table.values[table.present], before.values[before.present]
    n = noise.size
    assert noise.mean() == pytest.approx(values.mean(), abs=4 * float(values.std()) / n**0.5)
    assert noise.std() == pytest.approx(values.std(), rel=4 / (2 * n) ** 0.5)
    assert abs(np.corrcoef(noise.ravel(), values.ravel())[0, 1]) < 4 / n**0.5
    assert table.fingerprint() != alter(features, [Gaussian(modality="image", seed=1)])["image"].fingerprint()


def test_constant_rows_are_the_mean_row(features: dict[str, FeatureTable]) -> None:
    table, before = only(features, Constant(modality="image")), features["image"]
    mean = before.values[before.present].mean(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(
        table.values[table.present], np.tile(mean.astype(np.float32), (table.present.sum(), 1))
    )


@pytest.mark.parametrize("change", [Shuffled, Gaussian, Constant])
def test_a_table_of_nobody_stays_one(features: dict[str, FeatureTable], change: type[Alteration]) -> None:
    nobody = {"image": dataclasses.replace(features["image"], present=np.zeros(N_ITEMS, np.bool_))}
    assert alter(nobody, [change.model_validate({"modality": "image"})])["image"].n_missing == N_ITEMS


def test_masks_are_nested_and_count_all_items(features: dict[str, FeatureTable]) -> None:

    full = np.ones(N_ITEMS, np.bool_)
    whole = {name: dataclasses.replace(t, values=t.filled(1.0), present=full) for name, t in features.items()}
    gone: set[int] = set()
    for ratio in (0.001, 0.25, 0.333, 0.5, 0.75, 1.0):
        table = only(whole, Masked(modality="image", ratio=ratio))
        now = set(np.flatnonzero(~table.present).tolist())
        assert len(now) == int(ratio * N_ITEMS)
        assert gone <= now
        np.testing.assert_array_equal(table.values[table.present], whole["image"].values[table.present])
        text = alter(whole, [Masked(modality="text", ratio=ratio)])["text"]
        np.testing.assert_array_equal(text.present, table.present)
        gone = now
    once, again = (only(whole, Masked(modality="image", ratio=0.5, seed=seed)).present for seed in (0, 1))
    assert not np.array_equal(once, again)
    absent = ~features["image"].present
    assert not only(features, Masked(modality="image", ratio=0.25)).present[absent].any(), "who had none has none"


def test_alterations_follow_each_other(features: dict[str, FeatureTable]) -> None:
    assert list(alter(features, [Dropped(modality="text")])) == ["image"]
    masked, shuffled = Masked(modality="image", ratio=0.5), Shuffled(modality="image")
    table = alter(features, [masked, shuffled])["image"]
    np.testing.assert_array_equal(table.present, alter(features, [masked])["image"].present)
    assert table.source == "made, a share of 0.5 masked with seed 0, shuffled with seed 0"
    assert alter(features, []) == features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([Shuffled(modality="imag")], "unknown modality 'imag'; did you mean 'image'.*Change dataset.alter"),
        ([Dropped(modality="image"), Shuffled(modality="image")], "known: text .it was dropped before"),
        ([Dropped(modality="image"), Dropped(modality="text"), Constant(modality="text")], "known: none"),
    ],
)
def test_a_modality_that_is_not_there(
    features: dict[str, FeatureTable], changes: list[Alteration], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        alter(features, changes)
    with pytest.raises(DataError, match=message):
        modalities_left(["image", "text"], changes)


def test_the_report_of_altered_data_says_so() -> None:
    dataset = load_dataset(load_card("synthetic"))
    altered = alter_dataset(dataset, [Masked(modality="image", ratio=0.5), Dropped(modality="text")])
    assert altered.report.missing == {"image": altered.features["image"].n_missing}
    assert altered.report.missing["image"] > 500
    assert altered.report.notes == (
        "features altered on purpose: image masked 0.5",
        "features altered on purpose: text dropped",
    )
    assert altered.fingerprint() == dataset.fingerprint(), "interactions, ids and words stay"
    assert dataset.report.notes == ()


def test_every_alteration_is_registered_under_its_name() -> None:
    assert ALTERATIONS.names() == ("constant", "dropped", "gaussian", "masked", "shuffled")
    for name in ALTERATIONS:
        assert ALTERATIONS[name].model_fields["name"].default == name
