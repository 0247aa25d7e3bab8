"""Augmentation without state, image and label together."""
