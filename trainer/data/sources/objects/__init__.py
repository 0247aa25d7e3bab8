"""Data passed from Python: arrays, anything with len() and [i], and `tf.data.Dataset`."""
