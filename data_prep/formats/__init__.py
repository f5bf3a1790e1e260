"""File formats: points.json, label maps, tf.Example records."""
