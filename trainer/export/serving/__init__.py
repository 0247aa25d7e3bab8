"""Programs that are exported with a model and depend on nothing in this project: from image file to mask file."""
