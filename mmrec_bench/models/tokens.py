"""Items as sets of shared tokens instead of a vector each: the network that crosses the tokens of an item.

After MOTOR (https://arxiv.org/abs/2410.19276), whose full text was not at hand: its abstract and reviews name learnable
tokens found by optimised product quantisation, and a Token Cross Network of first, second and high order, specific to a
modality or agnostic of it. The formulas here are a reconstruction.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.models.blocks import Distinct, ItemRepresentation
from mmrec_bench.models.token_table import TokenTable
from mmrec_bench.types import IntArray

Order: TypeAlias = Literal["first", "second", "high"]
Crossing: TypeAlias = Literal["specific", "agnostic", "both"]
HighOrder: TypeAlias = Literal["mlp", "dcn"]
Combination: TypeAlias = Literal["sum", "linear"]
Scale: TypeAlias = Literal["fixed", "layer-norm"]

HIDDEN_DIM = 128
"""Width of the hidden layer of `MlpCross`."""
CROSS_LAYERS, CROSS_RANK = 2, 32
"""Layers of `DeepCross`, and the rank of their matrices."""


class MlpCross(nn.Module):
    """High order by a perceptron on the concatenated tokens, ``n d -> 128 -> d`` with ReLU; biases start at zero.

    Its first layer is a sum over tokens, so it is applied to each token once, and not to each token of each item.

    Args:
        n_tokens: Number n of tokens of an item.
        dim: Length d of each.
    """

    def __init__(self, n_tokens: int, dim: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(n_tokens * dim, HIDDEN_DIM), nn.Linear(HIDDEN_DIM, dim)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.outer.bias)

    def forward(self, tables: Sequence[TokenTable], ids: Tensor | None) -> Tensor:
        """Return ``[B, d]`` for some items, or all."""
        weights = self.inner.weight.view(HIDDEN_DIM, -1, tables[0].dim).permute(1, 2, 0)
        hidden = [
            table.sums(torch.bmm(table.tokens(), part), ids)
            for table, part in zip(tables, torch.split(weights, [t.n_subspaces for t in tables]), strict=True)
        ]
        crossed: Tensor = self.outer(F.relu(_sum(hidden) + self.inner.bias))
        return crossed


class DeepCross(nn.Module):
    """High order by two low-rank layers of DCN-v2 (https://arxiv.org/abs/2008.13535) and a projection.

    ``x_{l+1} = x_0 * (U_l V_l x_l + b_l) + x_l`` on the concatenated tokens ``x_0 [n d]``, then a linear map to d. It
    works on the tokens of each item, and costs several times what `MlpCross` does. Biases start at zero.

    Args:
        n_tokens: Number n of tokens of an item.
        dim: Length d of each.
    """

    def __init__(self, n_tokens: int, dim: int) -> None:
        super().__init__()
        width = n_tokens * dim
        self.down = nn.ModuleList(nn.Linear(width, CROSS_RANK, bias=False) for _ in range(CROSS_LAYERS))
        self.up = nn.ModuleList(nn.Linear(CROSS_RANK, width) for _ in range(CROSS_LAYERS))
        self.outer = nn.Linear(width, dim)
        for layer in (*self.up, self.outer):
            nn.init.zeros_(layer.bias)

    def forward(self, tables: Sequence[TokenTable], ids: Tensor | None) -> Tensor:
        """Return ``[B, d]`` for some items, or all."""
        first = torch.cat([table.concatenated(ids) for table in tables], dim=1)
        x = first
        for down, up in zip(self.down, self.up, strict=True):
            x = torch.addcmul(x, first, up(down(x)))
        crossed: Tensor = self.outer(x)
        return crossed


class TokenCrossNetwork(nn.Module):
    """Orders of interaction among the tokens ``t_1 .. t_n`` of an item, combined.

    - first: ``o1 = sum_j t_j``
    - second: ``o2 = ((sum_j t_j)^2 - sum_j t_j^2) / 2``, all products of two tokens, value by value
    - high: ``o3`` of `MlpCross` or `DeepCross`

    Args:
        n_tokens: Number n of tokens.
        dim: Length d of each.
        orders: Which orders there are.
        high_order: Kind of the high order.
        combination: ``sum``, or ``linear``: ``W [o1 ; o2 ; o3]`` without bias.
    """

    def __init__(
        self, n_tokens: int, dim: int, orders: Sequence[Order], high_order: HighOrder, combination: Combination
    ) -> None:
        super().__init__()
        self.orders = tuple(orders)
        self.high: nn.Module | None = None
        if "high" in orders:
            self.high = (MlpCross if high_order == "mlp" else DeepCross)(n_tokens, dim)
        self.mix = nn.Linear(len(self.orders) * dim, dim, bias=False) if combination == "linear" else None

    def forward(self, tables: Sequence[TokenTable], moments: Sequence[Tensor], ids: Tensor | None) -> Tensor:
        """Return vectors ``[B, d]`` of some items, or all.

        Args:
            tables: The modalities whose tokens are crossed.
            moments: Sums and sums of squares over tokens in each, ``[B, 2d]``.
            ids: Items, int64 ``[B]``; None means all in order.
        """
        total, squares = _sum(moments).chunk(2, dim=1)
        terms = []
        for order in self.orders:
            if order == "first":
                terms.append(total)
            elif order == "second":
                terms.append(0.5 * (total.square() - squares))
            elif self.high is not None:
                terms.append(self.high(tables, ids))
        if self.mix is None:
            return _sum(terms)
        mixed: Tensor = self.mix(torch.cat(terms, dim=1))
        return mixed


class TokenRepresentation(ItemRepresentation):
    """Items as crossed tokens; of the size at the start that the table of identities had in whose place it stands.

    ``specific`` crosses the tokens of each modality by a network of its own and sums them; ``agnostic`` crosses the
    tokens of all modalities by one network; ``both`` adds the two. With one modality all three are that one network.

    Args:
        codes: By modality, int64 ``[n_items, S]`` in 0..K-1; -1 where the item is absent.
        n_codes: Number K of tokens in each sub-space.
        replaced: The table of identities ``[n_items, d]``; only its length and the size of its values are read.
        tcn: Which networks there are.
        orders: See `TokenCrossNetwork`.
        high_order: See `TokenCrossNetwork`.
        combination: See `TokenCrossNetwork`.
        scale: How the size is kept: by a constant factor, or by LayerNorm.

    Raises:
        ModelError: The vectors are all zero: there is but one token to cross in the second order.
    """

    factor: Tensor

    def __init__(
        self,
        codes: Sequence[IntArray],
        n_codes: int,
        replaced: Tensor,
        *,
        tcn: Crossing,
        orders: Sequence[Order],
        high_order: HighOrder,
        combination: Combination,
        scale: Scale,
    ) -> None:
        super().__init__()
        dim, every = replaced.shape[1], tuple(range(len(codes)))
        self.tables = nn.ModuleList(TokenTable(table, n_codes, dim) for table in codes)
        self.reads: list[tuple[int, ...]] = [] if tcn == "agnostic" else [(place,) for place in every]
        if tcn != "specific" and every not in self.reads:
            self.reads.append(every)
        self.networks = nn.ModuleList(
            TokenCrossNetwork(sum(codes[place].shape[1] for place in read), dim, orders, high_order, combination)
            for read in self.reads
        )
        self.norm: nn.LayerNorm | None = None
        with torch.no_grad():
            size, wanted = (rows.square().mean().sqrt() for rows in (self._crossed(None), replaced))
            if not size:
                raise ModelError(
                    "the second order of a single token is zero, and so are all items: add other orders to "
                    "model.orders, or raise model.n_subspaces"
                )
            if scale == "fixed":
                self.register_buffer("factor", wanted / size)
            else:
                self.norm = nn.LayerNorm(dim)
                self.norm.weight.fill_(wanted)

    def all(self) -> Tensor:
        """Return the vectors of all items, float32 ``[n_items, d]``."""
        return self._scaled(self._crossed(None))

    def rows(self, ids: Tensor) -> Tensor:
        """Return the vectors of some items, float32 ``[B, d]``, for int64 ``[B]``."""
        distinct = Distinct.of(ids)
        return distinct.expand(self._scaled(self._crossed(distinct.ids)))

    def _scaled(self, vectors: Tensor) -> Tensor:
        if self.norm is None:
            return vectors * self.factor
        normalised: Tensor = self.norm(vectors)
        return normalised

    def _crossed(self, ids: Tensor | None) -> Tensor:
        tables = [cast(TokenTable, table) for table in self.tables]
        moments = [table.moments(ids) for table in tables]
        crossed = [
            network([tables[place] for place in read], [moments[place] for place in read], ids)
            for network, read in zip(self.networks, self.reads, strict=True)
        ]
        return _sum(crossed)


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)
