"""From TFRecords to batches of images and ground truth."""
