"""Measurements, run by `make perf` and `make gpu-check`; timings on a shared machine are no tests."""
