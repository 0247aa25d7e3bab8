"""A trained network at inference: from images and volumes of any size to probabilities, masks and files."""
