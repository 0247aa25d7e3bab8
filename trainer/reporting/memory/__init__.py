"""Memory: what a run will need, what it has used, and what to change if that was too much."""
