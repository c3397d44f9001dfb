"""Sparse graphs over users and items, built from arrays: adjacency, nearest neighbours, pruning, propagation."""
