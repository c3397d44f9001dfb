"""Measurements, run by `make perf` and `make gpu-check`; timings on a shared machine are no tests."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
