"""``python -m mmrec_bench``: the command line, as ``torchrun -m mmrec_bench`` starts it."""

from mmrec_bench.cli import main

main()
