"""Exact top-k retrieval with canonical order, over arrays."""
