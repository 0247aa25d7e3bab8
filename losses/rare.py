"""Losses one meets in papers more often than in libraries: combo, exponential logarithmic, Tanimoto,
sensitivity-specificity."""

import tensorflow as tf

from .engine.averages import negative_logs, power, space_mean
from .engine.definition import loss
from .engine.options import choose, in_range
from .engine.reduction import ratio, reduce_classes, reduce_groups
from .engine.statistics import exact_sum, group_sum, image_sums, region_sums
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


@loss(
    refuses={
        "classes": "the logits of all classes are held to the labels around a pixel",
        "include_background": "the logits of all classes are held to the labels around a pixel",
        "class_weights": "no source defines them for the penalty",
    }
)
def nacl(problem, *, alpha=0.1, kernel_size=3, distance="l1"):
    """Neighbour-aware calibration: cross-entropy plus `alpha` times the mean distance of the logits to the labels
    around.

        CE + alpha * mean(abs(u - z))     ("l1")        CE + alpha * mean((u - z)^2)     ("l2")

    `u` is the mean of the one-hot labels in a box around the pixel, zeros beyond the border of the image and where
    ignored; `z` are the logits. Both means are over what counts, the second over classes too.

    Args:
        alpha: weight of the penalty.
        kernel_size: side of the box, odd.
        distance: "l1" or "l2".

    Returns:
        Scalar; `[batch]` with reduction="none" (a scalar if over="batch").

    Source: Murugesan et al. 2023, "Trust your neighbours: penalty-based constraints for model calibration", equation 9.
    MONAI's NACLLoss with `kernel_ops="mean"`.
    """
    choose(problem, distance=(distance, ("l1", "l2")), activation=(problem.activation, ("softmax",)))
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"nacl: kernel_size must be odd, such as 3. Received: kernel_size={kernel_size}")
    sums = image_sums(problem, logs=True)
    nll, target = (problem.over_groups(tf.reduce_sum(sums[name], -1, keepdims=True)) for name in ("nll", "target"))
    labels = problem.targets()
    if problem.valid is not None:
        labels = tf.where(problem.valid, labels, tf.zeros_like(labels))
    gap = _box_mean(labels, kernel_size) - problem.safe_scores()
    gap = tf.reduce_mean(tf.abs(gap) if distance == "l1" else tf.square(gap), axis=-1, keepdims=True)
    return reduce_groups(problem, (ratio(nll, target) + alpha * space_mean(problem, gap))[:, 0])


def _box_mean(values, size):
    """The mean over a box of `size` elements along each axis of space, counting zeros beyond the border."""
    half = size // 2
    for axis in range(1, values.shape.rank - 1):
        length = tf.shape(values)[axis]
        padded = tf.pad(values, [[half, half] if one == axis else [0, 0] for one in range(values.shape.rank)])
        before = (slice(None),) * axis
        values = tf.add_n([padded[before + (slice(shift, shift + length),)] for shift in range(size)]) / size
    return values
