"""From command lines, recipes and JSON to a valid `Config`, with every mistake in words."""
