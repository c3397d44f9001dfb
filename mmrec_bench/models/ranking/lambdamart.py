"""LambdaMART: boosted trees on the gradients of LambdaRank, grown by LightGBM."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ranking.base import ClosedFormRanker, ListInputs, RankerConfig, RankingContext, ScoringRanker
from mmrec_bench.settings import explained_error

MAX_ROWS = 10_000
"""Longest list that LightGBM accepts."""


class LambdaMARTConfig(RankerConfig):
    """Settings of `LambdaMART`."""

    name: Literal["lambdamart"] = "lambdamart"
    learns_from: Literal["labels", "clicks"] = "labels"
    """What the training lists teach: graded ``labels``, or ``clicks``, as if these were labels of 0 and 1."""
    position_bias: Literal["ignored", "estimated"] = "ignored"
    """Whether a bias of each place at which rows were shown is estimated along with the trees, and left out of the
    scores served; for clicks alone."""
    row_features: bool = True
    """Whether the values of a row are read, where lists carry any."""
    content: bool = True
    """Whether feature tables of the items are read, where the data set has any; an absent item is a missing number."""
    n_trees: PositiveInt = 300
    """Number of trees."""
    n_leaves: Annotated[int, Field(ge=2, le=4096)] = 31
    """Most leaves of a tree."""
    shrinkage: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Factor by which each tree is scaled."""
    min_rows: PositiveInt = 20
    """Fewest rows of train in a leaf."""
    min_hessian: NonNegativeFloat = 1e-3
    """Smallest sum of second derivatives in a leaf."""
    reg_weight: NonNegativeFloat = 0.0
    """Weight of the squared values of leaves."""
    cutoff: PositiveInt = 30
    """Ranks that count in the NDCG by which pairs are weighed."""
    sigmoid: PositiveFloat = 1.0
    """Steepness of the logistic loss of a pair."""

    @model_validator(mode="after")
    def _bias_is_of_clicks(self) -> Self:
        if self.position_bias == "estimated" and self.learns_from != "clicks":
            raise explained_error("position_bias: estimated is for learns_from: clicks; labels have no such bias")
        return self


@MODELS.add(
    "lambdamart",
    task="ranking",
    config=LambdaMARTConfig,
    paper=Citation(
        title="From RankNet to LambdaRank to LambdaMART: An Overview",
        authors="Burges",
        venue="Microsoft Research 2010",
        url="https://www.microsoft.com/en-us/research/publication/from-ranknet-to-lambdarank-to-lambdamart-an-overview/",
    ),
    deviations=(
        "Trees are grown leaf by leaf on binned values, and gradients of a list are normalised, as LightGBM does it.",
    ),
    uses_features=True,
)
class LambdaMART(ClosedFormRanker, ScoringRanker):
    """Sum of trees, each fitted to ``lambda_i = sum_j +-|dNDCG_ij| / (1 + exp(sigma (s_i - s_j)))``.

    Nothing is drawn at random, so the trees do not hang on a seed. Rows and columns are read as they are: trees do not
    care for scales.
    Source: Burges, Microsoft Research 2010,
    https://www.microsoft.com/en-us/research/publication/from-ranknet-to-lambdarank-to-lambdamart-an-overview/; grown by
    LightGBM (Ke et al., NeurIPS 2017), whose estimate of position bias is a number added to the score at each place.
    """

    grown: Tensor
    """The trees as LightGBM writes them, uint8 ``[n]``, so that they are saved and loaded like any other weights."""

    def __init__(self, config: LambdaMARTConfig, context: RankingContext) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("grown", torch.zeros(0, dtype=torch.uint8))
        self._booster: Any = None
        self._reads_rows = config.row_features and context.n_features > 0
        tables = tuple(table for _, table in sorted(context.features.items())) if config.content else ()
        if not self._reads_rows and not tables:
            raise ModelError(
                "lambdamart: nothing describes a row: the lists carry no values, and no feature table is read. Give "
                "features to lists or items"
            )
        self.content = nn.Module()
        for place, table in enumerate(tables):
            self.content.register_buffer(f"table{place}", torch.from_numpy(table.filled(np.nan)), persistent=False)

    def fit(self, context: Any) -> None:
        """Grow the trees.

        Raises:
            ModelError: A list is too long, or train lacks what is to be learned.
        """
        import lightgbm

        config, train = self.config, context.train
        targets = self._targets(train)
        rows = torch.tensor(train.features) if self._reads_rows else None
        estimated = config.position_bias == "estimated"
        data = lightgbm.Dataset(
            self._rows(rows, torch.tensor(train.items)).numpy(),
            label=targets,
            group=train.lengths(),
            position=train.positions if estimated else None,
        )
        booster = lightgbm.train(
            {
                "objective": "lambdarank",
                "label_gain": [float(2**label - 1) for label in range(int(targets.max(initial=1)) + 1)],
                "lambdarank_truncation_level": config.cutoff,
                "sigmoid": config.sigmoid,
                "num_leaves": config.n_leaves,
                "learning_rate": config.shrinkage,
                "min_data_in_leaf": config.min_rows,
                "min_sum_hessian_in_leaf": config.min_hessian,
                "lambda_l2": config.reg_weight,
                "num_threads": torch.get_num_threads(),
                "deterministic": True,
                "force_row_wise": True,
                "verbosity": -1,
            },
            data,
            num_boost_round=config.n_trees,
        )
        text = booster.model_to_string().encode()
        self.grown, self._booster = torch.tensor(bytearray(text), dtype=torch.uint8), None

    def score(self, inputs: ListInputs) -> Tensor:
        """Return the sums of the trees, which are worked out on the CPU, whatever the device.

        Raises:
            ModelError: The model was neither fitted nor loaded.
        """
        features = inputs.features[inputs.mask] if self._reads_rows and inputs.features is not None else None
        rows = self._rows(features, inputs.items[inputs.mask]).numpy()
        found = self._trees().predict(rows, num_threads=torch.get_num_threads())
        scores = torch.zeros(inputs.mask.shape, device=inputs.mask.device)
        scores[inputs.mask] = torch.tensor(found, dtype=torch.float32, device=scores.device)
        return scores

    def _trees(self) -> Any:
        """Return the booster of what was grown."""
        import lightgbm

        if not len(self.grown):
            raise ModelError("lambdamart has no trees yet; call fit(context) or load its weights")
        if self._booster is None:
            self._booster = lightgbm.Booster(model_str=self.grown.cpu().numpy().tobytes().decode())
        return self._booster

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Make room for trees of any size."""
        if (grown := state_dict.get(f"{prefix}grown")) is not None:
            self.grown, self._booster = torch.empty_like(grown), None
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _rows(self, features: Tensor | None, items: Tensor) -> Tensor:
        """Return what is known of rows, ``[N, F]`` on the CPU, where trees are; NaN where it is missing."""
        tables = [table.index_select(0, items.to(table.device)) for table in self.content.buffers()]
        return torch.cat([part.cpu() for part in (*([] if features is None else [features]), *tables)], dim=1)

    def _targets(self, train: Lists) -> np.ndarray:
        """Return the grade of each row of train, or say what is missing."""
        config = self.config
        if config.position_bias == "estimated" and train.positions is None:
            raise ModelError(
                "lambdamart: position_bias: estimated needs the places at which rows were shown, and train has none"
            )
        if (targets := train.labels if config.learns_from == "labels" else train.clicks) is None:
            raise ModelError(f"lambdamart learns from {config.learns_from}, and the training lists hold none")
        if (longest := int(train.lengths().max(initial=0))) > MAX_ROWS:
            raise ModelError(
                f"lambdamart: LightGBM takes lists of at most {MAX_ROWS} rows; the longest in train has {longest}. "
                "Shorten the lists, or use mlp with loss: lambdarank"
            )
        return targets.astype(np.int64)
