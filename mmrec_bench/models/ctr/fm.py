"""FM: every field meets every other in an inner product."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.blocks import gather
from mmrec_bench.models.ctr.base import CtrContext, PointInputs
from mmrec_bench.models.ctr.fields import ExtraSlot, FieldsConfig, FieldsModel


class FMConfig(FieldsConfig):
    """Settings of `FM`."""

    name: Literal["fm"] = "fm"


class Pairwise(nn.Module):
    """``w_0 + w_u + w_i + sum_f w_f . v_f + sum_(f < g) <v_f, v_g>`` of fields v; content f has its weights w_f.

    Args:
        n_users: Number of users.
        n_items: Number of items.
        n_content: Number of fields of content.
        dim: Size d of every field.
    """

    def __init__(self, n_users: int, n_items: int, n_content: int, dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.of_users = nn.Parameter(torch.zeros(n_users, 1))
        self.of_items = nn.Parameter(torch.zeros(n_items, 1))
        self.of_content = nn.Linear(n_content * dim, 1, bias=False) if n_content else None

    def forward(self, fields: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Return log odds, float32 ``[B]``, of fields ``[B, N, d]``."""
        first = self.bias + (gather(self.of_users, users) + gather(self.of_items, items)).squeeze(-1)
        if self.of_content is not None:
            first = first + self.of_content(fields[:, 2:].flatten(1)).squeeze(-1)
        total = fields.sum(dim=1)
        second: Tensor = 0.5 * (total.square().sum(dim=-1) - fields.square().sum(dim=(1, 2)))
        return first + second


@MODELS.add(
    "fm",
    task="ctr",
    config=FMConfig,
    paper=Citation(
        title="Factorization Machines", authors="Rendle", venue="ICDM 2010", url="https://doi.org/10.1109/ICDM.2010.127"
    ),
    deviations=(
        "The extra slot is one more field, whose projection starts at zero: an FM has no dense layer. It has a vector, "
        "and no weight of its own.",
    ),
    uses_features=True,
)
class FM(FieldsModel):
    """``w_0 + sum_f w_f + sum_(f < g) <v_f, v_g>`` over user, item and each feature table of the item.

    A feature table is a field by a linear projection of its vectors.
    Source: Rendle, ICDM 2010, https://doi.org/10.1109/ICDM.2010.127.
    """

    def __init__(self, config: FMConfig, context: CtrContext) -> None:
        super().__init__(config, context)
        points, extra = context.train.points, context.train.extra
        n_content = self.fields.n_of_items - 1
        self.pairwise = Pairwise(points.n_users, points.n_items, n_content, config.embedding_dim)
        self.slot = None if extra is None else ExtraSlot(extra, self.fields.items, config.embedding_dim)

    def forward(self, inputs: PointInputs) -> Tensor:
        """Return log odds, float32 ``[B]``."""
        fields = self.fields(inputs)
        odds: Tensor = self.pairwise(fields, inputs.users, inputs.items)
        if self.slot is not None and inputs.extra is not None:
            added = self.slot(inputs.extra, self.fields.items.all())
            odds = odds + (added * fields.sum(dim=1)).sum(dim=-1)
        return odds
