"""Many small programs a file: mistakes and healthy ones, with what is true of each; `test_programs.py` runs them."""
