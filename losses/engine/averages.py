"""Means over the pixels that count, and powers and logarithms that are finite at the ends of their range."""

import tensorflow as tf

from .problem import Problem
from .reduction import ratio
from .statistics import exact_sum
from .sums import safe_log


def space_mean(problem: Problem, values: tf.Tensor) -> tf.Tensor:
    """The weighted mean over space of `[b, *space, k]` values of the classes that count (or of one channel for all).

    Returns:
        float64 `[groups, k]`; 0 for a group of which nothing counts.
    """
    weights = problem.weights()
    if weights is None:
        shape = tf.shape(values)
        pixels = tf.cast(tf.reduce_prod(shape[1:-1]), tf.float64)
        count = tf.ones([shape[0], 1], tf.float64) * pixels
    else:
        if weights.shape[-1] > 1:
            weights = problem.select(weights)
        if weights.shape[-1] > values.shape[-1]:
            weights = tf.reduce_max(weights, axis=-1, keepdims=True)
        values, count = values * weights, exact_sum(weights)
    return ratio(problem.over_groups(exact_sum(values)), problem.over_groups(count))


def power(base: tf.Tensor, exponent: float) -> tf.Tensor:
    """`base ** exponent` for a base of 0 or more, with the gradient 0 instead of infinity or NaN where the base is
    0."""
    if exponent == 1:
        return base
    positive = base > 0
    raised = tf.where(positive, base, tf.ones_like(base)) ** exponent
    return tf.where(positive, raised, tf.zeros_like(raised) if exponent else tf.ones_like(raised))


def negative_logs(problem: Problem) -> tuple[tf.Tensor, tf.Tensor]:
    """`(-log p, -log(1 - p))`, both `[b, *space, c]`, finite and with a gradient also where p is 0 or 1."""
    scores = problem.safe_scores()
    if problem.activation == "sigmoid":
        return tf.nn.softplus(-scores), tf.nn.softplus(scores)
    if problem.activation == "softmax":
        log_p = tf.nn.log_softmax(scores)
        return -log_p, -safe_log(-tf.math.expm1(log_p))
    return -safe_log(scores), -safe_log(1 - scores)
