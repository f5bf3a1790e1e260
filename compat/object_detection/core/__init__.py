"""Boxes with fields, names of fields, and the model class."""
