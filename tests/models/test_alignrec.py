"""AlignRec: each term of the released loss, each switch, and what an item without content becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, ModelContext
from mmrec_bench.models.retrieval.alignrec import AlignRec, AlignRecConfig
from mmrec_bench.testing.model_checks import check_gradients
from mmrec_bench.testing.subjects import Subject, all_scores


def build(context: ModelContext, **options: Any) -> AlignRec:
    torch.manual_seed(0)
    return AlignRec(AlignRecConfig.model_validate({"n_neighbors": 4, **options}), context)


def terms(toy: Any, **options: Any) -> dict[str, float]:
    model = build(toy.context, content="image", preset="released", **options)
    toy.fill(model)
    return {name: term.item() for name, term in model.loss(toy.batch(model)).items()}


def test_the_terms_of_the_released_code(toy: Any) -> None:
    """Unweighted, from a run of the released code on the toy problem."""
    found = terms(toy)
    assert found["bpr"] == pytest.approx(0.661185, rel=1e-4)
    assert found["reg"] == pytest.approx(0.000024, abs=5e-7)
    assert (found["cca-items"] + found["cca-users"]) / 0.01 == pytest.approx(4.512522, rel=1e-4)
    assert found["uia"] / 0.1 == pytest.approx(0.207286, rel=1e-4)
    assert found["similarity"] / 0.1 == pytest.approx(0.429476, rel=1e-4)


def test_without_user_item_alignment(toy: Any) -> None:
    assert sum(terms(toy, uia_weight=0.0).values()) == pytest.approx(0.749282, rel=1e-4)


def test_a_weight_of_zero_leaves_its_term_out(toy: Any) -> None:
    names = {"cca_weight": {"cca-items", "cca-users"}, "uia_weight": {"uia"}, "similarity_weight": {"similarity"}}
    everything = set(terms(toy))
    for weight, gone in {**names, "reg_weight": {"reg"}}.items():
        assert everything - set(terms(toy, **{weight: 0.0})) == gone


def test_repeated_rows_of_a_batch_count_as_often_as_they_stand_in_it(toy: Any) -> None:
    model = build(toy.context, content="image")
    toy.fill(model)
    ids = torch.tensor([0, 1, 0, 0, 3, 1])
    batch = replace(toy.triplets, users=ids, positives=ids + 2, negatives=ids + 9)
    found = model.loss(batch)
    users, items, content = (table.detach() for table in model._propagate())
    user_mm = model.graph(content)[batch.users]
    item_mm, item_id, user_id = content[batch.positives], items[batch.positives], users[batch.users]

    def nce(a: Tensor, b: Tensor) -> float:
        a, b = torch.nn.functional.normalize(a), torch.nn.functional.normalize(b)
        return float(torch.nn.functional.cross_entropy(a @ b.T / 0.2, torch.arange(len(a))))

    raw = toy.context.features["image"].values[batch.positives]
    unit = torch.from_numpy(raw / np.linalg.norm(raw, axis=1, keepdims=True))
    gap = torch.linalg.norm(item_mm @ item_mm.T - unit @ unit.T) / len(ids)
    cosine = torch.nn.functional.cosine_similarity(user_id + user_mm, item_id + item_mm).mean()
    assert found["cca-users"].item() == pytest.approx(0.01 * nce(user_mm, user_id), rel=1e-4)
    assert found["cca-items"].item() == pytest.approx(0.01 * nce(item_mm, item_id), rel=1e-4)
    assert found["similarity"].item() == pytest.approx(0.1 * gap.item(), rel=1e-4)
    assert found["uia"].item() == pytest.approx(0.1 * (1 - cosine.item()), rel=1e-4)


def test_a_live_target_follows_the_fine_tuned_vectors_and_a_frozen_one_does_not(toy: Any) -> None:
    def gap(target: str) -> list[float]:
        model = build(toy.context, content="image", reg_target=target)
        found = []
        for _ in range(2):
            found.append(model.loss(toy.batch(model))["similarity"].item())
            with torch.no_grad():
                assert isinstance(model.projection.raw, torch.nn.Parameter)
                model.projection.raw += torch.arange(10.0)  # h_mm moves, and so does a live target
        return found

    frozen, live = gap("frozen"), gap("live")
    assert frozen[0] == live[0]
    assert frozen[1] != live[1]


@pytest.mark.parametrize(
    "options",
    [
        {"content": "image"},
        {"content": "text"},
        {"gate": "none"},
        {"n_item_layers": 0},
        {"n_item_layers": 2},
        {"n_layers": 1},
        {"n_neighbors": 2},
    ],
    ids=str,
)
def test_every_switch_of_the_forward_pass_changes_the_scores(toy: Any, options: dict[str, Any]) -> None:
    models = [build(toy.context), build(toy.context, **options)]
    for model in models:
        toy.fill(model)
    plain, other = (all_scores(model.export()) for model in models)
    assert not torch.allclose(plain, other)


@pytest.mark.parametrize(
    "options",
    [{"gate": "none"}, {"n_item_layers": 0}, {"gate": "none", "n_item_layers": 0}, {"train_features": False}],
    ids=str,
)
def test_no_switch_leaves_a_parameter_without_gradient(options: dict[str, Any]) -> None:
    check_gradients(Subject(MODELS["alignrec"], options))


def test_joined_tables_are_what_is_concatenated(toy: Any) -> None:
    image, text = (toy.context.features[name] for name in ("image", "text"))
    unit = [t.values / np.linalg.norm(t.values, axis=1, keepdims=True) for t in (image, text)]
    table = FeatureTable("both", np.concatenate(unit, axis=1).astype(np.float32), image.present, "by hand")
    given = replace(toy.context, features={**toy.context.features, "both": table})
    ours, theirs = build(toy.context), build(given, content="both")
    assert torch.allclose(all_scores(ours.export()), all_scores(theirs.export()), atol=1e-7)


def test_an_item_without_content_keeps_its_identity_alone(toy: Any) -> None:
    image = toy.context.features["image"]
    present = np.ones(image.n_items, np.bool_)
    present[3] = False
    table = FeatureTable("image", image.values, present, "toy")
    model = build(replace(toy.context, features={"image": table}), content="image")
    _, items, content = model._propagate()
    assert not content[3].any()
    assert items[3].any()


def test_frozen_features_stay_bitwise(toy: Any) -> None:
    model = build(toy.context, train_features=False)
    before = model.projection.raw.clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.stack(list(model.loss(toy.batch(model)).values())).sum().backward()
        optimizer.step()
    assert torch.equal(model.projection.raw, before)
    assert torch.equal(model.target, before)


def test_an_unknown_table_is_refused_by_name(toy: Any) -> None:
    with pytest.raises(ModelError, match=r"missing: fused.*image, text"):
        build(toy.context, content="fused")
