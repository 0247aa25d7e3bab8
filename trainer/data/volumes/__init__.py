"""Volumes: from files to cases at one spacing and one scale of intensities, and back. See docs/volumes.md."""
