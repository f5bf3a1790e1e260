"""A page in one file to look through an evaluation with: figures, curves, confusions, and the images with their mistakes."""
