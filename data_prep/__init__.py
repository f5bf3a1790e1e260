"""Data preparation: from Open Images CSVs to TFRecords, a command a step, and the rooms that all share."""
