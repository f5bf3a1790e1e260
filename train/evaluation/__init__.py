"""Evaluation: detections of a checkpoint or an export, measured and drawn."""
