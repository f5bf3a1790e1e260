"""A page to look through a data set with: what is in it, what is suspicious, and what the anchors of a config match."""
