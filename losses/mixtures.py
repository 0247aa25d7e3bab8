"""Dice and cross-entropy in one formula: combo and exponential logarithmic. Sums of them are made by name instead
(`build("dice+cross_entropy")`)."""

import tensorflow as tf

from .engine.averages import negative_logs, power, space_mean
from .engine.definition import loss
from .engine.options import in_range
from .engine.reduction import reduce_classes, reduce_groups
from .engine.statistics import region_sums
from .overlap import dice_values, minus_log_score


@loss(activation="sigmoid")
def combo(problem, *, alpha=0.5, beta=0.5, smooth_nr=1e-5, smooth_dr=1e-5):
    """Combo loss: `alpha * mean(-(beta * y log p + (1 - beta) * (1 - y) log(1 - p))) - (1 - alpha) * Dice`, for each
    class.

    It is negative for good predictions and least at `alpha - 1`. `Dice = (2 I + nr) / (P + Y + dr)` over the space of
    one image (the paper: of the batch, over="batch").

    Args:
        alpha: share of the cross-entropy, 0 to 1.
        beta: weight of false negatives against false positives in it, 0 to 1.
        smooth_nr, smooth_dr: added to numerator and denominator of Dice.

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    Source: Taghanaki et al. 2019, "Combo loss", equation 2.
    """
    in_range(problem, alpha=(alpha, 0, 1), beta=(beta, 0, 1))
    nll, nll_absent = negative_logs(problem)
    y = problem.targets()
    cross = space_mean(problem, problem.select(beta * y * nll + (1 - beta) * (1 - y) * nll_absent))
    sums = region_sums(problem)
    return reduce_classes(problem, alpha * cross - (1 - alpha) * (1 - dice_values(sums, smooth_nr, smooth_dr)))


WHOLE = "the cross-entropy is that of each pixel's own label"


@loss(refuses={"classes": WHOLE, "include_background": WHOLE})
def exp_log(
    problem,
    *,
    dice_weight=0.8,
    cross_entropy_weight=0.2,
    dice_exponent=0.3,
    cross_entropy_exponent=0.3,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
):
    """Exponential logarithmic loss: `0.8 * mean((-ln Dice)^0.3) + 0.2 * mean(w_label * (-ln p_label)^0.3)`.

    The first mean is over classes, the second over pixels (with a sigmoid: over pixels and channels, of the binary
    cross-entropy). `w_label` is the label's entry of class_weights, 1 without; the paper's is the root of the inverse
    frequency of the class in the training set. Exponents below 1 keep hard and easy cases apart near a perfect
    prediction, where the gradient, infinite in the formula, is 0 here.

    Args:
        dice_weight, cross_entropy_weight: the factors 0.8 and 0.2.
        dice_exponent, cross_entropy_exponent: the two exponents 0.3, above 0.
        smooth_nr, smooth_dr: added to numerator and denominator of `Dice = (2 I + nr) / (P + Y + dr)`.

    Returns:
        Scalar; `[batch]` with reduction="none" (a scalar if over="batch").

    Source: Wong et al. 2018, "3D segmentation with exponential logarithmic loss", equations 1 to 4.
    """
    in_range(problem, dice_exponent=(dice_exponent, 0, None), cross_entropy_exponent=(cross_entropy_exponent, 0, None))
    sums = region_sums(problem)
    logs = tf.nn.relu(minus_log_score(dice_values(sums, smooth_nr, smooth_dr)))
    dice_part = tf.reduce_mean(power(logs, dice_exponent), axis=-1)

    nll, nll_absent = negative_logs(problem)
    y = problem.targets()
    weights = None if problem.class_weights is None else tf.cast(problem.class_weights, y.dtype)
    if problem.activation == "sigmoid" or problem.num_classes == 1:
        cross = power(y * nll + (1 - y) * nll_absent, cross_entropy_exponent)
        cross = cross if weights is None else cross * weights
    else:
        cross = power(tf.reduce_sum(y * nll, axis=-1, keepdims=True), cross_entropy_exponent)
        cross = cross if weights is None else cross * tf.reduce_sum(y * weights, axis=-1, keepdims=True)
    cross_part = tf.reduce_mean(space_mean(problem, cross), axis=-1)
    return reduce_groups(problem, dice_weight * dice_part + cross_entropy_weight * cross_part)
