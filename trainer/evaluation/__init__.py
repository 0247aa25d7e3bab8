"""Scores and predictions of a trained model, for images of any size."""
