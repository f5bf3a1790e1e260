"""From a checkpoint to a SavedModel that equals it."""
