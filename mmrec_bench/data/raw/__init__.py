"""Readers of files as publishers give them, larger than memory and with the dirt that real files have."""
