"""`Run.postprocess`: which post-processing helps, found by trying every candidate."""
