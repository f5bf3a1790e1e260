"""Parts of the load test: asking at a set pace, counting, the server's own counts, and the report."""
