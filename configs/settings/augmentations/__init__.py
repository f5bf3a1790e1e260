"""Settings of the augmentations that `train_config.data_augmentation_options` may hold."""
