"""What the next trial tries, and which trials are hopeless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from mmrec_bench.experiments.tuning.study import PrunerName, Search
from mmrec_bench.experiments.tuning.trial_queue import TrialRecord
from mmrec_bench.seeding import derive_seed


def draw(
    search: Search,
    distributions: Mapping[str, BaseDistribution],
    number: int,
    finished: Sequence[TrialRecord],
    running: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what a trial tries: a function of the seed, its number, and what is told of the other trials.

    The sampler is made anew for every trial from the seed and the number, and shown the trials in the order of their
    numbers, so that a study that was killed goes on as if it had not been.

    Args:
        search: The sampler and its seed.
        distributions: The axes.
        number: Of the trial, from 0.
        finished: Trials whose end counts.
        running: What other workers are trying, which the sampler then avoids.
    """
    seed = derive_seed(search.seed, "sampler", number) % 2**32
    sampler: BaseSampler = (
        TPESampler(seed=seed, constant_liar=True) if search.sampler == "tpe" else RandomSampler(seed=seed)
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    axes = dict(distributions)
    for trial in finished:
        complete = trial.score.score is not None
        study.add_trial(
            create_trial(  # a failed trial is a pruned one without a score, which samplers place last
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                params=dict(trial.drawn),
                distributions=axes,
                value=trial.score.score,
                intermediate_values=dict(enumerate(trial.score.validations, start=1))
                if complete or (trial.score.outcome == "pruned")
                else {},
            )
        )
    for tried in running:
        study.add_trial(create_trial(state=TrialState.RUNNING, params=dict(tried), distributions=axes))
    return dict(study.ask(axes).params)


def make_pruner(name: PrunerName) -> BasePruner:
    """Return what decides at a validation whether a trial is hopeless.

    ``median`` gives up a trial whose best score is below the median of the complete trials at the same validation,
    once five are complete and from the second validation on. ``halving`` (Li et al., 2020, asynchronous successive
    halving, https://arxiv.org/abs/1810.05934) lets the best third of the trials that came so far pass the 1st, 3rd,
    9th, ... validation.
    """
    match name:
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=2)
        case "halving":
            return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3, min_early_stopping_rate=0)
        case "none":
            return NopPruner()
