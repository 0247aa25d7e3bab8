"""Checkpoints: written whole, read back, and a run put to where one of them was made."""
