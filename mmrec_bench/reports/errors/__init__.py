"""The error browser: users whom two runs serve most differently."""
