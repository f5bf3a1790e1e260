"""A config of the Object Detection API's TensorFlow 1 rewritten as one of TensorFlow 2, where it stands in its text."""
