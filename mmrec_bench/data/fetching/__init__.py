"""Fetching the files of a card: resumed, retried, checked; the final file is right or absent."""
