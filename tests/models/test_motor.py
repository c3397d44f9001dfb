from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ConfigError, ModelError
from mmrec_bench.models.base import MODELS, ModelContext
from mmrec_bench.models.blocks import ItemHost
from mmrec_bench.models.retrieval.motor import Motor, MotorConfig, hosts
from mmrec_bench.models.token_table import TokenTable
from mmrec_bench.models.tokens import CROSS_RANK, HIDDEN_DIM, DeepCross, MlpCross, TokenRepresentation
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import Document
from mmrec_bench.testing.subjects import Subject, all_scores, every_subject, tiny_context

DIM, S, K = 4, 3, 5
CODES = [
    np.array([[0, 1, 2], [4, 4, 4], [-1, -1, -1], [0, 1, 2], [3, 0, 1]]),
    np.array([[2, 0, 0], [-1, -1, -1], [-1, -1, -1], [2, 0, 0], [0, 4, 1]]),
]
"""Items 0 and 3 are alike, item 1 lacks the second modality, item 2 both."""
SWITCHES: dict[str, list[Any]] = {
    "tcn": ["specific", "agnostic", "both"],
    "orders": [("first",), ("second",), ("high",), ("first", "second"), ("high", "first"), ("first", "second", "high")],
    "high_order": ["mlp", "dcn"],
    "combination": ["sum", "linear"],
    "scale": ["fixed", "layer-norm"],
}
DEFAULTS: dict[str, Any] = {
    "tcn": "both", "orders": ("first", "second", "high"), "high_order": "mlp", "combination": "sum", "scale": "fixed",
}  # fmt: skip


def representation(codes: list[np.ndarray] | None = None, **options: Any) -> TokenRepresentation:
    """Return tokens in double precision, every parameter of them drawn: no bias is zero."""
    torch.manual_seed(0)
    found = TokenRepresentation(codes or CODES, K, 0.1 * torch.randn(5, DIM), **{**DEFAULTS, **options}).double()
    for table in found.tables:
        for part in (table.lookup.matrix, table.lookup.transposed):
            part.values = part.values.double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return found


def slow(found: TokenRepresentation, options: dict[str, Any]) -> np.ndarray:
    """Return the vectors of all items by loops over items, tokens and pairs of tokens."""
    options = {**DEFAULTS, **options}
    tables = [(table.codes.numpy(), array(table.weight), table.missing) for table in found.tables]
    every = tuple(range(len(tables)))
    reads = [(place,) for place in every] if options["tcn"] != "agnostic" and len(tables) > 1 else []
    reads += [every] if options["tcn"] != "specific" or len(tables) == 1 else []
    assert len(reads) == len(found.networks)
    rows = []
    for item in range(5):
        total = np.zeros(DIM)
        for read, network in zip(reads, found.networks, strict=True):
            tokens = []
            for codes, weight, missing in (tables[place] for place in read):
                for space, code in enumerate(codes[item]):
                    tokens.append(array(missing)[space, 0] if code < 0 else weight[space * K + code])
            terms = {"first": np.sum(tokens, axis=0), "second": np.zeros(DIM)}
            for i in range(len(tokens)):
                for j in range(i):
                    terms["second"] += tokens[i] * tokens[j]
            if network.high is not None:
                terms["high"] = slow_high(network.high, np.concatenate(tokens))
            parts = [terms[order] for order in options["orders"]]
            total += np.sum(parts, axis=0) if network.mix is None else array(network.mix.weight) @ np.concatenate(parts)
        rows.append(total)
    vectors = np.array(rows)
    if options["scale"] == "fixed":
        return np.asarray(vectors * float(found.factor))
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return np.asarray(normed * array(found.norm.weight) + array(found.norm.bias))


def slow_high(high: nn.Module, tokens: np.ndarray) -> np.ndarray:
    if isinstance(high, MlpCross):
        hidden = np.maximum(array(high.inner.weight) @ tokens + array(high.inner.bias), 0.0)
        return np.asarray(array(high.outer.weight) @ hidden + array(high.outer.bias))
    assert isinstance(high, DeepCross)
    x = tokens
    for down, up in zip(high.down, high.up, strict=True):
        x = tokens * (array(up.weight) @ (array(down.weight) @ x) + array(up.bias)) + x
    return np.asarray(array(high.outer.weight) @ x + array(high.outer.bias))


def array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().double().numpy())


@pytest.mark.parametrize(
    "options",
    [{key: value} for key, values in SWITCHES.items() for value in values]
    + [
        {"tcn": tcn, "high_order": "dcn", "combination": "linear", "orders": ("high", "second")}
        for tcn in ("specific", "agnostic")
    ],
    ids=str,
)
def test_crossed_tokens_are_those_of_loops(options: dict[str, Any]) -> None:
    found = representation(**options)
    expected = slow(found, options)
    np.testing.assert_allclose(array(found.all()), expected, rtol=1e-6, atol=1e-9)
    ids = torch.tensor([3, 1, 1, 2, 0, 3])
    np.testing.assert_allclose(array(found.rows(ids)), expected[ids.numpy()], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("high_order", ["mlp", "dcn"])
def test_gradients_of_rows_are_those_of_all(high_order: str) -> None:
    found, ids = representation(high_order=high_order), torch.tensor([3, 1, 1, 2])
    weights = torch.randn(4, DIM, dtype=torch.float64)
    (found.rows(ids) * weights).sum().backward()
    of_rows = {name: parameter.grad.clone() for name, parameter in found.named_parameters()}
    found.zero_grad()
    (found.all()[ids] * weights).sum().backward()
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(of_rows[name], parameter.grad, msg=name)


def test_one_modality_has_one_network_whatever_the_switch() -> None:
    vectors = [array(representation(CODES[:1], tcn=tcn).all()) for tcn in SWITCHES["tcn"]]
    assert len(representation(CODES[:1], tcn="both").networks) == 1
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(vectors[0], slow(representation(CODES[:1]), {}), rtol=1e-6)


def test_each_sub_space_has_tokens_of_its_own_and_what_is_absent_the_missing_one() -> None:
    table = TokenTable(CODES[1], K, 1)
    with torch.no_grad():
        table.weight.copy_(torch.arange(S * K).unsqueeze(1))
        table.missing.copy_(torch.tensor([100.0, 200.0, 300.0]).view(S, 1, 1))
    tokens = table.concatenated(None)
    assert tokens.tolist() == [[2, 5, 10], [100, 200, 300], [100, 200, 300], [2, 5, 10], [0, 9, 11]]
    assert table.sums(table.tokens(), None).ravel().tolist() == tokens.sum(dim=1).tolist()
    assert table.sums(table.tokens(), torch.tensor([4, 1])).ravel().tolist() == [20, 600]


def test_missing_tokens_exist_only_where_something_is_missing_and_start_in_the_middle() -> None:
    assert TokenTable(CODES[0][:2], K, DIM).missing is None
    table = TokenTable(CODES[1], K, DIM)
    torch.testing.assert_close(table.missing[:, 0], table.weight.view(S, K, DIM).mean(dim=1))
    bound = (6 / (S * K + DIM)) ** 0.5
    assert 0.8 * bound < float(table.weight.detach().abs().max()) <= bound


def test_a_loaded_table_has_the_items_of_the_codes_it_loaded() -> None:
    table, other = TokenTable(CODES[0], K, DIM), TokenTable(CODES[0][::-1].copy(), K, DIM)
    table.load_state_dict(other.state_dict())
    torch.testing.assert_close(table.sums(table.tokens(), None), other.sums(other.tokens(), None))
    torch.testing.assert_close(table.concatenated(None), other.concatenated(None))


@pytest.mark.parametrize("scale", SWITCHES["scale"])
@pytest.mark.parametrize("tcn", SWITCHES["tcn"])
def test_item_vectors_start_as_large_as_the_identities_they_replace(tcn: str, scale: str) -> None:
    rng = np.random.default_rng(0)
    codes = [rng.integers(-1, 16, size=(500, 8)) for _ in range(2)]
    replaced = nn.init.xavier_uniform_(torch.empty(500, 64))
    found = TokenRepresentation(codes, 16, replaced, **{**DEFAULTS, "tcn": tcn, "scale": scale})
    assert float(found.all().detach().std()) == pytest.approx(float(replaced.std()), rel=0.02)


def test_tokens_that_cross_to_nothing_are_refused() -> None:
    single = [codes[:, :1] for codes in CODES]
    for options in ({"tcn": "specific"}, {"tcn": "both"}, {"tcn": "agnostic"}):
        refused = options["tcn"] == "specific"
        if refused:
            with pytest.raises(ModelError, match=r"second order of a single token is zero.*model\.n_subspaces"):
                representation(single, orders=("second",), **options)
        else:
            representation(single, orders=("second",), **options)


# The model


def motor(context: ModelContext, host: Any = "lightgcn", **options: Any) -> Motor:
    subject = Subject(MODELS["motor"], {"host": host, "n_subspaces": 2, "n_codes": 4, **options})
    model = subject.build(context)
    assert isinstance(model, Motor)
    return model


def test_it_is_tested_around_every_host() -> None:
    labels = {str(subject) for subject in every_subject("clean")}
    assert {f"motor({name})-clean" for name in hosts()} <= labels
    assert {"mf", "lightgcn", "vbpr", "bm3", "freedom", "mgcn"} <= set(hosts())
    assert not {"motor", "ease", "popularity", "dragon", "pgl", "dualgnn"} & set(hosts())


@pytest.mark.parametrize("host", hosts())
@pytest.mark.parametrize("preset", ["clean", "released"])
def test_the_identities_of_the_host_are_gone(host: str, preset: str) -> None:
    context = tiny_context()
    alone = Subject(MODELS[host], {"preset": preset}).build(context)
    assert isinstance(alone, ItemHost)
    around = motor(context, {"name": host, "preset": preset})
    kept = {f"host.{name}" for name, _ in alone.named_parameters() if not name.startswith("items.")}
    tokens = {f"host.items.{name}" for name, _ in around.item_representation.named_parameters()}
    assert {name for name, _ in around.named_parameters()} == kept | tokens
    assert not {name for name in around.state_dict() if name.endswith(".items.weight")}
    for name, parameter in alone.named_parameters():
        if not name.startswith("items."):
            assert torch.equal(parameter, dict(around.named_parameters())[f"host.{name}"]), name
    table = alone.items.all()
    assert around.item_representation.all().shape == table.shape
    sizes = [float(rows.detach().square().mean().sqrt()) for rows in (around.item_representation.all(), table)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)
    assert around.batch_kind is alone.batch_kind


def count(parts: Any) -> int:
    return sum(parameter.numel() for parameter in parts.parameters())


@pytest.mark.parametrize("tcn", SWITCHES["tcn"])
@pytest.mark.parametrize("high_order", SWITCHES["high_order"])
def test_parameters_are_as_many_as_the_formula_says(tcn: str, high_order: str) -> None:
    d, s, k, modalities = 16, 2, 4, 2
    model = motor(tiny_context(), {"name": "lightgcn", "embedding_dim": d}, tcn=tcn, high_order=high_order)
    widths = ([s * d] * modalities if tcn != "agnostic" else []) + ([modalities * s * d] if tcn != "specific" else [])
    networks = sum(
        width * HIDDEN_DIM + HIDDEN_DIM + HIDDEN_DIM * d + d
        if high_order == "mlp"
        else 2 * (2 * width * CROSS_RANK + width) + width * d + d
        for width in widths
    )
    assert count(model.item_representation) == modalities * (s * k * d + s * d) + networks
    assert count(model) == 13 * d + count(model.item_representation)


def test_sizes_on_amazon_baby_are_those_worked_out_by_hand() -> None:
    codes = [np.random.default_rng(0).integers(256, size=(7_050, 8)) for _ in range(2)]
    found = TokenRepresentation(codes, 256, torch.ones(7_050, 64), **{**DEFAULTS, "tcn": "agnostic"})
    assert count(found.tables) == 262_144
    assert count(found.networks) == 16_384 * 8 + 8_192 + HIDDEN_DIM + 64


@pytest.mark.parametrize(
    "options",
    [
        *({key: value} for key, values in SWITCHES.items() for value in values if value != DEFAULTS[key]),
        {"quantiser": "pq"},
        {"quantiser": "random"},
        {"n_codes": 5},
        {"n_subspaces": 1},
        {"normalise_features": True},
        {"host": {"name": "lightgcn", "n_layers": 1}},
    ],
    ids=str,
)
def test_every_switch_changes_the_result(options: dict[str, Any]) -> None:
    scores = []
    for chosen in ({}, options):
        subject = Subject(MODELS["motor"], {"host": "lightgcn", "n_subspaces": 2, "n_codes": 4, **chosen})
        scores.append(all_scores(subject.trained(tiny_context()).export()))
    assert not torch.allclose(*scores)


@pytest.mark.parametrize("quantiser", ["opq", "pq", "random"])
def test_the_seed_decides_the_codes(quantiser: str) -> None:
    first, again, other = (
        [table.codes for table in motor(tiny_context(seed=seed), quantiser=quantiser).item_representation.tables]
        for seed in (1, 1, 2)
    )
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_items_with_equal_features_have_equal_vectors_seen_or_not() -> None:
    context = tiny_context()
    features = {}
    for name, table in context.features.items():
        values = np.array(table.values)
        values[28] = values[10]  # item 28 is cold
        features[name] = replace(table, values=values)
    context = replace(context, features=features)
    assert 28 not in context.train.items
    subject = Subject(MODELS["motor"], {"host": "mf", "n_subspaces": 2, "n_codes": 4})
    model = subject.trained(context)
    assert isinstance(model, Motor)
    vectors = model.export().items
    assert torch.equal(vectors[28], vectors[10])
    assert not torch.equal(vectors[11], vectors[10])


def test_codes_are_fitted_on_items_that_occur_in_train() -> None:
    context = tiny_context()
    features = dict(context.features)
    values = np.array(features["text"].values)
    values[28] *= -50.0  # a cold item far away would move any centroid, and the unit
    features["text"] = replace(features["text"], values=values)
    codes = [
        motor(replace(context, features=given), quantiser="pq").item_representation.tables[1].codes
        for given in (context.features, features)
    ]
    assert torch.equal(codes[0][:28], codes[1][:28])


def test_what_all_items_lack_alike_makes_them_alike() -> None:
    context = tiny_context()
    features = {
        name: FeatureTable(name, np.ones_like(table.values), np.ones(30, np.bool_), "all equal")
        for name, table in context.features.items()
    }
    model = motor(replace(context, features=features), "mf")
    vectors = model.item_representation.all()
    assert torch.isfinite(vectors).all()
    assert (vectors == vectors[0]).all()
    assert model.facts()["distinct_code_ratio"] == pytest.approx(1 / 30)
    assert model.facts()["quantisation_error/text"] == 0.0


def test_facts_say_how_many_items_can_be_told_apart() -> None:
    model = motor(tiny_context())
    facts = model.facts()
    names = ("distinct_code_ratio", "quantisation_error")
    assert set(facts) == {"distinct_code_ratio", *(f"{fact}/{name}" for fact in names for name in ("image", "text"))}
    codes = [array(table.codes) for table in model.item_representation.tables]
    assert facts["distinct_code_ratio/image"] == len({tuple(row) for row in codes[0]}) / 30
    assert facts["distinct_code_ratio"] == len({tuple(row) for row in np.hstack(codes)}) / 30
    assert (
        max(facts["distinct_code_ratio/image"], facts["distinct_code_ratio/text"]) <= facts["distinct_code_ratio"] <= 1
    )


def test_frozen_features_stay_as_they_are() -> None:
    context = tiny_context()
    model = motor(context, {"name": "freedom", "train_features": False})
    before = [projection.raw.clone() for _, projection in model.host.projections.by_modality()]
    trained = Subject(
        MODELS["motor"],
        {"host": {"name": "freedom", "train_features": False}, "n_subspaces": 2, "n_codes": 4},
    ).trained(context)
    after = [projection.raw for _, projection in trained.host.projections.by_modality()]
    assert all(map(torch.equal, before, after))
    assert not {name for name, _ in trained.named_parameters() if name.endswith("raw")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_subspaces": 4}, r"motor, modality 'text': n_subspaces must divide the 6 values .*1, 2, 3, 6\); got 4"),
        ({"n_codes": 28}, "motor, modality 'image': n_codes must be at most 25, the number of items"),
    ],
)
def test_what_data_cannot_give_is_refused_by_modality(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        motor(tiny_context(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "host: required, but missing"),
        ({"host": "ease"}, "host: model 'ease' has no table of item identities .* these have: .*freedom.*lightgcn"),
        ({"host": "dragon"}, "model 'dragon' has no table of item identities"),
        ({"host": {"name": "motor", "host": "mf"}}, "model 'motor' has no table of item identities"),
        ({"host": "lightgcm"}, "did you mean 'lightgcn'"),
        ({"host": {"name": "freedom", "n_layer": 1}}, r"host\.n_layer: unknown key; did you mean 'n_layers'"),
        ({"host": {"name": "freedom", "dropout": 2.0}}, r"host\.dropout: .*less than 1"),
        ({"host": "mf", "n_codes": 1}, "n_codes: .*greater than or equal to 2"),
        ({"host": "mf", "orders": ["first", "first"]}, r"orders: orders must not repeat; got \['first', 'first'\]"),
        ({"host": "mf", "orders": []}, "orders: "),
        ({"host": "mf", "orders": ["third"]}, "orders"),
        ({"host": "mf", "tcn": "all"}, "tcn: .*'specific', 'agnostic' or 'both'"),
        ({"host": "mf", "embedding_dim": 8}, "embedding_dim: unknown key"),
    ],
)
def test_configs_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Document("test", {"name": "motor", **options}).parse(MotorConfig)


def test_a_host_of_another_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._entries, "mf", replace(MODELS["mf"], task="ctr"))
    with pytest.raises(ValidationError, match="model 'mf' has no table"):
        MotorConfig.model_validate({"host": "mf"})


def test_presets_and_labels_of_the_host_count() -> None:
    config = MotorConfig.model_validate({"host": {"name": "lightgcn", "preset": "released"}})
    assert config.host.model_dump()["reg_form"] == "frobenius"
    assert config.label == "motor(lightgcn)"
    assert [part.name for part in config.parts()] == ["motor", "lightgcn"]


def test_seeds_of_the_host_are_those_of_the_run() -> None:
    context = replace(tiny_context(), seeds=Seeds(7))
    assert motor(context, "freedom").host.graph.seeds.seed == 7


@pytest.mark.parametrize("modality", ["clip.v2", "items", "type", "all"])
def test_modalities_have_any_name(modality: str) -> None:
    context = tiny_context((modality,))
    assert f"quantisation_error/{modality}" in motor(context, "mf").facts()
