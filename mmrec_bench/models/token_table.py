"""Learned tokens of one modality, shared by items with the same code (see `models.tokens`)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.models.blocks import initialise
from mmrec_bench.types import IntArray


class TokenTable(nn.Module):
    """The tokens of one modality, and which of them stand for each item.

    Each sub-space has tokens of its own, and, where an item lacks the modality, one more that stands for all of those;
    it starts at the mean of the others.

    Args:
        codes: int64 ``[n_items, S]`` in 0..K-1; -1 where the item is absent.
        n_codes: Number K of tokens in each sub-space.
        dim: Length d of each.
    """

    codes: Tensor

    def __init__(self, codes: IntArray, n_codes: int, dim: int) -> None:
        super().__init__()
        self.n_subspaces, self.n_codes, self.dim = codes.shape[1], n_codes, dim
        self.weight = nn.Parameter(torch.empty(self.n_subspaces * n_codes, dim))
        initialise(self.weight, "xavier_uniform")
        self.missing: nn.Parameter | None = None
        if (codes < 0).any():
            self.missing = nn.Parameter(self._spaces().detach().mean(dim=1, keepdim=True))
        # Part of the state: codes hang on the seed, and in the last bits on the machine that made them.
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int32)))
        self._index()
        self.register_load_state_dict_post_hook(lambda table, _: table._index())  # type: ignore[no-untyped-call]

    def tokens(self) -> Tensor:
        """Return all tokens, float32 ``[S, K', d]``: K' is K, or K + 1 with the missing one last."""
        return self._spaces() if self.missing is None else torch.cat((self._spaces(), self.missing), dim=1)

    def sums(self, values: Tensor, ids: Tensor | None) -> Tensor:
        """Sum over the tokens of an item.

        Args:
            values: Something for each token, float32 ``[S, K', w]``.
            ids: Items, int64 ``[B]``; None means all in order.

        Returns:
            float32 ``[B, w]``.
        """
        flat = values.flatten(0, 1)
        return self.lookup(flat) if ids is None else self.lookup.rows(ids, flat)

    def moments(self, ids: Tensor | None) -> Tensor:
        """Return sums and sums of squares over the tokens of items, float32 ``[B, 2d]``, by one product."""
        tokens = self.tokens()
        return self.sums(torch.cat((tokens, tokens.square()), dim=2), ids)

    def concatenated(self, ids: Tensor | None) -> Tensor:
        """Return the tokens of items one after another, float32 ``[B, S d]``."""
        places = self.lookup.matrix.columns.view(-1, self.n_subspaces)
        return F.embedding(places if ids is None else places[ids], self.tokens().flatten(0, 1)).flatten(1)

    def _spaces(self) -> Tensor:
        return self.weight.view(self.n_subspaces, self.n_codes, self.dim)

    def _index(self) -> None:
        """Make the operator that sums over tokens: ones where an item has a token, ``[n_items, S K']``."""
        codes = self.codes.cpu().numpy()
        width = self.n_codes + (self.missing is not None)
        columns = np.where(codes < 0, self.n_codes, codes) + np.arange(self.n_subspaces) * width
        ends = np.arange(0, codes.size + 1, self.n_subspaces)
        ones = np.ones(codes.size, np.float32)
        incidence = sp.csr_matrix((ones, columns.ravel(), ends), (len(codes), self.n_subspaces * width))
        self.lookup = SparseOperator(incidence).to(self.codes.device)
