"""Inputs the loss tests share."""

import numpy as np
import tensorflow as tf


def ids_and_logits(shape=(2, 6, 5, 4), dtype="float64", seed=0, scale=2.0):
    """Class ids `[b, *space]` int32 and logits `[b, *space, c]`, random, every class present."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, shape[-1], shape[:-1]).astype(np.int32)
    ids.reshape(shape[0], -1)[:, : shape[-1]] = np.arange(shape[-1])
    return ids, tf.constant(scale * rng.standard_normal(shape), dtype)


def mask_and_logits(shape=(2, 6, 5, 1), dtype="float64", seed=0):
    """A 0/1 mask and logits of the same shape `[b, *space, c]`."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, shape).astype(np.uint8), tf.constant(2 * rng.standard_normal(shape), dtype)


def value_and_gradient(loss, y_true, y_pred, **options):
    """The loss (summed, if it has axes) and its gradient by the predictions, as arrays."""
    y_pred = tf.convert_to_tensor(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = tf.reduce_sum(loss(y_true, y_pred, **options))
    gradient = tape.gradient(value, y_pred)
    assert gradient is not None, "not connected"
    return value.numpy(), gradient.numpy()


def assert_gradient_is_numeric(loss, y_true, y_pred, step=1e-5, tolerance=1e-7, **options):
    """The gradient along random directions is that of central differences; float64."""
    y_pred = tf.cast(y_pred, tf.float64)
    _, gradient = value_and_gradient(loss, y_true, y_pred, **options)
    rng = np.random.default_rng(3)
    for _ in range(2):
        direction = rng.standard_normal(y_pred.shape)
        ends = [float(tf.reduce_sum(loss(y_true, y_pred + s * step * direction, **options))) for s in (1, -1)]
        numeric, exact = (ends[0] - ends[1]) / (2 * step), float(np.sum(gradient * direction))
        assert abs(numeric - exact) <= tolerance * (1 + abs(numeric)), (numeric, exact)
