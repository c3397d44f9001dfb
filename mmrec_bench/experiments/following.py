"""What processes do that share the batches of a run whose folder another one makes."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.experiments.run import built, checkpoints_of, with_inputs
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.suite import PlannedRun
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.team import Team
from mmrec_bench.training.trainer import train


def follow(planned: Sequence[PlannedRun], team: Team, settings: RunSettings) -> None:
    """Train along with every run that the leader announces, until it has no other.

    What a run needs, such as features, the leader has made by then, and checkpoints are its own: both are read from its
    folders. Nothing is written or printed.

    Args:
        planned: The same runs as those of the leader.
        team: Whom this process is one of.
        settings: How.

    Raises:
        MMRecBenchError: Whatever went wrong, here or with another process.
    """
    runs = {item.key.identity: item for item in planned}
    while (announced := team.announced()) is not None:
        item = runs[announced]
        prepared, _ = with_inputs(item.prepared, item.key.seed, settings, None)
        station, model, context, _ = built(item.experiment, prepared, item.key.seed, settings)
        train(
            model,
            context,
            item.experiment.config.trainer or TrainerConfig(),
            station.validate,
            Seeds(item.key.seed),
            settings.device,
            checkpoints_of(item.key, settings.out),
            resume=settings.resume,
            team=team,
        )
