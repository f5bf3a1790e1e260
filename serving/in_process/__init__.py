"""Detectors in this process: a SavedModel or a TensorFlow Lite model, with the calls and answers of the client."""
