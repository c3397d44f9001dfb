"""What each task does in its own way: how a model is built, validated and judged."""
