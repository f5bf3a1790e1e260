"""Parts and splits of a data set that keep its classes in proportion and its near-duplicates together."""
