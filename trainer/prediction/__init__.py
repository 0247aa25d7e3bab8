"""A trained network at inference: images and volumes of any size in, probabilities, masks and files out."""
