"""Serving a SavedModel over gRPC, and asking it."""
