"""Augmentations of the training images, a file for each kind; `pipeline` puts together what a config names."""
