"""The YAML of experiments and suites."""
