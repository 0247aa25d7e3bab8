"""A run's records for TensorBoard."""
