"""TensorFlow Datasets by name, with random access."""
