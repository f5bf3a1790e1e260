"""Comparison of detectors on the same images: what each detects, paired resampling, and the page."""
