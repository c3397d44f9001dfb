"""Measurements, run by `make perf` and `make gpu-check`, never by the tests: timings on a shared machine are no tests."""
