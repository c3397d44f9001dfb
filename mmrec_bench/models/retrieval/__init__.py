"""Retrieval models, one file each."""
