"""Volumes: files in, cases at one spacing and one scale of intensities out, and back again. See docs/volumes.md."""
