"""The settings of processes."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import torch

from mmrec_bench.experiments.environment import use_threads


def _halved(result: Connection) -> None:
    """Send how many of many tiny numbers are left when they are halved, in the process that asked for the threads."""
    use_threads(2)
    result.send(int((torch.full((1 << 20,), 1e-38) * 0.5).count_nonzero()))


def test_numbers_below_the_normal_range_are_zero_in_every_thread() -> None:
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_halved, args=(sender,))
    process.start()
    process.join(120)
    assert receiver.poll()
    assert receiver.recv() == 0
