"""Dropout that is the same on any number of replicas."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("gradline")
class Dropout(keras.layers.Layer):
    """Sets a share `rate` of the inputs to 0 and scales the others by 1 / (1 - rate) (Srivastava et al. 2014).

    Every replica draws the noise of the global batch and takes the rows of its own images, so that an image gets the
    same noise on any number of replicas. With `keras.layers.Dropout` all replicas draw the same noise for different
    images.

    Args:
      rate: in [0, 1).
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        context = tf.distribute.get_replica_context()
        replicas, replica = (context.num_replicas_in_sync, context.replica_id_in_sync_group) if context else (1, 0)
        shape = tf.shape(x)
        everyones = tf.concat([shape[:1] * replicas, shape[1:]], axis=0)
        noise = tf.random.stateless_uniform(everyones, seed=self.seed_generator.next())
        first = shape[0] * tf.cast(replica, tf.int32)
        kept = noise[first : first + shape[0]] >= self.rate
        return tf.where(kept, x / tf.cast(1.0 - self.rate, x.dtype), tf.zeros([], x.dtype))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
