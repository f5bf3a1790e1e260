"""Reading and writing checkpoints: whose they are, what is inside, and what a model takes from them."""
