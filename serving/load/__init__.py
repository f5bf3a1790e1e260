"""Parts of the load test: load generator, measurements, the server's own counts, and the report."""
