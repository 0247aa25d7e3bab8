"""Memory: what a run will take, what it has taken, and what to change where it was too much."""
