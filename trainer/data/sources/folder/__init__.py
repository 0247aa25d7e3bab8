"""A folder of your own: what it holds, which image belongs to which mask, and which split a pair is in."""
