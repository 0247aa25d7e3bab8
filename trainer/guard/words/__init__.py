"""Findings as data and as text: sentences, remedies, the user's source."""
