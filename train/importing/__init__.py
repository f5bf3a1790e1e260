"""Models of elsewhere as checkpoints and configs of this project."""
