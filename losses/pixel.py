"""Pixel losses: cross-entropy and its relatives."""

import tensorflow as tf

from losses.definition import loss
from losses.reduction import ratio, reduce_groups
from losses.statistics import group_sum, image_sums


@loss
def cross_entropy(problem, *, label_smoothing=0.0):
    """Categorical cross-entropy, the mean over the pixels that count."""
    sums = image_sums(problem)
    nll, target = group_sum(problem, sums["nll"]), group_sum(problem, sums["target"])
    if problem.class_weights is not None:
        nll, target = nll * problem.class_weights, target * problem.class_weights
    return reduce_groups(problem, ratio(tf.reduce_sum(nll, -1), tf.reduce_sum(target, -1)))
