"""What a load test is made of: asking at a set pace, counting, the server's own counts, and the report."""
