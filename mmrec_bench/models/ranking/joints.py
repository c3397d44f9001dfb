"""The joint distribution of being observed (o) and being relevant (r), and how much the one tells of the other.

Whatever the parametrisation, it comes as ``P(o)``, ``P(r | o=1)`` and ``P(r | o=0)``. It must be able to differ from
the product of its margins: of a joint that is defined as ``P(o) P(r)`` the mutual information is 0, and so is its
gradient, whatever is learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1e-6
"""Probabilities are kept this far from 0 and 1 where they are divided by."""


@dataclass(frozen=True, slots=True)
class Joint:
    """A distribution over (o, r) for every row, as logits of any one shape; the chain rule makes any three valid.

    Attributes:
        observation: Of ``P(o=1)``.
        observed: Of ``P(r=1 | o=1)``.
        unobserved: Of ``P(r=1 | o=0)``.
    """

    observation: Tensor
    observed: Tensor
    unobserved: Tensor

    def log_click(self) -> Tensor:
        """Return ``log P(o=1, r=1)``: a row is clicked if it is observed and relevant."""
        return F.logsigmoid(self.observation) + F.logsigmoid(self.observed)

    def relevance(self) -> Tensor:
        """Return ``P(r=1)``."""
        o = self.observation.sigmoid()
        return o * self.observed.sigmoid() + (1 - o) * self.unobserved.sigmoid()

    def mutual_information(self) -> Tensor:
        """Return I(O; R) in nats, exactly: ``o KL(r|o=1 || r) + (1-o) KL(r|o=0 || r)``.

        It lies in [0, log 2], and is 0 only where both conditional probabilities are the same.
        """
        o, relevance = self.observation.sigmoid(), _inner(self.relevance())
        observed, unobserved = _inner(self.observed.sigmoid()), _inner(self.unobserved.sigmoid())
        return o * _divergence(observed, relevance) + (1 - o) * _divergence(unobserved, relevance)


def log_linear(observation: Tensor, relevance: Tensor, interaction: Tensor) -> Joint:
    """Return the joint with weights 1, e^a, e^g, e^(a+g+t) of (o, r) = (0, 0), (1, 0), (0, 1), (1, 1).

    t, the interaction, is the log of the odds ratio; the mutual information is 0 only where it is.
    """
    observed = relevance + interaction
    return Joint(observation + F.softplus(observed) - F.softplus(relevance), observed, relevance)


def of_margins(observation: Tensor, relevance: Tensor, click: Tensor) -> Joint:
    """Return the joint of two margins and of where ``P(o=1, r=1)`` stands between its bounds, all as logits.

    The bounds are those of Fréchet, ``max(0, o + r - 1)`` and ``min(o, r)``.
    """
    o, r = observation.sigmoid(), relevance.sigmoid()
    low = (o + r - 1).clamp(min=0)
    both = low + (torch.minimum(o, r) - low) * click.sigmoid()
    return Joint(observation, _inner(both / _inner(o)).logit(), _inner((r - both) / _inner(1 - o)).logit())


def gaussian_information(one: Tensor, other: Tensor, groups: Tensor) -> Tensor:
    """Return ``-log(1 - corr^2) / 2`` of two estimates within groups, as a mean over the cells of all groups.

    It is the mutual information of two normal variables of this correlation.

    Args:
        one: float ``[n]``.
        other: float ``[n]``.
        groups: Group of each cell, int64 ``[n]``; a group of one cell, or in which one estimate is constant, has none.
    """
    n_groups = int(groups.max()) + 1 if len(groups) else 0

    def sums(values: Tensor) -> Tensor:
        return values.new_zeros(n_groups).index_add(0, groups, values)

    counts = sums(torch.ones_like(one))
    one, other = (values - (sums(values) / counts.clamp(min=1))[groups] for values in (one, other))
    scale = (sums(one * one) * sums(other * other)).clamp(min=SMALLEST**2)
    squared = (sums(one * other).square() / scale).clamp(max=1 - SMALLEST)
    return (counts * -0.5 * torch.log1p(-squared)).sum() / counts.sum().clamp(min=1)


def _inner(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(SMALLEST, 1 - SMALLEST)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) of two binary variables."""
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
