"""A file a cause: from what the search found to findings."""
