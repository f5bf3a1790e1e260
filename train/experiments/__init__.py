"""Trainings that measure something: a range of learning rates, a machine's devices, what changes of a config do."""
