"""The training step and everything that it reads and writes."""
