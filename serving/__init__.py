"""Serving: the launcher, the local server, and the client."""

from data_prep.runtime.missing_packages import explain_missing_packages

explain_missing_packages()
