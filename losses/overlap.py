"""Region losses: Dice and its relatives, functions of a few sums per image and class.

Symbols of all formulas: `p` the probabilities, `y` the labels, `w` the pixel weights (1 if none, 0 where ignored);
`I = sum(w*p*y)`, `P = sum(w*p)`, `Y = sum(w*y)` over the space of one image, or with over="batch" over all images of
the batch (and of all replicas, with `all_reduce`), for each class by itself. With `squared`, `P = sum(w*p^2)` and
`Y = sum(w*y^2)`; with `soft_label`, `I = (P + Y - sum(w*abs(p-y))) / 2`.

Each returns a scalar, or with reduction="none" `[batch, k]` values (over="image") or `[k]` (over="batch") for the k
classes that count, unless it says otherwise. The arithmetic on the sums is float64.
"""

import tensorflow as tf

from .engine.averages import power
from .engine.definition import loss
from .engine.options import choose, in_range
from .engine.reduction import ABSENT, absent_policy, lost_share, ratio, reduce_classes, reduce_groups
from .engine.statistics import RegionSums, region_sums
from .engine.sums import safe_log

WEIGHTINGS = ("square", "simple", "uniform")
MEANS = ("class", "image", "batch")


@loss
def dice(problem, *, smooth_nr=1e-5, smooth_dr=1e-5, squared=False, soft_label=False, log_loss=False, absent="penalty"):
    """Soft Dice loss, `1 - (2*I + smooth_nr) / (P + Y + smooth_dr)`, between 0 (perfect) and 1.

    For segmentation of objects much smaller than the image. Milletari et al. 2016, "V-Net", section 3 (squared);
    Drozdzal et al. 2016 (not squared).

    Args:
        smooth_nr: pixels added to the numerator; 1 for both is the usual alternative to an `absent` policy, and pulls
            the loss of small objects down.
        smooth_dr: pixels added to the denominator.
        squared: sums of squares in the denominator.
        soft_label: an intersection that is right for labels between 0 and 1, too: the loss is 0 at p = y.
        log_loss: `-log` of the Dice coefficient instead of 1 minus it.
        absent: what a class counts that has no pixel in the image (or batch). "penalty" (default): the mean probability
            given to it, which has a useful gradient everywhere. "count": the formula, which sits at 1 with a gradient
            of nearly nothing until all of P is below smooth_dr, and then falls off a cliff. "skip": left out of the
            mean over classes. "zero": 0, and in the mean.

    MONAI DiceLoss is absent="count". segmentation-models-pytorch is over="batch", absent="zero", and its smooth is half
    of this one. nnU-Net gives minus the coefficient: this minus 1. keras.losses.Dice sums over the batch, and over the
    classes as well unless given axes, with smooth_nr=0.
    """
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    values = dice_values(sums, smooth_nr, smooth_dr)
    return reduce_classes(
        problem, *absent_policy(problem, sums, minus_log_score(values) if log_loss else values, absent)
    )


@loss
def jaccard(
    problem, *, smooth_nr=1e-5, smooth_dr=1e-5, squared=False, soft_label=False, log_loss=False, absent="penalty"
):
    """Soft Jaccard (IoU) loss, `1 - (2*I + smooth_nr) / (2*(P + Y - I) + smooth_dr)`, between 0 and 1.

    Rahman and Wang 2016, "Optimizing intersection-over-union in deep neural networks", equation 3 (not smoothed). The
    factor 2 is so that smoothing counts as in `dice`.

    Args:
        smooth_nr, smooth_dr, squared, soft_label, log_loss, absent: as for `dice`.

    MONAI: DiceLoss(jaccard=True), the same. segmentation-models-pytorch: over="batch", absent="zero", its smooth is
    half of this one.
    """
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    values = lost_share(2 * sums.difference + smooth_dr - smooth_nr, 2 * sums.intersection + smooth_nr)
    return reduce_classes(
        problem, *absent_policy(problem, sums, minus_log_score(values) if log_loss else values, absent)
    )


@loss
def tversky(
    problem,
    *,
    alpha=0.3,
    beta=0.7,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    squared=False,
    soft_label=False,
    log_loss=False,
    absent="penalty",
):
    """Tversky loss, `1 - (I + smooth_nr) / (I + alpha*(P - I) + beta*(Y - I) + smooth_dr)`, between 0 and 1.

    P - I is the false positives, Y - I the false negatives; beta above alpha favours recall. alpha = beta = 0.5 is
    Dice, 1 is Jaccard. Salehi et al. 2017, "Tversky loss function for image segmentation", equation 4.

    Args:
        alpha: factor of the false positives.
        beta: factor of the false negatives.
        smooth_nr, smooth_dr, squared, soft_label, log_loss, absent: as for `dice`.

    alpha is on false positives as in the paper, MONAI and segmentation-models-pytorch; keras.losses.Tversky 3.15.1 has
    it on false negatives, against its own documentation.
    """
    values, sums = _tversky_values(problem, alpha, beta, smooth_nr, smooth_dr, squared, soft_label)
    return reduce_classes(
        problem, *absent_policy(problem, sums, minus_log_score(values) if log_loss else values, absent)
    )


@loss
def focal_tversky(
    problem,
    *,
    gamma=4 / 3,
    alpha=0.3,
    beta=0.7,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    squared=False,
    soft_label=False,
    absent="penalty",
):
    """Focal Tversky loss, `(1 - T)^(1/gamma)` with T the Tversky index of each class, between 0 and 1.

    gamma above 1 gives classes segmented well already a larger share of the gradient than `tversky` does.
    Abraham and Khan 2019, "A novel focal Tversky loss function", equation 4 (gamma between 1 and 3; theirs is 4/3).

    Args:
        gamma: positive.   alpha, beta, smooth_nr, smooth_dr, squared, soft_label, absent: as for `tversky`.

    The exponent is on each image and class; segmentation-models-pytorch has `mean^gamma`. At `1 - T = 0`, where the
    power has no finite derivative, the gradient is 0.
    """
    if not gamma > 0:
        raise ValueError(f"focal_tversky: gamma must be positive. Received: {gamma=}")
    values, sums = _tversky_values(problem, alpha, beta, smooth_nr, smooth_dr, squared, soft_label)
    return reduce_classes(problem, *absent_policy(problem, sums, power(values, 1 / gamma), absent))


@loss
def generalised_dice(
    problem, *, weighting="square", smooth_nr=1e-12, smooth_dr=1e-12, squared=False, soft_label=False, absent="count"
):
    """Generalised Dice loss over all classes at once: `1 - (2*sum_c(v_c*I_c) + smooth_nr) / (sum_c(v_c*(P_c + Y_c)) +
    smooth_dr)`, between 0 and 1.

    `v_c = 1/Y_c^2` lets rare classes weigh as much as common ones. Sudre et al. 2017, "Generalised Dice overlap as a
    deep learning loss function", section 2 (equation GDL).

    Args:
        weighting: "square" (1/Y^2), "simple" (1/Y) or "uniform" (1).
        smooth_nr, smooth_dr: added to sums of v times pixels, which are near 1/Y: 1e-5 would drown them in an image of
            512x512 pixels.   squared, soft_label: as for `dice`.
        absent: a class with Y = 0 takes the largest weight of the others ("count", the authors' code; with no class
            present the loss is 0). "skip": it takes no part. "penalty" and "zero": the mean over classes of what `dice`
            puts in place of an absent class (its mean probability, or 0) and this loss of the others, once for each.
        class_weights multiply v.

    Returns:
        Scalar; with reduction="none" `[batch]` (over="image") or a scalar (over="batch"): classes are joined inside.

    MONAI's GeneralizedDiceLoss smooths by 1e-5, else the same. The Model Garden's: over the batch, Y + epsilon.
    """
    choose(problem, weighting=(weighting, WEIGHTINGS), absent=(absent, ABSENT))
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    present = sums.target > 0
    exponent = {"square": 2, "simple": 1, "uniform": 0}[weighting]
    weights = tf.where(present, ratio(tf.ones_like(sums.target), sums.target**exponent), tf.zeros_like(sums.target))
    if absent == "count":
        most = tf.reduce_max(weights, axis=-1, keepdims=True) if exponent else tf.ones_like(weights)
        weights = tf.where(present, weights, most)
    if problem.class_weights is not None:
        weights = weights * problem.class_weights
    lost = tf.reduce_sum(weights * sums.difference, axis=-1) + smooth_dr - smooth_nr
    values = lost_share(lost, 2 * tf.reduce_sum(weights * sums.intersection, axis=-1) + smooth_nr)
    if absent in ("penalty", "zero"):
        each = tf.where(present, values[:, tf.newaxis], tf.zeros_like(sums.target))
        values = tf.reduce_mean(absent_policy(problem, sums, each, absent)[0], axis=-1)
    return reduce_groups(problem, values)


@loss
def log_cosh_dice(
    problem,
    *,
    mean_first="image",
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    squared=False,
    soft_label=False,
    absent="penalty",
):
    """Log-cosh Dice loss, `log(cosh(D))` with D the Dice loss, between 0 and 0.434: a flatter slope near a good fit.

    Jadon 2020, "A survey of loss functions for semantic segmentation", section 2.15. Written log1p(2*sinh(D/2)^2),
    which is exact near 0.

    Args:
        mean_first: D is that of each "class" of each image, the mean over the classes of an "image" (default), or the
            mean over the whole "batch", over all replicas (with `all_reduce`).
        smooth_nr, smooth_dr, squared, soft_label, absent: as for `dice`.

    Returns:
        Scalar; with reduction="none" as `dice` for mean_first="class", else `[batch]` (or a scalar).
    """
    choose(problem, mean_first=(mean_first, MEANS))
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    values = dice_values(sums, smooth_nr, smooth_dr)
    values, present = absent_policy(problem, sums, values, absent)
    if mean_first == "class":
        return reduce_classes(problem, _log_cosh(values), present)
    values = class_mean(problem, values, present)
    if mean_first == "image" or problem.over == "batch":
        return reduce_groups(problem, _log_cosh(values))
    if problem.image_weights is not None:
        values = values * problem.image_weights
    total = problem.over_replicas(tf.reduce_sum(values))
    images = problem.over_replicas(tf.cast(tf.size(values), values.dtype))
    return problem.result(_log_cosh(total / images))


@loss
def tanimoto(problem, *, dual=True, smooth=1e-5):
    """Tanimoto loss, `1 - T(p, y)` with `T = (I + s) / (sum(p^2) + sum(y^2) - I + s)`; with its complement if `dual`.

    The dual form is `1 - (T(p, y) + T(1 - p, 1 - y)) / 2`: the second term sees the background, so an empty mask has a
    gradient too. Sums are over the space of one image.

    Args:
        dual: False leaves the complement out, and the loss is the Jaccard loss with squared denominators.
        smooth: `s`.

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    Source: Diakogiannis et al. 2020, "ResUNet-a", equations 4 and 5.
    """
    squares = region_sums(problem, squared=True)
    union = squares.prediction + squares.target - squares.intersection
    values = ratio(squares.difference, union + smooth)
    if dual:
        # Of 1 - p and 1 - y, from the same sums; their squared difference is the same.
        sums = region_sums(problem)
        both = sums.pixels - sums.intersection - sums.difference
        rest = 2 * (sums.pixels - sums.prediction - sums.target) + squares.prediction + squares.target - both
        values = (values + ratio(squares.difference, rest + smooth)) / 2
    return reduce_classes(problem, values)


def class_mean(problem, values, present=None):
    """`[groups, k]` values, times class weights, to their mean over the classes (those present): `[groups]`."""
    if problem.class_weights is not None:
        values = values * problem.class_weights
    if present is None:
        return tf.reduce_mean(values, axis=-1)
    present = tf.cast(present, values.dtype)
    return ratio(tf.reduce_sum(values * present, axis=-1), tf.reduce_sum(present, axis=-1))


def dice_values(sums: RegionSums, smooth_nr, smooth_dr) -> tf.Tensor:
    """1 - (2*I + smooth_nr) / (P + Y + smooth_dr), `[groups, k]`."""
    return lost_share(sums.difference + smooth_dr - smooth_nr, 2 * sums.intersection + smooth_nr)


def _tversky_values(problem, alpha, beta, smooth_nr, smooth_dr, squared, soft_label) -> tuple[tf.Tensor, RegionSums]:
    in_range(problem, alpha=(alpha, 0, None), beta=(beta, 0, None))
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    mistakes = alpha * sums.wrong + beta * sums.missed
    return lost_share(mistakes + smooth_dr - smooth_nr, sums.intersection + smooth_nr), sums


def minus_log_score(values):
    """-log(score) of values 1 - score: exact at both ends, and finite."""
    good = values < 0.5
    return tf.where(good, -tf.math.log1p(-tf.where(good, values, tf.zeros_like(values))), -safe_log(1 - values))


def _log_cosh(x):
    return tf.math.log1p(2 * tf.sinh(x / 2) ** 2)
