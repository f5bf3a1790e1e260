"""Augmentations of the training pictures, a file for each kind; `pipeline` puts together what a config names."""
