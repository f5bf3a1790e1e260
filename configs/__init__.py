"""The pipeline config: its schema, its reader, and ready recipes."""

from data_prep.runtime.missing_packages import explain_missing_packages

explain_missing_packages()
