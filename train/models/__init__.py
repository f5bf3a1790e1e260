"""Detection models composed from a pipeline config, and their checkpoints."""
