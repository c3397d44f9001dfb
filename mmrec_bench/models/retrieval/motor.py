"""MOTOR: any host whose table of item identities gives way to shared multimodal tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, PositiveInt

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import (
    MODELS,
    Citation,
    GradientRecommender,
    LossTerms,
    ModelConfig,
    ModelContext,
    ModelField,
)
from mmrec_bench.models.blocks import ItemHost, feature_tables
from mmrec_bench.models.tokens import Combination, Crossing, HighOrder, Order, Scale, TokenRepresentation
from mmrec_bench.quantisation import ProductCodes, Quantiser, distinct_ratio, quantise
from mmrec_bench.retrieval.base import Scoring
from mmrec_bench.settings import check_unique, explained_error


def hosts() -> list[str]:
    """Return the names of the retrieval models that read item identities through a representation."""
    return [name for name in MODELS if MODELS[name].task == "retrieval" and issubclass(MODELS[name].model, ItemHost)]


def _host(config: ModelConfig) -> ModelConfig:
    if config.name not in hosts():
        raise explained_error(
            f"model '{config.name}' has no table of item identities that tokens could replace; these have: "
            f"{', '.join(hosts())}"
        )
    return config


def _distinct(orders: tuple[Order, ...]) -> tuple[Order, ...]:
    check_unique("orders", orders)
    return orders


class MotorConfig(ModelConfig):
    """Settings of `Motor`; no code was released, so there is no switch that differs."""

    name: Literal["motor"] = "motor"
    host: Annotated[ModelField, AfterValidator(_host)]
    """The model whose item identities are replaced, with its hyper-parameters; tokens have its ``embedding_dim``."""
    quantiser: Quantiser = "opq"
    """How vectors become codes: ``opq``, as in the paper, ``pq`` (no rotation), or ``random``, a control."""
    n_subspaces: PositiveInt = 8
    """Tokens S of an item in each modality; must divide the length of its vectors. 8 keeps the tables below those of
    identities on data sets of a few thousand items."""
    n_codes: int = Field(default=256, ge=2, le=65_536)
    """Tokens K of each sub-space, at most the items that occur in train; 256 is usual for product quantisation."""
    normalise_features: bool = False
    """Whether raw vectors are scaled to unit length before they are quantised; the paper speaks of raw vectors."""
    tcn: Crossing = "both"
    """Networks that cross tokens: of each modality (``specific``), of all together (``agnostic``), or the sum of
    ``both``, which leaves nothing of the paper out. With one modality all three are the same network."""
    orders: Annotated[tuple[Order, ...], Field(min_length=1), AfterValidator(_distinct)] = ("first", "second", "high")
    """Orders of interaction among tokens; the paper has all three."""
    high_order: HighOrder = "mlp"
    """The high order: ``mlp``, a perceptron with one hidden layer, or ``dcn``, cross layers of DCN-v2, which cost many
    times as much. Read only where ``orders`` has ``high``."""
    combination: Combination = "sum"
    """Orders are added, or mixed by a ``linear`` map; a sum adds no parameters."""
    scale: Scale = "fixed"
    """How item vectors start as large as the host's identities, so that its learning rate still fits: times a ``fixed``
    factor, which leaves lengths free to carry popularity, or by ``layer-norm``, which fixes them."""


@MODELS.add(
    "motor",
    task="retrieval",
    config=MotorConfig,
    paper=Citation(
        title="Learning ID-free Item Representation with Token Crossing for Multimodal Recommendation",
        authors="Zhang et al.",
        venue="arXiv 2024",
        url="https://arxiv.org/abs/2410.19276",
    ),
    deviations=(
        "Reconstructed from the abstract and reviews: numbers of sub-spaces and codes, the size of tokens and the "
        "formulas of the Token Cross Network are not those of the paper.",
    ),
    uses_features=True,
)
class Motor(GradientRecommender):
    """The host, in which ``e_i = TCN(tokens of i)`` stands wherever it read the identity of item i.

    Each modality is quantised once, before training, on the items that occur in train: S sub-spaces, K centroids each,
    and the index of the nearest is a token. Token t of sub-space s has a learned vector, shared by all items that have
    it; what an item lacks has a learned missing token. The Token Cross Network crosses the vectors of an item in first,
    second and high order (`models.tokens`). The table of identities is gone; all else is the host's, and there is no
    loss of its own.

    Source: Zhang et al., arXiv 2024, https://arxiv.org/abs/2410.19276. Its full text and code were not at hand. From
    the abstract and reviews come OPQ, learned token tables, the three orders, the two kinds of network and that no loss
    is added; S, K, the size of tokens, the formulas of the network and how its parts combine are a reconstruction.

    Shapes: tokens ``[S K, d]`` a modality, Xavier-uniform, and ``[S, 1, d]`` missing ones where an item lacks it; codes
    int32 ``[n_items, S]``, part of the state; d is the length of the identities replaced.

    Raises:
        ModelError: No features; S does not divide the length of a modality's vectors; K is above the number of items
            with the modality in train.
    """

    def __init__(self, config: MotorConfig, context: ModelContext) -> None:
        super().__init__()
        tables = feature_tables("motor", context)
        host = MODELS[config.host.name].build(config.host, context)
        assert isinstance(host, ItemHost)  # the config has seen to it
        quantised = {table.modality: item_codes(table, config, context) for table in tables}
        self.errors = {modality: found.error for modality, found in quantised.items()}
        host.items = TokenRepresentation(
            [found.codes for found in quantised.values()],
            config.n_codes,
            host.items.all(),
            tcn=config.tcn,
            orders=config.orders,
            high_order=config.high_order,
            combination=config.combination,
            scale=config.scale,
        )
        self.host = host
        self.batch_kind = host.batch_kind

    def on_epoch_start(self, epoch: int) -> None:
        """Let the host prepare an epoch."""
        self.host.on_epoch_start(epoch)

    def loss(self, batch: Any) -> LossTerms:
        """Return the terms of the host."""
        return self.host.loss(batch)

    def export(self) -> Scoring:
        """Return what the host exports."""
        return self.host.export()

    @property
    def item_representation(self) -> TokenRepresentation:
        """Tokens and the networks that cross them."""
        items = self.host.items
        assert isinstance(items, TokenRepresentation)
        return items

    def facts(self) -> Mapping[str, float]:
        """Return the facts of the host, and how much the codes tell.

        ``distinct_code_ratio/M`` is the number of different codes in modality M over the number of items, and
        ``distinct_code_ratio`` that in all modalities together: items with the same codes cannot be told apart.
        ``quantisation_error/M`` is the share of the variance of the features that the codes do not explain.
        """
        facts = dict(self.host.facts())
        codes = [np.asarray(table.codes.cpu(), np.int64) for table in self.item_representation.tables]
        facts["distinct_code_ratio"] = distinct_ratio(np.hstack(codes))
        for (modality, error), found in zip(self.errors.items(), codes, strict=True):
            facts[f"distinct_code_ratio/{modality}"] = distinct_ratio(found)
            facts[f"quantisation_error/{modality}"] = error
        return facts


def item_codes(table: FeatureTable, config: MotorConfig, context: ModelContext) -> ProductCodes:
    """Return the codes of one modality, fitted on the items that occur in train.

    Raises:
        ModelError: S does not divide the length of the vectors, or K is above their number; names the modality.
    """
    try:
        return quantise(
            table.values,
            table.present,
            np.bincount(context.train.items, minlength=table.n_items) > 0,
            method=config.quantiser,
            n_subspaces=config.n_subspaces,
            n_codes=config.n_codes,
            normalise=config.normalise_features,
            rng=context.seeds.numpy(f"codes/{table.modality}"),
        )
    except ModelError as error:
        raise ModelError(f"motor, modality '{table.modality}': {error}") from None
