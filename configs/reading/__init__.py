"""From command lines, recipes and JSON to a valid `Config`, with a message for every mistake."""
