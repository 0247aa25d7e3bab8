"""Many small programs a file, each a mistake or a healthy one, with what is true of it; `test_programs.py` runs them."""
