"""Models of TensorFlow 1, whose variables have names only: readers of their files, slim's names for our networks."""
