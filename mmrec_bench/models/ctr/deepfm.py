"""DeepFM: a factorisation machine and dense layers over the same fields."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ctr.base import CtrContext, PointInputs
from mmrec_bench.models.ctr.fields import Dense, DenseConfig, FieldsModel
from mmrec_bench.models.ctr.fm import Pairwise


class DeepFMConfig(DenseConfig):
    """Settings of `DeepFM`."""

    name: Literal["deepfm"] = "deepfm"


@MODELS.add(
    "deepfm",
    task="ctr",
    config=DeepFMConfig,
    paper=Citation(
        title="DeepFM: A Factorization-Machine based Neural Network for CTR Prediction",
        authors="Guo et al.",
        venue="IJCAI 2017",
        url="https://arxiv.org/abs/1703.04247",
    ),
    uses_features=True,
)
class DeepFM(FieldsModel):
    """``FM(fields) + w . MLP([fields ; extra])``, both parts over the same vectors.

    Source: Guo et al., IJCAI 2017, https://arxiv.org/abs/1703.04247.
    """

    def __init__(self, config: DeepFMConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        points, fields, dim = context.train.points, self.fields, config.embedding_dim
        self.pairwise = Pairwise(points.n_users, points.n_items, fields.n_of_items - 1, dim)
        self.dense = Dense(fields.n_fields * dim, config, context.train.extra, fields.items)
        self.out = nn.Linear(config.hidden_dims[-1], 1, bias=False)

    def forward(self, inputs: PointInputs) -> Tensor:
        """Return log odds, float32 ``[B]``."""
        fields = self.fields(inputs)
        deep = self.out(self.dense(fields.flatten(1), inputs.extra, self.fields.items.all())).squeeze(-1)
        odds: Tensor = self.pairwise(fields, inputs.users, inputs.items) + deep
        return odds
