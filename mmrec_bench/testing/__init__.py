"""Checks that any registered model must pass, for this package's own tests and for those of third parties."""
