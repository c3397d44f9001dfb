"""ICA: what is masked, what is predicted from what, and what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import Items
from mmrec_bench.models.encoders.base import EncoderContext
from mmrec_bench.models.encoders.codes import kmeans_codes
from mmrec_bench.models.encoders.ica import ICA
from mmrec_bench.models.encoders.ica_encoder import ICAConfig, ICAEncoder
from mmrec_bench.models.encoders.masking import draw_masks, masks_per_modality
from mmrec_bench.seeding import Seeds

N_ITEMS = 20
SMALL: dict[str, Any] = {"embedding_dim": 8, "projection_dim": 12, "n_chunks": 3, "n_heads": 2, "dropout": 0.0}


def tables(seed: int = 0) -> dict[str, FeatureTable]:
    """Image and audio of 20 items; item 3 lacks the image, item 4 the audio, item 5 both."""
    random = np.random.default_rng(seed)
    made = {}
    for modality, dim, missing in (("image", 7, [3, 5]), ("audio", 5, [4, 5])):
        present = np.ones(N_ITEMS, np.bool_)
        present[missing] = False
        values = random.standard_normal((N_ITEMS, dim)).astype(np.float32) + 1
        made[modality] = FeatureTable(modality, values, present, "random")
    return made


def build(seed: int = 1, features: dict[str, FeatureTable] | None = None, **options: Any) -> ICA:
    items = np.array([item for item in range(N_ITEMS) if item not in (5, 6, 7)])
    context = EncoderContext(features or tables(), items, Seeds(seed))
    context.seeds.seed_global("init")
    return ICA(ICAConfig(**{**SMALL, **options}), context)


def chunks_of(model: ICA, ids: list[int]) -> torch.Tensor:
    found = tables()
    rows = [torch.from_numpy(found[name].filled()[ids]) for name in ("audio", "image")]
    return model.encoder.chunks(rows)


def masked_at(n: int, *places: tuple[int, int]) -> torch.Tensor:
    masked = torch.zeros(n, 2, 3, dtype=torch.bool)
    for modality, chunk in places:
        masked[:, modality, chunk] = True
    return masked


@pytest.mark.parametrize("predict_from", ["fused", "tokens"])
def test_the_content_of_masked_chunks_does_not_leak(predict_from: str) -> None:
    model = build(predict_from=predict_from).eval()
    chunks, masked = chunks_of(model, [0, 1, 2]), masked_at(3, (0, 1), (1, 0), (1, 2))
    before, changed = model.predictions(chunks, masked), chunks.clone()
    changed[masked] = torch.randn_like(changed[masked]) * 100
    assert torch.equal(model.predictions(changed, masked), before)
    fused, _ = model.encoder(chunks, masked)
    assert torch.equal(model.encoder(changed, masked)[0], fused)
    changed = chunks.clone()
    changed[:, 0, 0] += 1  # a chunk that is seen
    assert not torch.isclose(model.predictions(changed, masked), before).all(dim=-1).any()


def test_a_lacking_modality_is_masked_whatever_stands_in_its_row() -> None:
    model = build()
    vectors, present = model.encoder.encode(tables())
    other = tables()
    image = other["image"]
    values = image.values.copy()
    values[3] = 7.0  # still absent
    other["image"] = FeatureTable("image", values, image.present, "x")
    assert np.array_equal(model.encoder.encode(other)[0], vectors)
    assert present.tolist() == [item != 5 for item in range(N_ITEMS)]
    assert not vectors[5].any()
    fused, _ = model.encoder.eval()(chunks_of(model, [3]), masked_at(1, (1, 0), (1, 1), (1, 2)))
    assert torch.allclose(fused[0], torch.from_numpy(vectors[3]), atol=1e-6)


def test_items_without_anything_have_no_vector() -> None:
    nothing = {
        name: FeatureTable(name, table.values, np.zeros(N_ITEMS, np.bool_), "x") for name, table in tables().items()
    }
    vectors, present = build().encoder.encode(nothing)
    assert vectors.shape == (N_ITEMS, 8)
    assert not vectors.any()
    assert not present.any()


def test_the_loss_is_the_mean_over_masked_chunks_of_present_modalities() -> None:
    model = build(modality_mask_probability=0.5, mask_ratio=0.4)
    ids = torch.arange(N_ITEMS)
    model.on_epoch_start(3)
    terms = model.loss(Items(ids))
    masked = draw_masks(model.present, [1, 1], 3, 0.5, Seeds(1).generator("masks", 3))
    chunks = chunks_of(model, list(range(N_ITEMS)))
    predicted = model.predictions(chunks, masked)
    for place, name in enumerate(("audio", "image")):
        distances = [
            F.smooth_l1_loss(predicted[item, place, chunk], chunks[item, place, chunk]).item()
            for item in range(N_ITEMS)
            for chunk in range(3)
            if masked[item, place, chunk] and model.present[item, place]
        ]
        assert terms[f"masked_{name}"].item() == pytest.approx(np.mean(distances) / 2, rel=1e-5)
    assert model.loss(Items(torch.tensor([3]))).keys() == terms.keys(), "terms stay the same where none applies"


def test_codes_find_clusters_and_are_those_of_the_nearest_centre() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 200)
    vectors = (10 * random.standard_normal((2, 3))[truth] + random.standard_normal((200, 3))).astype(np.float32)
    pairs = zip(truth.tolist(), kmeans_codes(vectors[:150], vectors, 2, seed=3).tolist(), strict=True)
    assert len(set(pairs)) == 2, "one code a cluster, one cluster a code"
    codes = kmeans_codes(vectors, vectors, 7, seed=3)
    assert np.array_equal(codes, kmeans_codes(vectors, vectors, 7, seed=3))
    centres = np.stack([vectors[codes == code].mean(axis=0) for code in range(7)])
    nearest = ((vectors[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == codes).mean() > 0.95, "after 25 rounds hardly any vector still moves"


def test_codes_of_masked_chunks_are_predicted_by_cross_entropy() -> None:
    model = build(target="codes", n_codes=4, modality_mask_probability=0.0)
    assert model.codes.shape == (N_ITEMS, 2, 3)
    assert set(model.codes[[0, 1, 2, 8, 9]].flatten().tolist()) == {0, 1, 2, 3}
    model.on_epoch_start(0)
    terms = model.loss(Items(torch.arange(3)))
    masked = draw_masks(model.present[:3], [1, 1], 3, 0.0, Seeds(1).generator("masks", 0))
    log_odds = model.predictions(chunks_of(model, [0, 1, 2]), masked)
    for place, name in enumerate(("audio", "image")):
        hit = masked[:, place]
        expected = F.cross_entropy(log_odds[:, place][hit], model.codes[:3, place][hit]) / 2
        assert terms[f"masked_{name}"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_every_switch_changes_the_result() -> None:
    def outcome(**options: Any) -> tuple[float, ...]:
        model = build(**options)
        model.on_epoch_start(0)
        loss = sum(model.loss(Items(torch.arange(8))).values())
        loss.backward()
        gradients = sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
        model.finish()
        vectors, _ = model.encoder.encode(tables())
        return round(loss.item(), 6), round(gradients, 5), round(float(np.abs(vectors).sum()), 4)

    base = outcome()
    changes = [
        {"projection": "trained"}, {"predict_from": "tokens"}, {"target": "codes", "n_codes": 4}, {"centre": False},
        {"mask_ratio": 0.7}, {"modality_mask_probability": 1.0}, {"dropout": 0.5}, {"n_layers": 1}, {"n_chunks": 2},
        {"mask_ratio": {"image": 0.7, "audio": 0.4}}, {"predicted": "all"},
    ]  # fmt: skip
    outcomes = [outcome(**change) for change in changes]
    assert base not in outcomes
    assert len(set(outcomes)) == len(changes)
    assert outcome() == base


@pytest.mark.parametrize("options", [{}, {"projection": "trained"}, {"target": "codes", "n_codes": 4}])
def test_gradients_reach_every_parameter_that_is_trained(options: dict[str, Any]) -> None:
    model = build(**options)
    model.on_epoch_start(0)
    torch.stack(list(model.loss(Items(torch.arange(N_ITEMS))).values())).sum().backward()
    lacking = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not lacking
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all("means" in name or "projections" in name for name in fixed)


def test_one_seed_one_result_and_validation_does_not_waver() -> None:
    first, again, other = build(seed=1), build(seed=1), build(seed=2)
    items = np.array([6, 7, 8])
    assert first.validation_loss(items) == first.validation_loss(items) == again.validation_loss(items)
    assert other.validation_loss(items) != first.validation_loss(items)
    losses = []
    for model in (first, again):
        model.on_epoch_start(2)
        losses.append(sum(model.loss(Items(torch.arange(10))).values()).item())
    assert losses[0] == losses[1]


def test_the_mean_fused_vector_of_the_training_items_is_taken_away() -> None:
    model = build()
    before, _ = model.encoder.encode(tables())
    model.finish()
    after, _ = model.encoder.encode(tables())
    train = model.context.train
    assert np.allclose(after[train].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(after[0] - after[1], before[0] - before[1], atol=1e-5)


def test_saved_weights_encode_alike_without_data() -> None:
    model = build()
    model.finish()
    other = ICAEncoder(model.config, {"image": 7, "audio": 5})
    other.load_state_dict(model.encoder.state_dict())
    assert np.array_equal(other.encode(tables())[0], model.encoder.encode(tables())[0])


def test_masks_have_the_asked_sizes_and_spare_the_only_modality() -> None:
    assert masks_per_modality(0.4, ["a", "b"], 8) == [3, 3]
    assert masks_per_modality({"a": 0.01, "b": 0.99}, ["a", "b"], 8) == [1, 7], "neither none nor all"
    with pytest.raises(ModelError, match="name exactly the modalities a, b; got a, c"):
        masks_per_modality({"a": 0.5, "c": 0.5}, ["a", "b"], 8)
    present = torch.ones(4000, 2, dtype=torch.bool)
    present[:1000, 0] = False
    masked = draw_masks(present, [2, 5], 8, 0.25, torch.Generator().manual_seed(0))
    whole = masked.all(dim=2)
    assert masked[:1000, 0].all(), "what is lacking is masked"
    assert (masked[:1000, 1].sum(dim=1) == 5).all(), "the only modality keeps some chunks"
    both = whole[1000:]
    assert not both.all(dim=1).any(), "never all of an item"
    assert both.any(dim=1).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert both[:, 0].float().mean().item() == pytest.approx(0.125, abs=0.02)
    kept = masked[1000:][~both.any(dim=1)]
    assert (kept[:, 0].sum(dim=1) == 2).all()
    assert (kept[:, 1].sum(dim=1) == 5).all()
    assert (kept.float().mean(dim=0) - torch.tensor([[2 / 8], [5 / 8]])).abs().max() < 0.05, "every chunk alike"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projection_dim": 10}, r"multiple of n_chunks \(3\); got 10"),
        ({"n_heads": 3}, r"multiple of n_heads \(3\); got 8"),
        ({"target": "codes"}, "n_codes belongs to target: codes"),
        ({"n_codes": 4}, "n_codes belongs to target: codes"),
        ({"target": "codes", "n_codes": 4, "projection": "trained"}, "needs projection: fixed"),
        ({"mask_ratio": 1.0}, "less than 1"),
        ({"n_chunks": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ICAConfig(**{**SMALL, **options})


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(ModelError, match="ica needs features of at least one modality"):
        ICA(ICAConfig(**SMALL), EncoderContext({}, np.arange(3), Seeds(0)))
    with pytest.raises(ModelError, match=r"'audio': 5, 'image': 7.*got \{'image': 7\}"):
        build().encoder.encode({"image": tables()["image"]})
    with pytest.raises(ModelError, match="n_codes must be at most"):
        build(target="codes", n_codes=5000)
