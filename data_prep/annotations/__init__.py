"""Annotations of other makers, one file a format, and what turns all of them into points, image ids and class ids."""
