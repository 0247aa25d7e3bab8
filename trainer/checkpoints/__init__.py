"""Checkpoints: written whole, read back, and a run restored from one of them."""
