"""DCN-v2: crosses of all values with all values, beside or before dense layers."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.ctr.base import CtrContext, PointInputs
from mmrec_bench.models.ctr.fields import Dense, DenseConfig, FieldsModel


class DCNv2Config(DenseConfig):
    """Settings of `DCNv2`."""

    name: Literal["dcn-v2"] = "dcn-v2"
    n_layers: PositiveInt = 2
    """Number of cross layers."""
    structure: Literal["parallel", "stacked"] = "parallel"
    """Whether the dense layers stand beside the crosses, or read what comes out of them."""


@MODELS.add(
    "dcn-v2",
    task="ctr",
    config=DCNv2Config,
    paper=Citation(
        title="DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems",
        authors="Wang et al.",
        venue="WWW 2021",
        url="https://arxiv.org/abs/2008.13535",
    ),
    deviations=("Cross layers have full matrices; the mixture of low-rank experts is not there.",),
    uses_features=True,
)
class DCNv2(FieldsModel):
    """``x_(l+1) = x_0 * (W_l x_l + b_l) + x_l`` over all fields x_0, and an MLP that reads the extra slot, too.

    ``parallel``: the log odds are linear in ``[x_L ; MLP([x_0 ; extra])]``; ``stacked``: in ``MLP([x_L ; extra])``.
    Source: Wang et al., WWW 2021, https://arxiv.org/abs/2008.13535.
    """

    config: DCNv2Config

    def __init__(self, config: DCNv2Config, context: CtrContext) -> None:
        super().__init__(config, context)
        n_values = self.fields.n_fields * config.embedding_dim
        self.crosses = nn.ModuleList(nn.Linear(n_values, n_values) for _ in range(config.n_layers))
        self.dense = Dense(n_values, config, context.train.extra, self.fields.items)
        self._parallel = config.structure == "parallel"
        self.out = nn.Linear(config.hidden_dims[-1] + (n_values if self._parallel else 0), 1)

    def forward(self, inputs: PointInputs) -> Tensor:
        """Return log odds, float32 ``[B]``."""
        start = self.fields(inputs).flatten(1)
        crossed = start
        for cross in self.crosses:
            crossed = start * cross(crossed) + crossed
        table = self.fields.items.all()
        if self._parallel:
            read = torch.cat((crossed, self.dense(start, inputs.extra, table)), dim=1)
        else:
            read = self.dense(crossed, inputs.extra, table)
        odds: Tensor = self.out(read).squeeze(-1)
        return odds
