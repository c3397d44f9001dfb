"""The modality truth test: verdicts and tables."""
