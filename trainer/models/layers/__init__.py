"""Layers that do what Keras's do not: see each."""
