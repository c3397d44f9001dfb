"""Metrics over arrays: per-user ranking metrics, metrics of graded labels and of click models, catalogue metrics."""
