"""What must hold exactly between models, switches and their degenerate settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, GradientRecommender, ModelContext, Triplets
from mmrec_bench.models.blocks import IdEmbedding, ItemHost, ItemRepresentation, mixed_item_graph
from mmrec_bench.models.retrieval.bm3 import BM3
from mmrec_bench.models.retrieval.freedom import FREEDOM
from mmrec_bench.models.retrieval.lightgcn import LightGCN
from mmrec_bench.models.retrieval.mf import MF
from mmrec_bench.models.retrieval.mgcn import MGCN
from mmrec_bench.models.retrieval.vbpr import VBPR
from mmrec_bench.testing.subjects import Subject, every_subject
from tests.models.contexts import exported

SMALL: dict[str, dict[str, Any]] = {
    "dream": {"n_neighbors": 4, "n_user_neighbors": 3},
    "mf": {},
    "lightgcn": {},
    "vbpr": {},
    "bm3": {"dropout": 0.0},
    "freedom": {"n_neighbors": 4},
    "mgcn": {"n_neighbors": 4},
    "smore": {"n_neighbors": 4, "n_image_neighbors": 3},
    "slmrec": {},
    "da-mrs": {"n_neighbors": 4},
    "pgl": {"n_neighbors": 4, "edge_dropout": 0.0},
    "lattice": {"n_neighbors": 4},
    "lgmrec": {},
    "dragon": {"n_neighbors": 4},
    "dualgnn": {},
    "grcn": {},
    "mmgcn": {},
    "mvgae": {"noise": 0.0, "dropout": 0.0},
    "layergcn": {},
    "mmgcf": {},
    "selfcf": {"dropout": 0.0, "edge_dropout": 0.0},
    "directau": {},
    "simgcl": {},
}
NO_IDENTITIES = {"dragon", "pgl", "dualgnn"}
"""Models without a table of item identities."""
SHARES = {"image_weight", "initial_weight", "hypergraph_weight"}
"""Weights of what enters the vectors, not of terms of the loss."""


def build(name: str, context: ModelContext, **options: Any) -> Any:
    torch.manual_seed(0)
    config = MODELS[name].config.model_validate({"name": name, **SMALL[name], **options})
    return MODELS[name].build(config, context)


def total(model: GradientRecommender, batch: Any) -> Tensor:
    return torch.stack(list(model.loss(batch).values())).sum()


def test_vbpr_without_content_is_mf(toy: Any) -> None:
    vbpr: VBPR = build("vbpr", toy.context)
    with torch.no_grad():
        for _, projection in vbpr.projections.by_modality():
            projection.linear.weight.zero_()
    users, items = vbpr.users.all()[:, :64], vbpr.items.all()
    torch.testing.assert_close(exported(vbpr).users @ exported(vbpr).items.T, users @ items.T)


def test_vbpr_starts_as_one_xavier_normal_matrix(toy: Any) -> None:
    values = np.random.default_rng(0).standard_normal((24, 900)).astype(np.float32)
    wide = FeatureTable("image", values, np.ones(24, np.bool_), "test")
    vbpr: VBPR = build("vbpr", replace(toy.context, features={**toy.context.features, "image": wide}))
    std = (2 / (900 + 6 + 64)) ** 0.5
    for _, projection in vbpr.projections.by_modality():
        assert projection.linear.weight.std().item() == pytest.approx(std, rel=0.1)
    assert not vbpr.bias.any()


def test_lightgcn_without_layers_scores_like_mf(toy: Any) -> None:
    lightgcn, mf = build("lightgcn", toy.context, n_layers=0), build("mf", toy.context)
    mf.load_state_dict(lightgcn.state_dict())
    assert torch.equal(exported(lightgcn).users, exported(mf).users)
    assert torch.equal(exported(lightgcn).items, exported(mf).items)


def test_freedom_whose_items_neighbour_only_themselves_is_the_encoder_of_bm3(toy: Any) -> None:
    freedom: FREEDOM = build("freedom", toy.context, n_neighbors=1, dropout=0.0)
    bm3: BM3 = build("bm3", toy.context, n_layers=2)
    lightgcn: LightGCN = build("lightgcn", toy.context, n_layers=2)
    for model in (bm3, lightgcn):
        model.users.load_state_dict(freedom.users.state_dict())
        model.items.load_state_dict(freedom.items.state_dict())
    vectors, plain = exported(freedom), exported(lightgcn)
    torch.testing.assert_close(vectors.users, plain.users)
    torch.testing.assert_close(vectors.items, plain.items + freedom.items.all())
    torch.testing.assert_close(exported(bm3).items, bm3.predictor(vectors.items))


def test_freedom_without_content_losses_leaves_features_alone(toy: Any) -> None:
    freedom: FREEDOM = build("freedom", toy.context, content_weight=0.0)
    total(freedom, toy.triplets).backward()
    for name, parameter in freedom.named_parameters():
        assert (parameter.grad is None) == name.startswith("projections"), name


def test_freedom_without_item_layers_adds_the_identities(toy: Any) -> None:
    no_graph = build("freedom", toy.context, n_item_layers=0)
    own_neighbour = build("freedom", toy.context, n_neighbors=1)
    own_neighbour.load_state_dict(no_graph.state_dict())
    torch.testing.assert_close(exported(no_graph).items, exported(own_neighbour).items)


def test_freedom_item_layers_are_powers_of_the_graph(toy: Any) -> None:
    one, two = build("freedom", toy.context, n_item_layers=1), build("freedom", toy.context, n_item_layers=2)
    two.load_state_dict(one.state_dict())
    graph, ids = one.item_graph.matrix.tensor().to_dense(), one.items.all()
    torch.testing.assert_close(
        exported(two).items - exported(one).items, graph @ graph @ ids - graph @ ids, rtol=1e-4, atol=1e-6
    )


def test_freedom_trains_on_pruned_edges_and_exports_the_full_graph(toy: Any) -> None:
    pruned: FREEDOM = build("freedom", toy.context, dropout=0.8)
    full: FREEDOM = build("freedom", toy.context, dropout=0.0)
    full.load_state_dict(pruned.state_dict())
    torch.testing.assert_close(exported(pruned).users, exported(full).users)
    torch.testing.assert_close(exported(pruned).items, exported(full).items)
    assert total(pruned, toy.triplets) != total(full, toy.triplets)
    assert len(pruned.graph.pruned.matrix.values) == int(len(toy.context.train) * (1 - 0.8))


def test_freedom_draws_edges_by_seed_and_epoch_alone(toy: Any) -> None:
    def edges(model: FREEDOM) -> list[int]:
        return model.graph.pruned.matrix.columns.tolist()

    model: FREEDOM = build("freedom", toy.context, dropout=0.5)
    first = edges(model)
    model.on_epoch_start(7)
    seventh = edges(model)
    model.on_epoch_start(0)
    assert edges(model) == first != seventh
    resumed: FREEDOM = build("freedom", toy.context, dropout=0.5)
    resumed.on_epoch_start(7)
    assert edges(resumed) == seventh


def test_weights_of_mixed_item_graphs(toy: Any) -> None:
    image, text = toy.context.features["image"], toy.context.features["text"]
    audio = FeatureTable("audio", text.values[::-1].copy(), text.present, "test")

    def sums(*tables: FeatureTable) -> set[float]:
        return set(np.round(np.asarray(mixed_item_graph(tables, 4, 0.1).sum(axis=1)).ravel(), 5))

    assert sums(image) == sums(text) == sums(image, text) == sums(audio, image, text) == {1.0}
    alone = [mixed_item_graph((table,), 4, 0.1).toarray() for table in (audio, image, text)]
    np.testing.assert_allclose(
        mixed_item_graph((audio, image, text), 4, 0.1).toarray(),
        0.45 * alone[0] + 0.1 * alone[1] + 0.45 * alone[2],
        atol=1e-7,
    )
    np.testing.assert_allclose(
        mixed_item_graph((audio, text), 4, 0.1).toarray(), 0.5 * alone[0] + 0.5 * alone[2], atol=1e-7
    )


def test_bm3_targets_are_dropped_out_in_training_alone_and_carry_no_gradient(toy: Any) -> None:
    bm3: BM3 = build("bm3", toy.context, dropout=0.5, reg_weight=0.0)
    batch = toy.batch(bm3)
    assert total(bm3, batch) != total(bm3, batch)
    bm3.eval()
    assert total(bm3, batch) == total(bm3, batch)
    torch.nn.init.zeros_(bm3.predictor.weight)  # predictions no longer depend on the vectors: only targets do
    total(bm3, batch).backward()
    assert bm3.users.weight.grad is not None
    assert not bm3.users.weight.grad.any()


def test_scopes_of_the_regulariser_of_bm3(toy: Any) -> None:
    bm3: BM3 = build("bm3", toy.context, reg_weight=1.0)
    everyone: BM3 = build("bm3", toy.context, reg_weight=1.0, reg_scope="all", reg_form="squared")
    everyone.load_state_dict(bm3.state_dict())
    batch = toy.batch(bm3)
    lightgcn: LightGCN = build("lightgcn", toy.context, n_layers=1)
    lightgcn.load_state_dict({key: value for key, value in bm3.state_dict().items() if key.endswith("s.weight")})
    users, items = exported(lightgcn).users, exported(lightgcn).items + bm3.items.all()
    rows = users[batch.users].square().sum() + items[batch.items].square().sum()
    torch.testing.assert_close(bm3.loss(batch)["reg"], rows / 2 / 8)
    whole = users.square().sum() + items.square().sum()
    torch.testing.assert_close(everyone.loss(batch)["reg"], whole / 2 / 24)


def test_divisors_of_the_regulariser_of_mgcn_differ_in_a_short_batch_alone(toy: Any) -> None:
    actual, configured = build("mgcn", toy.context), build("mgcn", toy.context, preset="released")
    configured.load_state_dict(actual.state_dict())
    short = Triplets(*(ids[:2] for ids in (toy.triplets.users, toy.triplets.positives, toy.triplets.negatives)))
    for batch, ratio in ((toy.triplets, 1.0), (short, 2 / 8)):
        torch.testing.assert_close(configured.loss(batch)["reg"], ratio * actual.loss(batch)["reg"])


def test_mgcn_content_of_items_without_features_is_nothing(toy: Any) -> None:
    image = toy.context.features["image"]
    present = image.present.copy()
    present[3] = False
    context = replace(
        toy.context, features={**toy.context.features, "image": FeatureTable("image", image.values, present, "test")}
    )
    mgcn: MGCN = build("mgcn", context)
    view = mgcn.views[0](mgcn.items.all())
    assert not view[3].any()
    assert view[4].any()
    total(mgcn, toy.triplets).backward()
    raw = mgcn.get_parameter("views.0.projection.raw")
    assert raw.grad is not None
    assert not raw.grad[3].any()
    assert raw.grad[4].any()


OTHERWISE: dict[str, dict[str, Any]] = {
    "lattice": {
        "embedding_dim": 8,
        "backbone": "ngcf",
        "n_layers": 1,
        "n_item_layers": 2,
        "n_neighbors": 3,
        "initial_weight": 0.5,
        "reg_weight": 0.1,
        "reg_divisor": "configured",
    },
    "smore": {
        "embedding_dim": 8,
        "n_layers": 1,
        "n_item_layers": 2,
        "n_neighbors": 3,
        "n_image_neighbors": 5,
        "dropout": 0.5,
        "contrastive_weight": 0.1,
        "temperature": 0.5,
        "reg_weight": 0.1,
        "reg_divisor": "configured",
    },
    "da-mrs": {
        "embedding_dim": 8,
        "n_layers": 1,
        "n_item_layers": 2,
        "n_neighbors": 2,
        "n_behaviour_neighbors": 1,
        "min_shared_users": 1,
        "relation_weight": 0.1,
        "n_relations": 4,
        "temperature": 0.5,
        "preference_weight": 0.5,
    },
    "lgmrec": {
        "embedding_dim": 8,
        "n_layers": 1,
        "n_modal_layers": 1,
        "n_hyperedges": 3,
        "n_hyper_layers": 2,
        "assignment_temperature": 0.5,
        "dropout": 0.1,
        "hypergraph_weight": 0.5,
        "contrastive_weight": 0.1,
        "contrastive_reduction": "sum",
        "temperature": 0.5,
        "reg_weight": 0.1,
        "reg_form": "frobenius",
    },
    "dragon": {
        "embedding_dim": 8,
        "hidden_dim": 8,
        "n_layers": 1,
        "n_item_layers": 2,
        "n_neighbors": 3,
        "image_weight": 0.5,
        "n_user_neighbors": 2,
        "pad": "resample",
        "log_base": 2,
        "reg_weight": 0.1,
    },
    "grcn": {
        "embedding_dim": 8,
        "n_layers": 1,
        "n_routings": 1,
        "routing_direction": "user-to-item",
        "reg_image_twice": True,
        "reg_weight": 0.1,
    },
    "mvgae": {
        "embedding_dim": 8,
        "hidden_dim": 8,
        "dropout": 0.5,
        "noise": 0.5,
        "kl_weight": 0.1,
        "item_offset": False,
        "double_sigmoid": True,
        "shared_hard_negative": True,
        "log_base": 2,
        "reduction": "sum",
    },
    "mmgcn": {
        "embedding_dim": 8,
        "image_dim": 8,
        "n_layers": 2,
        "combine": "add",
        "reg_preferences": "image",
        "reg_weight": 0.1,
    },
    "dualgnn": {
        "embedding_dim": 8,
        "hidden_dim": 8,
        "n_layers": 1,
        "n_user_neighbors": 2,
        "pad": "resample",
        "log_base": 2,
        "reg_weight": 0.1,
        "fusion_alias": True,
        "reg_item_gates": True,
    },
    "layergcn": {
        "embedding_dim": 8,
        "n_layers": 2,
        "dropout": 0.3,
        "reg_weight": 0.1,
        "reduction": "sum",
    },
    "directau": {"embedding_dim": 8, "n_layers": 1, "uniformity_weight": 0.5},
    "simgcl": {
        "embedding_dim": 8,
        "n_layers": 3,
        "noise": 0.5,
        "contrastive_weight": 0.5,
        "temperature": 0.5,
        "reg_weight": 0.1,
    },
    "selfcf": {
        "embedding_dim": 8,
        "n_layers": 1,
        "dropout": 0.5,
        "edge_dropout": 0.5,
        "reg_weight": 0.1,
        "reg_reduction": "sum",
    },
    "mmgcf": {
        "embedding_dim": 8,
        "n_layers": 1,
        "fusion": "mean",
        "weighting": "alpha",
        "dropout": 0.5,
        "reg_weight": 0.1,
    },
}
"""Other values of settings. Elsewhere: what only an export, an optimiser, another epoch or one backbone reads, and
plug-ins."""


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, options in OTHERWISE.items() for key in options])
def test_every_setting_changes_the_loss(name: str, key: str, toy: Any) -> None:
    elsewhere = {
        "name",
        "preset",
        "eval_noise",
        "stale_grad",
        "train_features",
        "train_free_tensors",
        "alignment",
        "pruning",
        "score_from",
    }
    elsewhere |= {"dropout"} - set(OTHERWISE[name])
    assert set(MODELS[name].config.model_fields) - elsewhere == set(OTHERWISE[name])
    short = Triplets(*(ids[:3] for ids in (toy.triplets.users, toy.triplets.positives, toy.triplets.negatives)))
    losses = []
    for options in ({}, {key: OTHERWISE[name][key]}):
        model = build(name, toy.context, **options)
        torch.manual_seed(1)
        losses.append(total(model, replace(toy, triplets=short).batch(model)).item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-7)


def test_terms_without_weight_are_left_out(toy: Any) -> None:
    weights = {
        "dream": {"reg_weight": 0.0, "s3_weight": 0.0, "alignment": {"bma": None}},
        "mf": {"reg_weight": 0.0},
        "lightgcn": {"reg_weight": 0.0},
        "vbpr": {"reg_weight": 0.0},
        "bm3": {"reg_weight": 0.0, "alignment_weight": 0.0},
        "freedom": {"content_weight": 0.0},
        "mgcn": {"reg_weight": 0.0, "contrastive_weight": 0.0},
        "smore": {"reg_weight": 0.0, "contrastive_weight": 0.0},
        "pgl": {"contrastive_weight": 0.0},
        "da-mrs": {"relation_weight": 0.0, "preference_weight": 0.0},
        "lattice": {"reg_weight": 0.0},
        "lgmrec": {"reg_weight": 0.0, "contrastive_weight": 0.0},
        "dragon": {"reg_weight": 0.0},
        "dualgnn": {"reg_weight": 0.0},
        "grcn": {"reg_weight": 0.0},
        "mmgcn": {"reg_weight": 0.0},
        "mvgae": {"kl_weight": 0.0},
        "layergcn": {"reg_weight": 0.0},
        "mmgcf": {"reg_weight": 0.0},
        "selfcf": {"reg_weight": 0.0},
        "directau": {"uniformity_weight": 0.0},
        "simgcl": {"reg_weight": 0.0, "contrastive_weight": 0.0},
    }
    for name, options in weights.items():
        model = build(name, toy.context, **options)
        aligned = {"user-item", "item-user"}
        kept = {"bm3": aligned, "selfcf": aligned, "directau": {"alignment"}}.get(name, {"bpr"})
        assert set(model.loss(toy.batch(model))) == kept


@pytest.mark.parametrize("name", SMALL)
def test_weights_scale_their_terms(name: str, toy: Any) -> None:
    fields = [key for key in MODELS[name].config.model_fields if key.endswith("_weight") and key not in SHARES]
    for key in fields:
        once, twice = (build(name, toy.context, **{key: weight}) for weight in (0.5, 1.0))
        twice.load_state_dict(once.state_dict())
        small, large = once.eval().loss(toy.batch(once)), twice.eval().loss(toy.batch(twice))
        scaled = {term for term in small if not torch.equal(small[term], large[term])}
        assert scaled, key
        assert all(torch.allclose(2 * small[term], large[term]) for term in scaled), key


class Doubled(ItemRepresentation):
    """Another representation: rows of half the table, doubled."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.halves = torch.nn.Parameter(table / 2)

    def all(self) -> Tensor:
        return 2 * self.halves

    def rows(self, ids: Tensor) -> Tensor:
        return 2 * self.halves.index_select(0, ids)


@pytest.mark.parametrize("name", [name for name in SMALL if name not in NO_IDENTITIES])
def test_items_are_read_only_through_their_representation(name: str, toy: Any) -> None:
    model = build(name, toy.context).eval()
    assert isinstance(model, ItemHost)
    assert isinstance(model.items, IdEmbedding)
    batch = toy.batch(model)
    before, vectors = model.loss(batch), exported(model)
    table = model.items
    model.items = Doubled(table.all().detach())
    with torch.no_grad():
        table.weight.fill_(torch.nan)
    after = model.loss(batch)
    for term, value in before.items():
        torch.testing.assert_close(after[term], value)
    torch.testing.assert_close(exported(model).items, vectors.items)
    total(model, batch).backward()
    assert model.items.halves.grad is not None
    assert model.items.halves.grad.any()


def test_mgcn_needs_images_and_texts(toy: Any) -> None:
    with pytest.raises(ModelError, match=r"mgcn needs the modalities image, text; missing: image.*has: text"):
        build("mgcn", replace(toy.context, features={"text": toy.context.features["text"]}))


def test_more_neighbours_than_items_with_features_are_refused(toy: Any) -> None:
    for name in ("freedom", "mgcn", "lattice", "dragon", "dream"):
        with pytest.raises(ModelError, match=r"modality 'image': .*1 <= n_neighbors < 24.*got 24"):
            build(name, toy.context, n_neighbors=24)


@pytest.mark.parametrize("subject", [subject for subject in every_subject() if subject.needs.features], ids=str)
def test_a_modality_that_no_item_has_is_refused_by_every_model(toy: Any, subject: Subject) -> None:
    nothing = FeatureTable("text", np.zeros((24, 3), np.float32), np.zeros(24, np.bool_), "text.npy")
    context = replace(toy.context, features={**toy.context.features, "text": nothing})
    refusal = f"{subject.entry.name}: no item has the modality 'text' .* Remove it from dataset.modalities"
    with pytest.raises(ModelError, match=refusal):
        subject.build(context)


@pytest.mark.parametrize(("name", "n_terms"), [("bm3", 5), ("dream", 8), ("freedom", 2)])
@pytest.mark.parametrize("modality", ["user", "item", "reg"])
def test_no_name_of_a_modality_hides_a_term_of_the_loss(toy: Any, modality: str, name: str, n_terms: int) -> None:
    image = toy.context.features["image"]
    other = FeatureTable(modality, image.values, image.present, "test")
    model = build(name, replace(toy.context, features={modality: other}))
    assert len(model.loss(toy.batch(model))) == n_terms


@pytest.mark.parametrize("name", [name for name in SMALL if MODELS[name].uses_features and not MODELS[name].modalities])
@pytest.mark.parametrize("modality", ["clip.v2", "items", "type", "forward"])
def test_models_take_modalities_of_any_name(toy: Any, name: str, modality: str) -> None:
    image = toy.context.features["image"]
    other = FeatureTable(modality, image.values, image.present, "test")
    model = build(name, replace(toy.context, features={modality: other}))
    assert torch.isfinite(total(model, toy.batch(model)))


def test_mf_exports_copies(toy: Any) -> None:
    mf: MF = build("mf", toy.context)
    vectors = exported(mf)
    with torch.no_grad():
        mf.users.weight.zero_()
    assert vectors.users.any()
