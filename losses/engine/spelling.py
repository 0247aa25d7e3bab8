"""The nearest name to a misspelt one, for messages."""

import difflib


def nearest(name: str, names) -> str:
    """` (did you mean 'dice'?)`, or nothing when no name is close."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
