"""What a CTR model reads of an impression: user, item, content of the item, and one extra slot."""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmrec_bench.models.blocks import FeatureProjections, IdEmbedding, gather
from mmrec_bench.models.ctr.base import CtrConfig, CtrContext, Extra, GradientCtrModel, PointInputs
from mmrec_bench.row_share import RowDropout


class FieldsConfig(CtrConfig):
    """Which fields of an impression are read."""

    embedding_dim: PositiveInt = 16
    """Size d of every field."""
    content: bool = True
    """Whether feature tables of the items are read as fields, where the data set has any."""
    extra: str | None = None
    """A feature table that is read through the extra slot, and is no field: its vectors stand beside all fields in
    the first dense layer, whose columns for them start at zero."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Feature tables that the settings name."""
        return () if self.extra is None else (self.extra,)


class DenseConfig(FieldsConfig):
    """Fields, and the dense layers behind them."""

    hidden_dims: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (64, 32)
    """Sizes of the hidden layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout behind every one of them."""


class PointFields(nn.Module):
    """The fields of an impression: identity of user and item, and content of the item.

    Args:
        config: Which.
        context: Training impressions, for shapes, and feature tables.
    """

    def __init__(self, config: FieldsConfig, context: CtrContext) -> None:
        super().__init__()
        points, dim = context.train.points, config.embedding_dim
        self.users = IdEmbedding(points.n_users, dim, "xavier_normal")
        self.items = IdEmbedding(points.n_items, dim, "xavier_normal")
        read = sorted(context.features.items()) if config.content else []
        tables = tuple(table for name, table in read if name != config.extra)
        self.content = FeatureProjections(tables, dim, normalise=True) if tables else None

    @property
    def n_of_items(self) -> int:
        """Number of fields of an item."""
        return 1 + (0 if self.content is None else len(self.content))

    @property
    def n_fields(self) -> int:
        """Number N of fields of an impression."""
        return 1 + self.n_of_items

    def forward(self, inputs: PointInputs) -> Tensor:
        """Return all fields, float32 ``[B, N, d]``, that of the user first."""
        return torch.stack([self.users.rows(inputs.users), *self.of_items(inputs.items)], dim=-2)

    def of_items(self, items: Tensor) -> list[Tensor]:
        """Return the fields of items, int64 of any shape: identity, then content."""
        flat = items.reshape(-1)
        found = [self.items.rows(flat)]
        if self.content is not None:
            found += self.content.rows(flat).values()
        return [rows.view(*items.shape, -1) for rows in found]


class ExtraSlot(nn.Module):
    """The columns of a dense layer that read the extra slot, zero at the start: an untrained slot changes nothing.

    Vectors are read as they are; of item ids, the mean of the vectors of their identities.

    Args:
        extra: What it holds.
        table: The identities of items.
        n_outputs: Width of the layer.
    """

    def __init__(self, extra: Extra, table: IdEmbedding, n_outputs: int) -> None:
        super().__init__()
        dim = table.weight.shape[1] if extra.dim is None else extra.dim
        self.columns = nn.Linear(dim, n_outputs, bias=False)
        nn.init.zeros_(self.columns.weight)

    def forward(self, extra: Tensor, table: Tensor) -> Tensor:
        """Return what the slot adds to the layer, float32 ``[B, n_outputs]``; `table` holds item identities."""
        if not extra.is_floating_point():
            known = (extra >= 0).unsqueeze(-1)
            vectors = gather(table, extra.clamp(min=0)) * known
            extra = vectors.sum(dim=1) / known.sum(dim=1).clamp(min=1)
        added: Tensor = self.columns(extra)
        return added


class Dense(nn.Module):
    """Dense layers with ReLU, the first of which reads the extra slot, too.

    Args:
        n_inputs: Length of what they read.
        config: Their sizes.
        extra: What the slot holds; None for no slot.
        table: The identities of items.
    """

    def __init__(self, n_inputs: int, config: DenseConfig, extra: Extra | None, table: IdEmbedding) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, config.hidden_dims[0])
        self.slot = None if extra is None else ExtraSlot(extra, table, config.hidden_dims[0])
        layers: list[nn.Module] = [nn.ReLU(), RowDropout(config.dropout)]
        for before, after in itertools.pairwise(config.hidden_dims):
            layers += [nn.Linear(before, after), nn.ReLU(), RowDropout(config.dropout)]
        self.rest = nn.Sequential(*layers)

    def forward(self, read: Tensor, extra: Tensor | None, table: Tensor) -> Tensor:
        """Return the last hidden layer, float32 ``[B, h]``."""
        hidden = self.first(read)
        if self.slot is not None and extra is not None:
            hidden = hidden + self.slot(extra, table)
        found: Tensor = self.rest(hidden)
        return found


class FieldsModel(GradientCtrModel):
    """Base of models that read fields."""

    def __init__(self, config: FieldsConfig, context: CtrContext) -> None:
        super().__init__()
        self.config = config
        self.fields = PointFields(config, context)

    @property
    def item_representation(self) -> nn.Module:
        """The table of items."""
        return self.fields.items
