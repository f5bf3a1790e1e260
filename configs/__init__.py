"""The pipeline config: its schema, its reader, and ready recipes."""
