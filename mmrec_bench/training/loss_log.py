"""The loss terms of an epoch: kept on the device batch by batch, read and checked once at its end."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrec_bench.errors import TrainingError
from mmrec_bench.models.base import LossTerms
from mmrec_bench.training.records import HISTORY_KEYS
from mmrec_bench.training.team import ALONE, Team


class LossLog:
    """Collects the terms of every batch without making the device wait for the host.

    Args:
        epoch: Number of the epoch, for messages.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._names: tuple[str, ...] = ()
        self._batches: list[Tensor] = []

    def add(self, terms: LossTerms) -> None:
        """Note the scalar terms of the next batch.

        Raises:
            TrainingError: A term has the name of another key of the history, or the names change within the epoch.
        """
        names = tuple(terms)
        if not self._batches:
            if taken := sorted(HISTORY_KEYS.intersection(names)):
                raise TrainingError(f"loss terms cannot be called {', '.join(taken)}: the history has such keys")
            self._names = names
        elif names != self._names:
            raise TrainingError(
                f"loss terms must be the same in every batch, zero where they do not apply; epoch {self._epoch} began "
                f"with {', '.join(self._names)}, batch {len(self._batches)} has {', '.join(names)}"
            )
        self._batches.append(torch.stack([term.detach() for term in terms.values()]))

    def means(self, team: Team = ALONE) -> dict[str, float]:
        """Return the mean of each term over the batches.

        Args:
            team: Who shared the batches; their parts of each term are added up.

        Raises:
            TrainingError: A term is not finite; names the term, epoch and batch where this was so first.
        """
        table = team.total(torch.stack(self._batches)).cpu().double()
        if len(bad := (~torch.isfinite(table)).nonzero()):
            batch, term = bad[0].tolist()
            raise TrainingError(
                f"the loss term '{self._names[term]}' is {table[batch, term].item()} in epoch {self._epoch}, batch "
                f"{batch} (both count from 0). Lower trainer.learning_rate, set trainer.step.clip_norm, or look for "
                "values in the features that are far larger than the others"
            )
        return dict(zip(self._names, table.mean(0).tolist(), strict=True))
