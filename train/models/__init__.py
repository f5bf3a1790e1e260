"""Detection models composed from a pipeline config."""
