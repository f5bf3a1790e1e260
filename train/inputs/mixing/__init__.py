"""Training images that are made of several."""
