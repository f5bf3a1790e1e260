"""The gRPC client as a library: connection, requests, detections, results."""

import os

# What gRPC writes to the terminal of a connection that fails, lines of its source files, the errors here say in words.
# Whoever sets GRPC_VERBOSITY gets them; it is read when gRPC is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
