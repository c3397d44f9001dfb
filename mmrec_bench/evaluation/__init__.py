"""Evaluators, one a task, and the protocols they follow."""
