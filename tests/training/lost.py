"""What a process finds when another is lost: ``python -m tests.training.lost OUT PORT PORT PORT``, run by two.

In each group the second process is lost in another way, and the first writes what it was told, and after how long.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch
import torch._dynamo  # torch imports it in the first step, which one process may do seconds before the other

from mmrec_bench.errors import MMRecBenchError
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.team import Group
from mmrec_bench.training.trainer import train
from tests.training.toy import ToyMF, build, validate

WAYS = ("memory", "hangs", "dies")


class Lost(ToyMF):
    """Lost while it computes the loss of its eighth batch."""

    way = ""
    calls = 0

    def loss(self, batch: object) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == 8 and self.way == "memory":
            raise MemoryError
        if self.calls == 8 and self.way == "hangs":
            time.sleep(12)
        if self.calls == 8 and self.way == "dies":
            os._exit(3)
        return super().loss(batch)


def main() -> None:
    """Be lost, or find the other lost, in every way."""
    out, ports, rank = Path(sys.argv[1]), sys.argv[2:], int(os.environ["RANK"])
    told = {}
    for way, port in zip(WAYS, ports, strict=True):
        os.environ["MASTER_PORT"] = port
        team = Group(rank, 2, torch.device("cpu"), timedelta(minutes=1), timedelta(seconds=6))
        _, context = build("mf")
        model = Lost(context)
        model.way = way if rank == 1 else ""
        started = time.monotonic()
        try:
            if rank:
                team.announced()
            with nullcontext() if rank else team.training("a run"):
                config = TrainerConfig(batch_size=32, max_epochs=50)
                train(model, context, config, validate, context.seeds, torch.device("cpu"), team=team)
        except MMRecBenchError as error:
            told[way] = [type(error).__name__, str(error), time.monotonic() - started]
        team.close()
        (out / f"{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
