"""Whole folders of pictures: predicted once, then tabulated, sorted, and searched for what to label next."""
