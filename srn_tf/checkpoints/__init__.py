"""Checkpoints: their file, where they lie, and networks from them."""
