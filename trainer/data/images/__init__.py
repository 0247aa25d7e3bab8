"""Image files: recognising a file, decoding it, and reading it by windows."""
