"""Losses made of the confusion counts: Matthews correlation, sensitivity and specificity."""

import tensorflow as tf

from .engine.definition import loss
from .engine.options import in_range
from .engine.reduction import ratio, reduce_classes
from .engine.statistics import exact_sum, group_sum, region_sums


@loss
def mcc(problem, *, smooth_nr=0.0, smooth_dr=1e-5, count_smooth=0.0):
    """One minus Matthews' correlation of probabilities and labels, for each class against the rest.

    With the soft counts of one class, `TP = sum(p*y)`, `FP = sum(p*(1-y))`, `FN = sum((1-p)*y)`, `TN =
    sum((1-p)*(1-y))`:

        1 - (TP*TN - FP*FN + smooth_nr) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN) + smooth_dr)

    It lies in [0, 2]: 0 for a perfect prediction, 1 for an uninformed one, 2 for the opposite of the truth. Unlike
    Dice it also rewards true negatives. With a mask that is empty or full, correlation is not defined: the loss is 1
    with a zero gradient, or 0 where prediction and label agree exactly; so prefer over="batch" for small objects, or
    add Dice.

    Args:
        smooth_nr: added to the numerator.
        smooth_dr: added under the root, in pixels to the fourth power; keeps the gradient finite for one-sided masks.
        count_smooth: added to each of the four counts.

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    Source: Matthews 1975; as a loss Abhishek and Hamarneh 2021, "Matthews correlation coefficient loss", equation 3.
    MONAI's MCCLoss is this with its defaults; smp's (binary, whole batch) is smooth_dr=0, count_smooth=1e-5,
    over="batch".
    """
    sums = region_sums(problem)
    true_positive = sums.intersection
    false_positive, false_negative = sums.wrong, sums.missed
    true_negative = sums.pixels - sums.prediction - false_negative
    agree = tf.equal(false_positive, 0) & tf.equal(false_negative, 0)
    true_positive, false_positive, false_negative, true_negative = (
        count + count_smooth for count in (true_positive, false_positive, false_negative, true_negative)
    )
    product = (
        (true_positive + false_positive)
        * (true_positive + false_negative)
        * (true_negative + false_positive)
        * (true_negative + false_negative)
    ) + smooth_dr
    # Rounding may leave an empty margin at -1e-9; the root of nothing would have an infinite gradient.
    defined = product > 0
    root = tf.sqrt(tf.where(defined, product, tf.ones_like(product)))
    covariance = true_positive * true_negative - false_positive * false_negative + smooth_nr
    values = 1 - tf.where(defined, covariance / root, tf.zeros_like(covariance))
    return reduce_classes(problem, tf.where(agree, tf.zeros_like(values), values))


@loss
def sensitivity_specificity(problem, *, sensitivity_weight=0.05, smooth=1e-5):
    """Sensitivity-specificity loss, with `s` the smoothing and `r` the sensitivity's weight, for each class:

        r * sum((y - p)^2 * y) / (sum(y) + s) + (1 - r) * sum((y - p)^2 * (1 - y)) / (sum(1 - y) + s)

    Sums are over the space of one image. The first term is the squared error inside the object, the second outside.

    Args:
        sensitivity_weight: `r`, 0 to 1; 0.05 in the paper.
        smooth: added to both denominators.

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    Source: Brosch et al. 2015, "Deep convolutional encoder networks for multiple sclerosis lesion segmentation",
    equation 4.
    """
    in_range(problem, sensitivity_weight=(sensitivity_weight, 0, 1))
    y, weights = problem.targets(), problem.weights()
    error = tf.square(y - problem.probabilities())
    maps = (error * y, y, error * (1 - y), 1 - y)
    inside, labelled, outside, unlabelled = (
        group_sum(problem, exact_sum(values if weights is None else values * weights)) for values in maps
    )
    missed, invented = ratio(inside, labelled + smooth), ratio(outside, unlabelled + smooth)
    return reduce_classes(problem, sensitivity_weight * missed + (1 - sensitivity_weight) * invented)
