"""Reading and writing of checkpoints: their kinds, their contents, and the restoring of models from them."""
