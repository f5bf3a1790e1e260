"""A page in one file to look through an evaluation with: figures, curves, confusions, images and their mistakes."""
