"""A file for each cause: makes findings of what the search found."""
