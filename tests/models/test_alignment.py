"""Behaviour-modal alignment: its terms, and what it does to the models that take it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.errors import ConfigError
from mmrec_bench.models.alignment import AlignableConfig, BMAConfig, TwoLines, behaviour_modal_alignment
from mmrec_bench.models.base import MODELS, ModelContext
from mmrec_bench.models.blocks import Distinct
from mmrec_bench.settings import Document, parse_yaml

HOSTS = [name for name in MODELS if issubclass(MODELS[name].config, AlignableConfig)]
OPTIONS: dict[str, dict[str, Any]] = {
    "alignrec": {"n_neighbors": 4},
    "bm3": {"dropout": 0.0},
    "dream": {"n_neighbors": 4, "n_user_neighbors": 3},
    "freedom": {"n_neighbors": 4},
    "mgcn": {"n_neighbors": 4},
}
TERMS = ("intra-behaviour", "intra-modal", "inter-users", "inter-items")
USERS, ITEMS = torch.tensor([2, 0, 2, 1, 0]), torch.tensor([1, 1, 3, 0, 1])


def build(name: str, context: ModelContext, options: Mapping[str, Any] | None = None, **bma: Any) -> Any:
    torch.manual_seed(0)
    data = {"name": name, **OPTIONS.get(name, {}), **(options or {}), "alignment": {"bma": bma or None}}
    return MODELS[name].build(MODELS[name].config.model_validate(data), context)


def lines(ids: Tensor, seed: int) -> tuple[TwoLines, np.ndarray, np.ndarray]:
    """Random vectors of some ids, and the two tables they are rows of."""
    behaviour, modal = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(seed)).unbind()
    rows = Distinct.of(ids)
    part = TwoLines(rows, behaviour[rows.ids], modal[rows.ids])
    return part, behaviour[ids].numpy().astype(np.float64), modal[ids].numpy().astype(np.float64)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right))
    return np.asarray(next(unit) @ next(unit).T)


def slow_nce(anchors: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    logits = np.exp(cosines(anchors, targets) / temperature)
    return float(np.mean([-np.log(logits[row, row] / logits[row].sum()) for row in range(len(logits))]))


def slow_gap(left: np.ndarray, right: np.ndarray) -> float:
    return float(1 - np.diag(cosines(left, right)).mean())


@pytest.mark.parametrize(
    ("inter", "direction"),
    [("infonce", "behaviour-to-modal"), ("infonce", "modal-to-behaviour"), ("cosine", "behaviour-to-modal")],
)
def test_terms_against_their_formulas(inter: str, direction: str) -> None:
    config = BMAConfig.model_validate(
        {"intra_weight": 0.5, "inter_weight": 0.25, "inter": inter, "direction": direction, "temperature": 0.3}
    )
    (users, user_behaviour, user_modal), (items, item_behaviour, item_modal) = lines(USERS, 0), lines(ITEMS, 1)

    def across(behaviour: np.ndarray, modal: np.ndarray) -> float:
        if inter == "cosine":
            return slow_gap(behaviour, modal)
        forward = direction == "behaviour-to-modal"
        return slow_nce(behaviour, modal, 0.3) if forward else slow_nce(modal, behaviour, 0.3)

    terms = behaviour_modal_alignment(config, users, items)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "bma-intra-behaviour": 0.5 * slow_gap(user_behaviour, item_behaviour),
            "bma-intra-modal": 0.5 * slow_gap(user_modal, item_modal),
            "bma-inter-users": 0.25 * across(user_behaviour, user_modal),
            "bma-inter-items": 0.25 * across(item_behaviour, item_modal),
        },
        rel=1e-5,
    )


def test_vectors_are_the_sum_of_both_lines() -> None:
    users, behaviour, modal = lines(USERS, 0)
    np.testing.assert_allclose(users.vectors().numpy(), behaviour + modal, rtol=1e-6)


def test_these_models_take_it_in() -> None:
    assert {"alignrec", "bm3", "dream", "freedom", "lgmrec", "mgcn", "vbpr"} <= set(HOSTS)


def losses(model: Any, toy: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)  # some models draw noise
    terms: dict[str, Tensor] = model.loss(toy.batch(model))
    return terms


@pytest.mark.parametrize("name", HOSTS)
def test_zero_weights_are_no_alignment_and_others_change_no_other_term(name: str, toy: Any) -> None:
    weightless = build(name, toy.context, intra_weight=0.0, inter_weight=0.0)
    plain = build(name, toy.context)
    aligned = build(name, toy.context, intra_weight=0.5, inter_weight=0.5)
    for model in (plain, aligned):
        model.load_state_dict(weightless.state_dict())
    expected, got, more = losses(plain, toy), losses(weightless, toy), losses(aligned, toy)
    assert list(got) == list(expected)
    assert set(more) - set(expected) == {f"bma-{term}" for term in TERMS}
    for term, value in expected.items():
        assert torch.equal(got[term], value)
        assert torch.equal(more[term], value)


MODAL: dict[str, Callable[[Any], list[Tensor]]] = {
    "alignrec": lambda model: [model.projection.linear.weight],
    "dream": lambda model: [content.projection.linear.weight for content in model.contents],
    "lgmrec": lambda model: [projection.linear.weight for _, projection in model.maps.by_modality()],
    "mgcn": lambda model: [view.projection.linear.weight for view in model.views],
    "vbpr": lambda model: [projection.linear.weight for _, projection in model.projections.by_modality()],
}
"""Parameters of the modal line; by default those of ``projections``."""


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("kind", ["intra-behaviour", "intra-modal", "inter"])
def test_gradients_reach_the_lines_a_term_is_about(name: str, kind: str, toy: Any) -> None:
    model = build(name, toy.context, intra_weight=1.0, inter_weight=1.0)
    terms = model.loss(toy.batch(model))
    torch.stack([term for key, term in terms.items() if key.startswith(f"bma-{kind}")]).sum().backward()
    behaviour, modal = [model.users.weight, model.items.weight], MODAL.get(name, MODAL["vbpr"])(model)
    reached = (behaviour if kind != "intra-modal" else []) + (modal if kind != "intra-behaviour" else [])
    assert all(weight.grad is not None and weight.grad.any() for weight in reached)


@pytest.mark.parametrize("name", ["bm3", "freedom"])
def test_users_look_like_the_content_of_their_training_items(name: str, toy: Any) -> None:
    model = build(name, toy.context, intra_weight=0.0, inter_weight=1.0)
    batch = toy.batch(model)
    got = model.loss(batch)
    train = toy.context.train.matrix().toarray().astype(np.float64)
    degrees = np.sqrt(train.sum(1, keepdims=True) * train.sum(0, keepdims=True))
    r = np.divide(train, degrees, out=np.zeros_like(train), where=degrees > 0)
    with torch.no_grad():
        content = sum(part.all() for _, part in model.projections.by_modality()).numpy().astype(np.float64)
        graph = model.graph.pruned if name == "freedom" else None
        users, items = (table.numpy() for table in (model._propagate(graph) if graph else model._propagate()))
    ids = batch.users.numpy(), (batch.items if name == "bm3" else batch.positives).numpy()
    assert got["bma-inter-users"].item() == pytest.approx(slow_nce(users[ids[0]], (r @ content)[ids[0]], 0.2), rel=1e-4)
    assert got["bma-inter-items"].item() == pytest.approx(slow_nce(items[ids[1]], content[ids[1]], 0.2), rel=1e-4)


@pytest.mark.parametrize(("name", "own"), [("mgcn", "contrastive"), ("alignrec", "cca")])
def test_models_that_contrast_their_lines_align_the_same_vectors(name: str, own: str, toy: Any) -> None:
    model = build(name, toy.context, intra_weight=0.0, inter_weight=0.01, direction="modal-to-behaviour")
    terms = model.loss(toy.triplets)  # the same direction, temperature and weight
    for part in ("users", "items"):
        torch.testing.assert_close(terms[f"bma-inter-{part}"], terms[f"{own}-{part}"])


def test_vbpr_aligns_the_halves_of_its_vectors(toy: Any) -> None:
    model = build("vbpr", toy.context, intra_weight=1.0, inter_weight=0.0)
    vectors = model.export()
    (u_b, u_m), (i_b, i_m) = (
        table.double().numpy().reshape(-1, 2, 64).swapaxes(0, 1) for table in (vectors.users, vectors.items)
    )
    users, items = toy.triplets.users.numpy(), toy.triplets.positives.numpy()
    terms = model.loss(toy.triplets)
    assert terms["bma-intra-behaviour"].item() == pytest.approx(slow_gap(u_b[users], i_b[items]), rel=1e-4)
    assert terms["bma-intra-modal"].item() == pytest.approx(slow_gap(u_m[users], i_m[items]), rel=1e-4)


def test_lgmrec_aligns_propagated_identities_with_what_modalities_add(toy: Any) -> None:
    model = build("lgmrec", toy.context, {"hypergraph_weight": 0.0}, intra_weight=1.0, inter_weight=0.0)
    behaviour = model.graph.propagate(model.users.all(), model.items.all(), model.config.n_layers)
    vectors, terms = model.export(), model.loss(toy.triplets)
    rows = []
    for table, final, ids in zip(
        behaviour, (vectors.users, vectors.items), (toy.triplets.users, toy.triplets.positives), strict=True
    ):
        own = table[ids].detach().double().numpy()
        rows.append((own, final[ids].double().numpy() - own))
    for line, term in enumerate(("bma-intra-behaviour", "bma-intra-modal")):
        assert terms[term].item() == pytest.approx(slow_gap(rows[0][line], rows[1][line]), rel=1e-4)


def test_it_is_written_as_a_section() -> None:
    text = "name: mgcn\nalignment: {bma: {inter: cosine}}"
    config = parse_yaml(text, "x").parse(MODELS["mgcn"].config)
    assert config.model_dump()["alignment"]["bma"]["inter"] == "cosine"
    for wrong, message in (
        ({"name": "mgcn", "alignment": {"bma": {"inter": "nce"}}}, "alignment.bma.inter.*'infonce' or 'cosine'.*'nce'"),
        ({"name": "mgcn", "alignment": {"bam": {}}}, "alignment.bam.*did you mean 'bma'"),
        ({"name": "mgcn", "alignment": {"bma": {"intra_weight": -0.1}}}, "greater than or equal to 0; got -0.1"),
        ({"name": "lightgcn", "alignment": {"bma": {}}}, "alignment.*unknown key"),
    ):
        with pytest.raises(ConfigError, match=message):
            Document("x", wrong).parse(MODELS[wrong["name"]].config)
