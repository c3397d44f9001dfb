"""Systems that order a given list."""
