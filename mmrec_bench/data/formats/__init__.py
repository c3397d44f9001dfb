"""Readers of data formats: the only code, with `data.cards`, that opens data files."""
