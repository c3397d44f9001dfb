"""The command line: parse, call, print."""

from mmrec_bench.cli.app import main

__all__ = ["main"]
