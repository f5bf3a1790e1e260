"""From a checkpoint to a SavedModel that equals it."""

from data_prep.runtime.missing_packages import explain_missing_packages

explain_missing_packages()
