"""From values per group and class to the loss: class and image weights, absent classes, mean, sum or none."""

import tensorflow as tf

from .problem import Problem

ABSENT = ("penalty", "count", "skip", "zero")


def ratio(numerator: tf.Tensor, denominator: tf.Tensor) -> tf.Tensor:
    """numerator / denominator; 0 with a zero gradient, not NaN, where the denominator is 0."""
    nonzero = tf.not_equal(denominator, 0)
    safe = tf.where(nonzero, denominator, tf.ones_like(denominator))
    return tf.where(nonzero, numerator / safe, tf.zeros_like(numerator))


@tf.custom_gradient
def lost_share(lost: tf.Tensor, hit: tf.Tensor):
    """`lost / (hit + lost)`: 1 - hit / (hit + lost) to all digits, and so is its gradient, at either end.

    1 with a zero gradient where there is nothing.
    """
    whole = hit + lost
    safe = tf.where(tf.not_equal(whole, 0), whole, tf.ones_like(whole))

    def gradient(upstream):
        scaled = tf.where(tf.not_equal(whole, 0), upstream / (safe * safe), tf.zeros_like(upstream))
        return hit * scaled, -lost * scaled

    return tf.where(tf.not_equal(whole, 0), lost / safe, tf.ones_like(whole)), gradient


def reduce_classes(problem: Problem, values: tf.Tensor, present: tf.Tensor | None = None) -> tf.Tensor:
    """`[groups, k]` values to the loss.

    Class weights multiply the values. "mean" is the plain mean over classes (those `present`, a bool `[groups, k]`,
    if given), then over images; so the mean over N equal shares of a batch is the mean over the batch.
    """
    if problem.class_weights is not None:
        values = values * tf.cast(problem.class_weights, values.dtype)
    if present is not None:
        values = tf.where(present, values, tf.zeros_like(values))
    if problem.reduction == "mean":
        if present is None:
            values = tf.reduce_mean(values, axis=-1)
        else:
            values = ratio(tf.reduce_sum(values, -1), tf.reduce_sum(tf.cast(present, values.dtype), -1))
        return reduce_groups(problem, values)
    if problem.over == "batch":
        values = values[0]
    elif problem.image_weights is not None:
        values = values * tf.cast(problem.image_weights, values.dtype)[:, tf.newaxis]
    return problem.result(tf.reduce_sum(values) if problem.reduction == "sum" else values)


def reduce_groups(problem: Problem, values: tf.Tensor) -> tf.Tensor:
    """`[groups]` values, one an image or one for the batch, to the loss. "none" gives `[batch]`, or a scalar."""
    if problem.over == "batch":
        return problem.result(values[0])
    if problem.image_weights is not None:
        values = values * tf.cast(problem.image_weights, values.dtype)
    if problem.reduction == "mean":
        # A replica whose share of the batch is empty has a loss of 0.
        values = ratio(tf.reduce_sum(values), tf.cast(tf.size(values), values.dtype))
    elif problem.reduction == "sum":
        values = tf.reduce_sum(values)
    return problem.result(values)


def absent_policy(problem: Problem, sums, values: tf.Tensor, absent: str) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The value of a class without any label in the group: `(values, present)` for `reduce_classes`.

    "count": the formula's own value.   "zero": 0, without a gradient, and still in the mean.
    "skip": not in the mean.   "penalty": the mean probability given to it, prediction / pixels, which is 0 when nothing
    is predicted, 1 when everything is, and has the same gradient for every pixel of a sigmoid's false positives.

    Args:
        sums: `losses.engine.statistics.RegionSums`.   values: `[groups, k]`.
    """
    if absent not in ABSENT:
        raise ValueError(f"{problem.loss}: absent must be one of {ABSENT}. Received: {absent=}")
    present = sums.target > 0
    if absent == "count":
        return values, None
    if absent == "skip":
        return values, present
    instead = ratio(sums.prediction, sums.pixels) if absent == "penalty" else tf.zeros_like(values)
    return tf.where(present, values, instead), None
