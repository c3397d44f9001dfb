"""Measurements, run by `make perf` and `make gpu-check`; timings on a shared machine are no tests."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line does
