"""Data preparation: from Open Images CSVs to TFRecords, one script a step, and the vocabulary that all rooms share."""
