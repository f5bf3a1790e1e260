"""The training loop: run, steps, optimizer, checkpoints, progress, devices."""
