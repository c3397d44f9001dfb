"""Rows read by attention: among the fields of one row, or among the rows of a list."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.models.ranking.base import ListInputs, RankingContext
from mmrec_bench.models.ranking.fields import FieldsConfig, RowFields
from mmrec_bench.row_share import RowDropout

Attention: TypeAlias = Literal["field", "list", "none"]


class RowEncoder(nn.Module):
    """Reads each row into one vector; no row order is known, so that permuted rows give permuted vectors.

    With ``field`` the blocks run over the fields of a row, of which the mean is taken afterwards; otherwise over the
    means, with attention among the rows of a list (``list``) or without (``none``).

    Args:
        config: Fields.
        context: Training lists and feature tables.
        attention: Who attends to whom.
        n_layers: Blocks.
        n_heads: Heads of each block.
        dropout: Within the blocks.
    """

    def __init__(
        self,
        config: FieldsConfig,
        context: RankingContext,
        attention: Attention,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.fields = RowFields(config, context)
        heads = 0 if attention == "none" else n_heads
        self.blocks = nn.ModuleList(Block(config.embedding_dim, heads, dropout) for _ in range(n_layers))
        self._over_fields = attention == "field"

    def forward(self, inputs: ListInputs) -> Tensor:
        """Return vectors, float32 ``[B, L, d]``."""
        fields = self.fields(inputs)
        rows = fields if self._over_fields else fields.mean(dim=-2)
        for block in self.blocks:
            rows = block(rows, None if self._over_fields else inputs.mask)
        found: Tensor = rows.mean(dim=-2) if self._over_fields else rows
        return found


class Block(nn.Module):
    """A transformer block, normalised after each part: self-attention, then a layer of GELUs four times as wide.

    Args:
        dim: Length d of vectors.
        n_heads: Heads of attention; 0 leaves it out.
        dropout: Of both parts.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, RowDropout(dropout)
        if n_heads:
            self.queries_keys_values, self.mixed = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
            self.attention_norm = nn.LayerNorm(dim)
        self.wide, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """Return vectors ``[..., S, d]``; none attends to those that the mask, bool ``[..., S]``, leaves out."""
        if self.n_heads:
            vectors = self.attention_norm(vectors + self.dropout(self._attended(vectors, mask)))
        found: Tensor = self.norm(vectors + self.dropout(self.narrow(F.gelu(self.wide(vectors)))))
        return found

    def _attended(self, vectors: Tensor, mask: Tensor | None) -> Tensor:
        shape = (*vectors.shape[:-1], 3, self.n_heads, -1)
        # [..., S, 3, heads, d'] -> 3 x [..., heads, S, d']
        queries, keys, values = self.queries_keys_values(vectors).view(shape).transpose(-4, -2).unbind(-3)
        keep = None if mask is None else mask.unsqueeze(-2).unsqueeze(-2)
        found = F.scaled_dot_product_attention(queries, keys, values, keep)
        mixed: Tensor = self.mixed(found.transpose(-3, -2).flatten(-2))
        return mixed
