"""Operating TensorFlow Serving: version folders and labels, models.config, backends."""
