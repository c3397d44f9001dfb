"""The arranger of STARank: a pointer that places one candidate after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from mmrec_bench.plackett_luce import gumbel

PositionKind: TypeAlias = Literal["decoder", "embedding", "none"]


@dataclass(frozen=True, slots=True)
class Read:
    """What the readers made of lists.

    Attributes:
        rows: h of the candidates, ``[B, L, H]``.
        user: u, ``[B, H]``.
        cell: Cell state that belongs to u, ``[B, H]``.
        mask: Which rows are real, bool ``[B, L]``.
    """

    rows: Tensor
    user: Tensor
    cell: Tensor
    mask: Tensor


class Arranger(nn.Module):
    """Scores candidates for each rank: ``s_d^i = v . tanh(W1 h_d + W2 p_i + W3 u + b)``.

    Without the tanh p_i would add the same to all candidates, and a softmax cancel it. p_i is

    - ``decoder``: the state of an LSTM that starts at u and has read the candidates placed so far;
    - ``embedding``: a learned vector of the rank;
    - ``none``: left out; the scores are the same for all ranks.

    Args:
        hidden_dim: Length H of everything.
        position: What p is.
        n_ranks: Ranks with a vector of their own; later ones share the last.
    """

    def __init__(self, hidden_dim: int, position: PositionKind, n_ranks: int) -> None:
        super().__init__()
        self.of_rows = nn.Linear(hidden_dim, hidden_dim)
        self.of_user = nn.Linear(hidden_dim, hidden_dim, bias=False)
        self.readout = nn.Linear(hidden_dim, 1, bias=False)
        self.of_steps = nn.Linear(hidden_dim, hidden_dim, bias=False) if position != "none" else None
        self.ranks = nn.Embedding(n_ranks, hidden_dim) if position == "embedding" else None
        self.decoder = nn.LSTM(hidden_dim, hidden_dim, batch_first=True) if position == "decoder" else None
        if self.decoder is not None:
            self.start = nn.Parameter(torch.empty(hidden_dim).uniform_(-(hidden_dim**-0.5), hidden_dim**-0.5))

    def forward(self, read: Read, target: Tensor) -> Tensor:
        """Return the scores of all rows at each step, the target being followed: ``[B, K, L]``; K = 1 for ``none``.

        Args:
            read: Lists.
            target: Row placed at each step, int64 ``[B, K]``, -1 behind the end of a prefix.
        """
        steps, n_steps = None, target.shape[1]
        if self.decoder is not None:
            placed = target[:, : n_steps - 1].clamp(min=0).unsqueeze(2).expand(-1, -1, read.rows.shape[2])
            start = self.start.expand(len(target), 1, -1)
            tokens = torch.cat((start, read.rows.gather(1, placed)), dim=1)
            steps, _ = self.decoder(tokens, (read.user.unsqueeze(0), read.cell.unsqueeze(0)))
        elif self.ranks is not None:
            steps = self._rank_vectors(torch.arange(n_steps, device=target.device))
        return self._scores(self._keys(read).unsqueeze(1), steps)

    def search(
        self, read: Read, width: int = 1, sample: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Arrange lists, the best row left at each step, or the best ``width`` beginnings.

        Args:
            read: Lists; of equal candidates the first is taken.
            width: Beginnings kept; 1 is greedy.
            sample: Whether each row is drawn by its probability instead; with a width of 1.
            generator: Source of the draws.

        Returns:
            Row at each rank, int64 ``[B, L]``, -1 where padded, and the log-probability of the whole order, ``[B]``.
        """
        (n_lists, length), device = read.mask.shape, read.mask.device
        keys = self._keys(read).unsqueeze(1)
        left = read.mask.unsqueeze(1).repeat(1, width, 1)
        orders = torch.full((n_lists, width, length), -1, device=device)
        log_probs = torch.zeros(n_lists, width, device=device)
        log_probs[:, 1:] = -torch.inf  # all beginnings are the same before the first step
        state = tuple(part.repeat_interleave(width, 0).unsqueeze(0) for part in (read.user, read.cell))
        tokens = self.start.expand(n_lists * width, 1, -1) if self.decoder is not None else read.user
        nothing = torch.full((length,), -torch.inf, device=device).index_fill(0, torch.tensor([0], device=device), 0.0)
        first = torch.arange(n_lists, device=device).unsqueeze(1) * width
        for step in range(length):
            steps = None
            if self.decoder is not None:
                steps, state = self.decoder(tokens, state)
                steps = steps.view(n_lists, width, -1)
            elif self.ranks is not None:
                steps = self._rank_vectors(torch.tensor([step], device=device))
            over = ~left.any(dim=2, keepdim=True)
            logits = self._scores(keys, steps).masked_fill(~left, -torch.inf)
            # A list that is over goes on with a choice that costs nothing.
            totals = log_probs.unsqueeze(2) + torch.where(over, nothing, logits).log_softmax(dim=2)
            totals = totals.flatten(1)
            keyed = totals + gumbel(totals, generator) if sample else totals
            if width == 1:
                chosen = keyed.argmax(dim=1, keepdim=True)
            else:
                chosen = keyed.argsort(dim=1, descending=True, stable=True)[:, :width]
            log_probs = totals.gather(1, chosen)
            parents, rows = chosen // length, chosen % length
            ended = over.squeeze(2).gather(1, parents)
            if width > 1:
                back = parents.unsqueeze(2).expand(-1, -1, length)
                left, orders = left.gather(1, back), orders.gather(1, back)
                state = tuple(part[:, (first + parents).flatten()] for part in state)
            left.scatter_(2, rows.unsqueeze(2), False)
            orders[:, :, step] = rows.masked_fill(ended, -1)
            if self.decoder is not None:
                tokens = read.rows.gather(1, rows.unsqueeze(2).expand(-1, -1, read.rows.shape[2])).flatten(0, 1)
                tokens = tokens.unsqueeze(1)
        return orders[:, 0], log_probs[:, 0]

    def _keys(self, read: Read) -> Tensor:
        """Return ``W1 h_d + W3 u + b``, which no step changes, ``[B, L, H]``."""
        keys: Tensor = self.of_rows(read.rows) + self.of_user(read.user).unsqueeze(1)
        return keys

    def _scores(self, keys: Tensor, steps: Tensor | None) -> Tensor:
        """Return ``[B, K, L]`` for keys ``[B, 1, L, H]`` and p ``[B or 1, K, H]``."""
        if steps is not None:
            assert self.of_steps is not None
            keys = keys + self.of_steps(steps).unsqueeze(2)
        scores: Tensor = self.readout(keys.tanh()).squeeze(3)
        return scores

    def _rank_vectors(self, ranks: Tensor) -> Tensor:
        assert self.ranks is not None
        vectors: Tensor = self.ranks(ranks.clamp(max=self.ranks.num_embeddings - 1)).unsqueeze(0)
        return vectors
