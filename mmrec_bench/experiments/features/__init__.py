"""Features that are made: encoders trained, aligned and judged."""
