"""What describes a row of a list: fields of one length d, from which every trained ranker reads."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.models.blocks import FeatureProjections, IdEmbedding
from mmrec_bench.models.ranking.base import ListInputs, RankerConfig, RankingContext

Scaling: TypeAlias = Literal["none", "standard", "log-standard"]


class FieldsConfig(RankerConfig):
    """Which fields of a row a ranker reads."""

    embedding_dim: PositiveInt = 64
    """Size d of every field."""
    row_features: bool = True
    """Whether the values of a row are read, where lists carry any."""
    scaling: Scaling = "standard"
    """``standard``: row features have mean 0 and deviation 1 in train; ``log-standard`` first takes
    sign(x) log(1 + |x|), for counts; ``none`` leaves them as they are."""
    content: bool = True
    """Whether feature tables of the items are read, where the data set has any."""
    item_ids: bool = False
    """Whether each item has a vector of its own; useless where test lists hold other items than train, as in LETOR."""
    user_ids: bool = False
    """Whether each user (or query) has a vector of its own; useless where test lists are for others."""


class RowFields(nn.Module):
    """The fields of each row: its values, its item's content, the identities of item and user.

    Args:
        config: Which.
        context: Training lists, for shapes and scaling, and feature tables.

    Raises:
        ModelError: Nothing describes a row; names what could be switched on.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FieldsConfig, context: RankingContext) -> None:
        super().__init__()
        train, dim = context.train, config.embedding_dim
        self._scaling = config.scaling
        values = train.features if config.row_features else None
        self.values = None if values is None else nn.Linear(values.shape[1], dim)
        if values is not None:
            scaled = values if config.scaling != "log-standard" else np.sign(values) * np.log1p(np.abs(values))
            standard = config.scaling != "none"
            mean = scaled.mean(axis=0, dtype=np.float64) if standard else np.zeros(values.shape[1])
            deviation = scaled.std(axis=0, dtype=np.float64) if standard else np.ones(values.shape[1])
            self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
            # A column that is constant in train says nothing; anywhere else it must not blow up.
            self.register_buffer(
                "deviation", torch.tensor(np.where(deviation > 1e-8, deviation, 1), dtype=torch.float32)
            )
        tables = tuple(table for _, table in sorted(context.features.items())) if config.content else ()
        self.content = FeatureProjections(tables, dim, normalise=True) if tables else None
        self.item_ids = IdEmbedding(train.n_items, dim, "xavier_uniform") if config.item_ids else None
        self.user_ids = IdEmbedding(train.n_users, dim, "xavier_uniform") if config.user_ids else None
        if self.values is None and not self.reads_items:
            raise ModelError(
                f"{config.name}: nothing describes a row: the lists carry no values, and no feature table is read. "
                "Set model.item_ids: true, or give features to lists or items"
            )

    @property
    def n_fields(self) -> int:
        """Number N of fields of a row."""
        n_values, n_ids = int(self.values is not None), (self.item_ids is not None) + (self.user_ids is not None)
        return n_values + n_ids + (0 if self.content is None else len(self.content))

    @property
    def reads_items(self) -> bool:
        """Whether anything is known of an item apart from the row it stands in."""
        return self.content is not None or self.item_ids is not None

    def forward(self, inputs: ListInputs) -> Tensor:
        """Return all fields, float32 ``[B, L, N, d]``; the order of the N fields is fixed for a model."""
        fields = []
        if self.values is not None:
            assert inputs.features is not None
            fields.append(self.values(self.scaled(inputs.features)))
        fields += self.of_items(inputs.items)
        if self.user_ids is not None:
            fields.append(self.user_ids.rows(inputs.users).unsqueeze(1).expand(*inputs.items.shape, -1))
        return torch.stack(fields, dim=-2)

    def scaled(self, features: Tensor) -> Tensor:
        """Scale row features ``[..., F]`` as the config says."""
        if self._scaling == "log-standard":
            features = features.sign() * features.abs().log1p()
        return (features - self.mean) / self.deviation

    def of_items(self, items: Tensor) -> list[Tensor]:
        """Return the fields of items, int64 of any shape, that do not hang on a row: content and identity."""
        flat = items.reshape(-1)
        found = list(self.content.rows(flat).values()) if self.content is not None else []
        if self.item_ids is not None:
            found.append(self.item_ids.rows(flat))
        return [rows.view(*items.shape, -1) for rows in found]
