"""Serving: the launcher, the local server, and the client."""

from data_prep.runtime.missing_packages import command_run, explain_missing_packages
from data_prep.runtime.quiet_grpc import quiet_grpc

explain_missing_packages()
if command_run():
    quiet_grpc()
