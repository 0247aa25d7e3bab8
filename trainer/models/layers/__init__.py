"""Layers for what Keras's do not do: see each."""
