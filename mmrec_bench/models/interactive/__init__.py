"""Interactive systems: what to show next, an item or a query, round after round."""
