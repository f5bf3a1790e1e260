"""Serving: the launcher, the local server, and the client."""
