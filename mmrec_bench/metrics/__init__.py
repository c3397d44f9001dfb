"""Metrics over arrays: per-user ranking metrics and catalogue metrics."""
