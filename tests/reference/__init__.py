"""Comparison with stored values of the Object Detection API: what it computed from a checkpoint and fixed images."""
