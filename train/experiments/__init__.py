"""Short trainings that measure something and leave no model: a range of learning rates, a machine's devices."""
