"""Scores of a trained model: metrics, the passes over a split, and what is kept of them."""
