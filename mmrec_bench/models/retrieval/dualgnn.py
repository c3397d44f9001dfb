"""DualGNN: encoders of modalities on the user-item graph, gated and added up, then a graph of users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mmrec_bench.models.base import MODELS, Citation, ModelContext
from mmrec_bench.models.blocks import feature_tables
from mmrec_bench.models.user_graph import UserGraphConfig, UserGraphModel, gates


class DualGNNConfig(UserGraphConfig):
    """Settings of `DualGNN`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {**UserGraphConfig.RELEASED, "fusion_alias": True, "reg_item_gates": True}

    name: Literal["dualgnn"] = "dualgnn"
    fusion_alias: bool = False
    """Whether users get ``a_0 sum_m r_m + a_1 r_1 + ...``, as released, where adding up the modalities overwrites the
    first of them; false is the published ``sum_m a_m r_m``."""
    reg_item_gates: bool = False
    """Whether the regulariser pulls at gates of items, as released; nothing else reads them, so no score changes."""


@MODELS.add(
    "dualgnn",
    task="retrieval",
    config=DualGNNConfig,
    paper=Citation(
        title="DualGNN: Dual Graph Neural Network for Multimedia Recommendation",
        authors="Wang et al.",
        venue="IEEE Transactions on Multimedia 2021",
        url="https://ieeexplore.ieee.org/document/9662655",
    ),
    deviations=(
        "Small networks that the released code registers and never uses are left out.",
        "Users whose list is filled up in training have their plain list in fresh scores.",
    ),
    uses_features=True,
)
class DualGNN(UserGraphModel):
    """Scores ``y_ui = z_u . z_i``.

    - Encoder of a modality: ``r = x + A x + A A x``, ``x = norm([p ; MLP(f)])``, A the normalised user-item graph, p
      free preferences of users, and the MLP two linear maps with a leaky ReLU between.
    - Users: ``r_u = sum_m a_m r_m``, a the gates of u, and ``z_u = r_u + sum_k w_k r_k`` over the users who share most
      training items with u, w the softmax of how many.
    - Items: ``z_i = sum_m r_m``.

    Loss: ``bpr(z) + reg_weight * (sum_m mean p_m^2 + mean a^2)``. It is DRAGON without the graph of items, and with
    sums where DRAGON has modalities side by side.
    Source: Wang et al., IEEE Transactions on Multimedia 2021, https://ieeexplore.ieee.org/document/9662655. Shapes: see
    `UserGraphModel`; z ``[n, d]``.
    """

    config: DualGNNConfig

    def __init__(self, config: DualGNNConfig, context: ModelContext) -> None:
        tables = feature_tables("dualgnn", context)
        super().__init__(config, context, tables)
        self.item_gates: nn.Parameter | None = None
        if config.reg_item_gates:
            self.item_gates = nn.Parameter(gates(context.train.n_items, len(tables)))

    def width(self, n_modalities: int) -> int:
        """Return d."""
        return self.config.embedding_dim

    def fuse(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums over the modalities, of users weighted by their gates, ``[n, d]``."""
        if self.config.fusion_alias:
            users = torch.cat((users.sum(dim=1, keepdim=True), users[:, 1:]), dim=1)
        return (users * self.gates).sum(dim=1), items.sum(dim=1)

    def regularised(self, users: Tensor) -> list[Tensor]:
        """Return the mean squares that the regulariser adds up."""
        squares = super().regularised(users)
        return squares if self.item_gates is None else [*squares, self.item_gates.square().mean()]
