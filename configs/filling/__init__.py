"""A recipe made a pipeline config of somebody's data: what changes, how many steps, and the text edited in place."""
