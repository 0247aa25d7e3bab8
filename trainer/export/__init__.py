"""The model in other formats, each compared with the model."""
