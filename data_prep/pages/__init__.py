"""What pages in one file have in common: how they are written, their look, scripts that draw images with boxes."""
