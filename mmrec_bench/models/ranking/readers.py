"""How lists are read: a history in its order, candidates in none."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from mmrec_bench.models.ranking.row_attention import Block

ReaderKind: TypeAlias = Literal["attention", "transformer"]


class HistoryReader(nn.Module):
    """An LSTM over the vectors of a user and its history; its start is learned, and is all where nothing is read.

    Args:
        dim: Length d of the vectors.
        hidden_dim: Length H of its states.
        reads: Whether there is ever anything to read.
    """

    def __init__(self, dim: int, hidden_dim: int, reads: bool) -> None:
        super().__init__()
        bound = hidden_dim**-0.5
        self.start = nn.Parameter(torch.empty(2, hidden_dim).uniform_(-bound, bound))
        self.lstm = nn.LSTM(dim, hidden_dim, batch_first=True) if reads else None

    def forward(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden state u and cell state, ``[B, H]`` each.

        Args:
            vectors: ``[B, T, d]``, oldest first; what stands behind the end is ignored.
            lengths: int64 ``[B]``, 0 where there is nothing.
        """
        hidden, cell = (state.expand(len(lengths), -1).contiguous() for state in self.start)
        if self.lstm is None or not vectors.shape[1]:
            return hidden, cell
        packed = pack_padded_sequence(vectors, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        _, (last_hidden, last_cell) = self.lstm(packed, (hidden.unsqueeze(0), cell.unsqueeze(0)))
        some = (lengths > 0).unsqueeze(1)
        return torch.where(some, last_hidden[0], hidden), torch.where(some, last_cell[0], cell)


class AttentionReader(nn.Module):
    """Reads each candidate with a summary of all.

    ``h_d = MLP([x_d ; u ; r])`` with ``r = sum_d softmax_d(q(u) . k(x_d) / sqrt(H)) v(x_d)``.

    Args:
        dim: Length d of the vectors of candidates.
        hidden_dim: Length H.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_dim, hidden_dim, bias=False)
        self.key = nn.Linear(dim, hidden_dim, bias=False)
        self.value = nn.Linear(dim, hidden_dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim + 2 * hidden_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim)
        )

    def forward(self, rows: Tensor, user: Tensor, mask: Tensor) -> Tensor:
        """Return h, ``[B, L, H]``, of candidates ``[B, L, d]`` for users ``[B, H]``; permuted as the candidates are."""
        logits = (self.key(rows) @ self.query(user).unsqueeze(2)).squeeze(2) / user.shape[1] ** 0.5
        shares = logits.masked_fill(~mask, -torch.inf).softmax(dim=1)
        summary = (shares.unsqueeze(1) @ self.value(rows)).squeeze(1)
        about = torch.cat((user, summary), dim=1).unsqueeze(1).expand(-1, rows.shape[1], -1)
        found: Tensor = self.mlp(torch.cat((rows, about), dim=2))
        return found


class TransformerReader(nn.Module):
    """Reads candidates by self-attention among them, without positions or causal mask; the user joins each.

    Args:
        dim: Length d of the vectors of candidates.
        hidden_dim: Length H.
        n_layers: Blocks of attention.
        n_heads: Heads of each.
        dropout: Within them.
    """

    def __init__(self, dim: int, hidden_dim: int, n_layers: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.joined = nn.Linear(dim + hidden_dim, hidden_dim)
        self.blocks = nn.ModuleList(Block(hidden_dim, n_heads, dropout) for _ in range(n_layers))

    def forward(self, rows: Tensor, user: Tensor, mask: Tensor) -> Tensor:
        """Return h, ``[B, L, H]``, of candidates ``[B, L, d]`` for users ``[B, H]``; permuted as the candidates are."""
        tokens: Tensor = self.joined(torch.cat((rows, user.unsqueeze(1).expand(-1, rows.shape[1], -1)), dim=2))
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens
