"""Image files: what a file is, how it is decoded, and reading one by windows."""
