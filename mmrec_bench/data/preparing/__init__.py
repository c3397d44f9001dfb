"""From raw files to prepared data sets: recipes, steps, and the form they are written in."""
