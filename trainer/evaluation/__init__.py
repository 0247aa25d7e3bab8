"""Scores of a trained model: metrics, the passes over a split, and their records."""
