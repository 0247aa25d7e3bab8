"""`--mode=check` of the data: facts of each example, and remarks on all of them."""
