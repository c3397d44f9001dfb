"""DREAM against its formulas, written out densely in double precision; its switches; what absence does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import MODELS, ModelContext, Triplets
from mmrec_bench.models.modal_line import RelationGraphs, content_neighbours, item_means
from mmrec_bench.models.retrieval.dream import DREAM

SMALL: dict[str, Any] = {"embedding_dim": 16, "n_neighbors": 4, "n_user_neighbors": 3}
BATCH = Triplets(torch.tensor([0, 1, 1, 5, 0, 7]), torch.tensor([0, 5, 5, 1, 6, 14]), torch.tensor([9, 2, 5, 9, 0, 3]))
SWITCHES: dict[str, dict[str, Any]] = {
    "gate-id": {"gate": "id"},
    "gate-none": {"gate": "none"},
    "no-item-graph": {"n_item_layers": 0},
    "two-item-layers": {"n_item_layers": 2},
    "item-neighbours": {"n_neighbors": 2},
    "uniform-edges": {"weighting": "uniform"},
    "users-after-item-graph": {"user_content": "propagated"},
    "concatenate": {"fusion": "concatenate"},
    "user-co-occurrence": {"user_graph": "co-occurrence"},
    "no-user-graph": {"user_graph": "none"},
    "two-user-layers": {"n_user_layers": 2},
    "user-neighbours": {"n_user_neighbors": 2},
    "no-behaviour-layers": {"n_layers": 0},
    "s3-norm": {"s3_norm": True},
    "no-s3": {"s3_weight": 0.0},
    "no-s3-of-users": {"user_s3_weight": 0.0},
    "no-bma": {"alignment": {"bma": None}},
    "no-intra": {"alignment": {"bma": {"intra_weight": 0.0}}},
    "no-inter": {"alignment": {"bma": {"inter_weight": 0.0}}},
    "inter-cosine": {"alignment": {"bma": {"inter": "cosine"}}},
    "no-reg": {"reg_weight": 0.0},
    "no-modal-encoder": {"gate": "none", "n_item_layers": 0, "user_graph": "none"},
}


def build(context: ModelContext, **options: Any) -> DREAM:
    torch.manual_seed(0)
    model = DREAM(MODELS["dream"].config.model_validate({"name": "dream", **SMALL, **options}), context)
    with torch.no_grad():
        for parameter in model.parameters():  # the start values of tables are so small that errors would hide
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    return model


@pytest.fixture
def gaps(toy: Any) -> ModelContext:
    """The toy problem; items 0 and 5 lack images, 5 and 14 texts, the text of 9 is zero; user 1 has item 5 alone."""
    features = {}
    for name, missing, zero in (("image", [0, 5], []), ("text", [5, 14], [9])):
        table = toy.context.features[name]
        present, values = np.ones(24, np.bool_), table.values.copy()
        present[missing], values[zero] = False, 0.0
        features[name] = FeatureTable(name, values, present, "test")
    train = toy.context.train
    kept = (train.users != 1) | (train.items == 5)
    return replace(toy.context, train=Interactions(train.users[kept], train.items[kept], 15, 24), features=features)


def cosines(rows: Tensor) -> Tensor:
    unit = rows / rows.norm(dim=1, keepdim=True)
    return unit @ unit.T


def neighbour_graph(values: Tensor, k: int, weighting: str) -> Tensor:
    usable = [row for row in range(len(values)) if values[row].any()]
    graph = torch.zeros(len(values), len(values), dtype=torch.float64)
    for row in usable:
        cosine = {
            other: float(values[row] @ values[other] / values[row].norm() / values[other].norm()) for other in usable
        }
        for other in sorted(usable, key=lambda other: (other != row, -cosine[other]))[: min(k, len(usable) - 1)]:
            graph[row, other] = max(cosine[other], 0.0) if weighting == "cosine" else 1.0
    sums = graph.sum(1)
    scale = torch.where(sums > 0, sums.rsqrt(), torch.zeros_like(sums))
    return scale[:, None] * graph * scale[None, :]


def shared_graph(interactions: Tensor, k: int) -> Tensor:
    shared = interactions @ interactions.T
    graph = torch.zeros_like(shared)
    for row in range(len(shared)):
        others = [other for other in range(len(shared)) if other != row and shared[row, other] > 0]
        for other in sorted(others, key=lambda other: (-shared[row, other].item(), other))[:k]:
            graph[row, other] = shared[row, other]
    sums = graph.sum(1)
    scale = torch.where(sums > 0, sums.rsqrt(), torch.zeros_like(sums))
    return scale[:, None] * graph * scale[None, :]


class Reference:
    """Vectors and loss of a DREAM, from its parameters and the formulas."""

    def __init__(self, model: DREAM, context: ModelContext) -> None:
        self.config = model.config
        self.parameters = {key: value.detach().double().requires_grad_() for key, value in model.named_parameters()}
        self.tables = [table for _, table in sorted(context.features.items())]
        r = torch.from_numpy(context.train.matrix().toarray()).double()
        self.r = r / (r.sum(1, keepdim=True) * r.sum(0)).clamp_min(1).sqrt()
        self.raw = [torch.from_numpy(table.filled()).double() for table in self.tables]
        self.means = []
        for table, raw in zip(self.tables, self.raw, strict=True):
            own = r * torch.tensor(table.present)
            self.means.append(own @ raw / own.sum(1, keepdim=True).clamp_min(1))
        self.interactions = r

    def behaviour(self) -> tuple[Tensor, Tensor]:
        users, items = self.parameters["users.weight"], self.parameters["items.weight"]
        n = len(users)
        adjacency = torch.zeros(n + len(items), n + len(items), dtype=torch.float64)
        adjacency[:n, n:], adjacency[n:, :n] = self.r, self.r.T
        layers = [torch.cat((users, items))]
        for _ in range(self.config.n_layers):
            layers.append(adjacency @ layers[-1])
        mean = torch.stack(layers).mean(0)
        return mean[:n], mean[n:]

    def views(self) -> tuple[list[Tensor], list[Tensor]]:
        users, items = [], []
        for place, (table, raw, mean) in enumerate(zip(self.tables, self.raw, self.means, strict=True)):
            part = {
                key.removeprefix(f"contents.{place}."): value
                for key, value in self.parameters.items()
                if key.startswith(f"contents.{place}.")
            }
            p = raw @ part["projection.linear.weight"].T + part["projection.linear.bias"]
            if table.n_missing:  # where the model has no such vector, its value must not matter
                missing = part.get("projection.missing.weight", torch.full((16,), 7.0, dtype=torch.float64))
                p = torch.where(torch.tensor(table.present)[:, None], p, missing)
            f = p
            if self.config.gate != "none":
                opened = 1 / (1 + torch.exp(-(p @ part["gate.weight"].T + part["gate.bias"])))
                f = opened * (self.parameters["items.weight"] if self.config.gate == "id" else p)
            h = f
            for _ in range(self.config.n_item_layers):
                h = neighbour_graph(raw, self.config.n_neighbors, self.config.weighting) @ h
            v = self.r @ (f if self.config.user_content == "filtered" else h)
            if self.config.user_graph != "none":
                k = self.config.n_user_neighbors
                by_features = self.config.user_graph == "features"
                graph = shared_graph(self.interactions, k)
                if by_features:
                    graph = neighbour_graph(mean, k, self.config.weighting)
                for _ in range(self.config.n_user_layers):
                    v = graph @ v + v
            users.append(v)
            items.append(h)
        return users, items

    def fused(self, views: list[Tensor]) -> Tensor:
        logits = self.parameters.get("modality_fusion.logits", torch.zeros(len(views), dtype=torch.float64))
        return sum(
            (weight * view for weight, view in zip(torch.softmax(logits, 0), views, strict=True)), torch.zeros(())
        )

    def vectors(self) -> tuple[Tensor, Tensor]:
        (users, items), (user_views, item_views) = self.behaviour(), self.views()
        return self.final(users, self.fused(user_views)), self.final(items, self.fused(item_views))

    def final(self, behaviour: Tensor, modal: Tensor) -> Tensor:
        return behaviour + modal if self.config.fusion == "sum" else torch.cat((behaviour, modal), dim=1)

    def signal(self, views: list[Tensor], raw: list[Tensor], ids: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for view, originals in zip(views, raw, strict=True):
            kept = torch.tensor([row for row in ids.tolist() if originals[row].any()], dtype=torch.int64)
            h = view[kept]
            if len(kept):
                gram = cosines(h) if self.config.s3_norm else h @ h.T
                total = total + (gram - cosines(originals[kept])).square().sum().sqrt() / len(kept)
        return total

    def loss(self, batch: Triplets) -> Tensor:
        config = self.config
        (user_b, item_b), (user_views, item_views) = self.behaviour(), self.views()
        user_m, item_m = self.fused(user_views), self.fused(item_views)
        u, i, j = batch.users, batch.positives, batch.negatives
        users, items = self.final(user_b, user_m), self.final(item_b, item_m)
        e_u, e_i, e_j = users[u], items[i], items[j]
        total = torch.log1p(torch.exp((e_u * (e_j - e_i)).sum(1))).mean()
        total = total + config.reg_weight * sum(e.square().sum() / 2 for e in (e_u, e_i, e_j)) / len(u)
        if bma := config.alignment.bma:

            def gap(left: Tensor, right: Tensor) -> Tensor:
                norms = (left.norm(dim=1) * right.norm(dim=1)).clamp_min(1e-8)
                return 1 - ((left * right).sum(1) / norms).mean()

            def across(left: Tensor, right: Tensor) -> Tensor:
                if bma.inter == "cosine":
                    return gap(left, right)
                left, right = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (left, right))
                logits = left @ right.T / bma.temperature
                return (torch.logsumexp(logits, 1) - logits.diagonal()).mean()

            total = total + bma.intra_weight * (gap(user_b[u], item_b[i]) + gap(user_m[u], item_m[i]))
            total = total + bma.inter_weight * (across(user_b[u], user_m[u]) + across(item_b[i], item_m[i]))
        signal = self.signal(item_views, self.raw, i) + config.user_s3_weight * self.signal(user_views, self.means, u)
        return total + config.s3_weight * signal


@pytest.mark.parametrize("absence", [False, True], ids=["complete", "gaps"])
@pytest.mark.parametrize("options", [{}, *SWITCHES.values()], ids=["default", *SWITCHES])
def test_loss_gradients_and_vectors_follow_the_formulas(
    options: dict[str, Any], absence: bool, toy: Any, gaps: ModelContext
) -> None:
    context = gaps if absence else toy.context
    model = build(context, **options)
    reference = Reference(model, context)
    total, expected = torch.stack(list(model.loss(BATCH).values())).sum(), reference.loss(BATCH)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    total.backward()
    expected.backward()
    for key, parameter in model.named_parameters():
        slow = reference.parameters[key].grad
        assert parameter.grad is not None, key
        assert slow is not None, key
        torch.testing.assert_close(
            parameter.grad.double(), slow, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
    vectors, (users, items) = model.export(), reference.vectors()
    torch.testing.assert_close(vectors.users.double(), users, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vectors.items.double(), items, rtol=1e-4, atol=1e-5)


def test_learned_weights_of_modalities_follow_the_formulas(gaps: ModelContext) -> None:
    model = build(gaps, modality_fusion="softmax")
    reference = Reference(model, gaps)
    assert model.modality_fusion.logits is not None
    torch.testing.assert_close(model.export().items.double(), reference.vectors()[1], rtol=1e-4, atol=1e-5)
    total, expected = torch.stack(list(model.loss(BATCH).values())).sum(), reference.loss(BATCH)
    total.backward()
    expected.backward()
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    slow = reference.parameters["modality_fusion.logits"].grad
    assert model.modality_fusion.logits.grad is not None
    assert slow is not None
    torch.testing.assert_close(model.modality_fusion.logits.grad.double(), slow, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("options", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_changes_the_loss(options: dict[str, Any], gaps: ModelContext) -> None:
    plain, switched = build(gaps), build(gaps, **options)
    switched.load_state_dict(plain.state_dict(), strict=False)
    losses = [torch.stack(list(model.loss(BATCH).values())).sum().item() for model in (plain, switched)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-6)


def test_terms_are_named_and_those_without_weight_left_out(gaps: ModelContext) -> None:
    signals = {f"s3-{side}-{name}" for side in ("items", "users") for name in ("image", "text")}
    alignments = {"bma-intra-behaviour", "bma-intra-modal", "bma-inter-users", "bma-inter-items"}
    assert set(build(gaps).loss(BATCH)) == {"bpr", "reg"} | signals | alignments
    off = {"s3_weight": 0.0, "reg_weight": 0.0, "alignment": {"bma": None}}
    assert set(build(gaps, **off).loss(BATCH)) == {"bpr"}
    assert not {"item_s3", "user_s3"} & set(dict(build(gaps, **off).named_modules()))


def test_gradients_reach_every_parameter_with_any_switches(gaps: ModelContext) -> None:
    choices: dict[str, tuple[Any, ...]] = {
        "gate": ("self", "id", "none"),
        "n_item_layers": (0, 1),
        "user_content": ("filtered", "propagated"),
        "user_graph": ("features", "co-occurrence", "none"),
        "modality_fusion": ("mean", "softmax"),
        "s3_weight": (0.0, 0.3),
        "alignment": ({"bma": None}, {"bma": {}}),
    }
    for values in itertools.product(*choices.values()):
        options = dict(zip(choices, values, strict=True))
        model = build(gaps, **options)
        torch.stack(list(model.loss(BATCH).values())).sum().backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None, (key, options)
            assert parameter.grad.isfinite().all(), (key, options)
            assert parameter.grad.any(), (key, options)


def test_parameters_that_a_switch_makes_useless_are_not_made(gaps: ModelContext) -> None:
    def names(context: ModelContext = gaps, **options: Any) -> set[str]:
        return {key for key, _ in build(context, **options).named_parameters()}

    gates = {f"contents.{place}.gate.{part}" for place in (0, 1) for part in ("weight", "bias")}
    assert names() - names(gate="none") == gates
    assert names(modality_fusion="softmax") - names() == {"modality_fusion.logits"}
    missing = {f"contents.{place}.projection.missing.weight" for place in (0, 1)}
    assert names() - names(user_content="propagated") == missing
    assert names(user_content="propagated", n_item_layers=0) == names()
    alone = replace(gaps, features={"text": gaps.features["text"]})
    assert names(alone, modality_fusion="softmax") == names(alone)


def test_an_identity_gate_ties_the_lines_and_the_others_do_not(gaps: ModelContext) -> None:
    for gate, tied in (("self", False), ("id", True), ("none", False)):
        model = build(gaps, gate=gate, alignment={"bma": None}, reg_weight=0.0)
        terms = model.loss(BATCH)
        torch.stack([term for name, term in terms.items() if name.startswith("s3")]).sum().backward()
        assert (model.items.weight.grad is not None) == tied, gate


def test_an_isometry_of_unit_features_has_no_signal(toy: Any) -> None:
    model = build(toy.context, gate="none", n_item_layers=0)
    raw = model.contents[0].projection.raw
    raw.copy_(torch.nn.functional.normalize(raw))
    far = model.loss(BATCH)["s3-items-image"].item()
    with torch.no_grad():
        model.contents[0].projection.linear.bias.zero_()
        model.contents[0].projection.linear.weight.copy_(torch.linalg.qr(torch.randn(16, 10)).Q)
    assert model.loss(BATCH)["s3-items-image"].item() == pytest.approx(0.0, abs=1e-3 * far)


def test_gates_are_open_by_a_share(gaps: ModelContext) -> None:
    content: Any = build(gaps).contents[0]
    shares = (content(torch.zeros(24, 16)) / content.projection.all()).detach()
    assert ((shares > 0) & (shares < 1)).all()
    assert shares.std() > 0


def test_raw_features_never_change(gaps: ModelContext) -> None:
    model = build(gaps)
    before = [content.projection.raw.clone() for content in model.contents]
    assert not [key for key in {**model.state_dict(), **dict(model.named_parameters())} if "raw" in key]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        torch.stack(list(model.loss(BATCH).values())).sum().backward()
        optimizer.step()
    for content, raw in zip(model.contents, before, strict=True):
        assert torch.equal(content.projection.raw, raw)


def test_an_item_without_modalities_scores_by_behaviour_alone(gaps: ModelContext) -> None:
    model = build(gaps)
    behaviour = model.graph.propagate(model.users.weight, model.items.weight, 2)[1]
    gap = (model.export().items - behaviour).abs().sum(dim=1)
    assert gap[5] == 0.0
    assert (gap[[row for row in range(24) if row != 5]] > 0).all()


def test_users_read_the_learned_vector_of_what_their_items_lack(gaps: ModelContext) -> None:
    model = build(gaps, user_graph="none")
    before = model.export().users
    with torch.no_grad():
        model.get_parameter("contents.0.projection.missing.weight").add_(1.0)
    moved = (model.export().users - before).abs().sum(dim=1) > 0
    readers = gaps.train.matrix().toarray()[:, [0, 5]].any(axis=1)
    np.testing.assert_array_equal(moved.numpy(), readers)


def test_a_batch_of_items_without_a_modality_has_no_signal_there(gaps: ModelContext) -> None:
    model = build(gaps)
    terms = model.loss(Triplets(torch.tensor([1, 1]), torch.tensor([5, 5]), torch.tensor([2, 3])))
    for name in ("s3-items-image", "s3-items-text", "s3-users-image", "s3-users-text"):
        assert terms[name].item() == pytest.approx(0.0, abs=1e-12)
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


def test_means_are_over_items_that_have_the_modality(gaps: ModelContext) -> None:
    image = gaps.features["image"]
    got = item_means(gaps.train, image) @ image.filled()
    for user in range(15):
        own = [item for item in gaps.train.items[gaps.train.users == user] if item not in (0, 5)]
        expected = image.values[own].mean(axis=0) if own else np.zeros(10)
        np.testing.assert_allclose(got[user], expected, atol=1e-6)


def test_users_without_features_have_no_edge(gaps: ModelContext) -> None:
    graph = content_neighbours(gaps.train, gaps.features["image"], 3, "cosine").toarray()
    assert not graph[1].any()
    assert not graph[:, 1].any()
    assert ((graph > 0).sum(axis=1) == np.where(np.arange(15) == 1, 0, 3)).all()


def test_fewer_users_than_neighbours(gaps: ModelContext) -> None:
    few = Interactions(np.array([0, 2, 3]), np.array([3, 6, 9]), 15, 24)
    image = gaps.features["image"]
    assert (content_neighbours(few, image, 20, "cosine") > 0).sum(axis=1).max() == 2
    alone = Interactions(np.array([0]), np.array([3]), 15, 24)
    assert content_neighbours(alone, image, 20, "cosine").nnz == 0
    assert torch.isfinite(build(replace(gaps, train=alone)).export().users).all()


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("n_graphs", [1, 2])
def test_graphs_of_modalities_do_not_mix_them(n_graphs: int, n_layers: int, gaps: ModelContext) -> None:
    graphs = [content_neighbours(gaps.train, table, 3, "cosine") for table in gaps.features.values()][:n_graphs]
    views, ids = torch.randn(15, 8), torch.tensor([3, 1, 3, 14])
    relation = RelationGraphs(graphs, n_layers)
    dense = [torch.from_numpy(graph.toarray()).matrix_power(n_layers) for graph in graphs * (2 // n_graphs)]
    expected = torch.cat([graph @ part for graph, part in zip(dense, views.chunk(2, dim=1), strict=True)], dim=1)
    torch.testing.assert_close(relation(views), expected)
    torch.testing.assert_close(relation(views, ids), expected[ids])
