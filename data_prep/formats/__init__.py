"""The files of the house: points.json, label maps, tf.Example records."""
