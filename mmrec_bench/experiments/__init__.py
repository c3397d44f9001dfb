"""Experiments: YAML schema, runs, artefacts, suites."""
