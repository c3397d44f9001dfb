"""The command line: parse, call, print."""

import os

# Read by OpenMP when torch loads it. Threads that wait by spinning starve each other as soon as another process wants a
# core: two of them on two cores then take ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mmrec_bench.cli.app import main

__all__ = ["main"]
