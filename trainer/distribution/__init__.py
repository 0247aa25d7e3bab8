"""Devices, workers and what they say to each other."""
