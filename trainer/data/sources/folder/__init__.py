"""A folder of your own: its contents, which image belongs to which mask, and which split a pair is in."""
