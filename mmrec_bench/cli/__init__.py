"""The command line: parse, call, print."""

import os
import sys

# Read by GNU's OpenMP when torch loads it. Threads that wait by spinning starve each other as soon as another process
# wants a core: two of them on two cores then take ten times as long. Threads that never spin take 1.5 times as long
# when nothing else runs. This many turns bridge the gaps between products, and no more; see docs/performance.md.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def main() -> None:
    """Run the command line and exit; also where it is interrupted while packages are still being read."""
    try:
        from mmrec_bench.cli.app import main as commands
    except KeyboardInterrupt:
        sys.exit(130)
    commands()
