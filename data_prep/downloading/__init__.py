"""Fetching images: from whom, how many at a time, and what became of each."""
