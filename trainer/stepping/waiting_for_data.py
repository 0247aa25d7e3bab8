"""How long the step waits for its data: two readings of the clock around the batch, added up on the host."""

from __future__ import annotations

import tensorflow as tf


class Waiting:
    """Seconds that this process has spent waiting for batches.

    On a GPU the host runs ahead of the device, so a wait may pass while the device still computes; where the pipeline
    keeps up, the buffers are full and there is no wait at all.
    """

    def __init__(self):
        # Not the strategy's: each worker has its own clock. Not on a GPU, which would have to be waited for.
        with tf.device("/cpu:0"), tf.init_scope():
            self._seconds = tf.Variable(0.0, trainable=False, dtype=tf.float64, name="waited")
        # In full, with the worker: "/cpu:0" alone may be another's in a cluster.
        self._here = self._seconds.device
        self._read = 0.0

    def next(self, iterator):
        """The iterator's next batch, with the time it took added up."""
        with tf.device(self._here):
            begin = tf.timestamp()
        with tf.control_dependencies([begin]):
            batch = next(iterator)
        with tf.device(self._here), tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            self._seconds.assign_add(tf.timestamp() - begin)
        return batch

    def since_last(self) -> float:
        """Seconds waited since the last call."""
        now = float(self._seconds.numpy())
        passed, self._read = now - self._read, now
        return passed
