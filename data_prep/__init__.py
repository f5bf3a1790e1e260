"""Data preparation: from Open Images CSVs to TFRecords, a command a step, and the rooms that all share."""

from data_prep.runtime.missing_packages import explain_missing_packages

explain_missing_packages()
