"""Whole folders of images: predicted once, then tabulated, sorted, and searched for what to label next."""
