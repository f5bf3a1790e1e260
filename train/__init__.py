"""Training and evaluation of detectors described by a pipeline config."""

from data_prep.runtime.missing_packages import explain_missing_packages

explain_missing_packages()
