"""Training and evaluation of detectors described by a pipeline config."""
