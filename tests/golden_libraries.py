"""The formulas of the reference table that follow one library's habits: its axes, its smoothing, its weights."""

import numpy as np
import tensorflow as tf

import losses
from losses.averages import power
from tests.golden_case import Unoffered, as_array, call
from tests.golden_formulas import cross_entropy, dice


def normalised(weights, classes=None):
    """Class weights whose plain mean is the weighted mean; for the chosen classes if some are chosen."""
    if weights is None:
        return None
    weights = np.asarray(weights, np.float64)
    weights = weights if classes is None else weights[list(classes)]
    return weights * len(weights) / weights.sum()


def smp_tversky(case, y, z):
    classes, smooth = case.take("classes"), case.take("smooth", "s", default=0.0)
    # smp's bound eps on the denominator only acts on a class without a pixel, which counts zero anyway.
    case.take("eps")
    value = call(
        "tversky",
        y,
        z,
        **{**case.shared(y, z), "over": "batch"},
        alpha=case.take("alpha", default=0.5),
        beta=case.take("beta", default=0.5),
        smooth_nr=smooth,
        smooth_dr=smooth,
        soft_label=True,
        log_loss=bool(case.take("log_loss", default=False)),
        classes=classes,
        class_weights=normalised(case.weights(), classes),
        absent="zero",
    )
    return power(value, case.take("gamma", default=1.0))


def _over_axes(case, z):
    """(over, whether classes are summed too) of a Keras `axis`."""
    axis, rank = case.take("axis"), len(z.shape)
    axes = set(range(rank)) if axis is None else {a % rank for a in np.atleast_1d(axis).tolist()}
    if not set(range(1, rank - 1)) <= axes:
        raise Unoffered(f"axis={axis} that leaves out an axis of space")
    return "batch" if 0 in axes else "image", rank - 1 in axes


def _keras_ratio(case, y, z, alpha, beta):
    """`1 - I / (I + alpha FP + beta FN + eps)`, all classes in one fraction where the axis says so."""
    over, together = _over_axes(case, z)
    shared = {**case.shared(y, z), "over": over}
    if not together or z.shape[-1] == 1:
        smooth = {"smooth_nr": 0.0, "smooth_dr": 1e-7, "absent": "count"}
        if alpha == beta == 0.5:
            return call("dice", y, z, **smooth, **shared)
        return call("tversky", y, z, alpha=alpha, beta=beta, **smooth, **shared)
    shared = {name: value for name, value in shared.items() if value is not None}
    sums = losses.region_statistics(y, z, **shared)
    hit, predicted, labelled = (tf.reduce_sum(s, -1) for s in (sums.intersection, sums.prediction, sums.target))
    scale = 2 if alpha == beta == 0.5 else 1
    bottom = hit + alpha * (predicted - hit) + beta * (labelled - hit)
    return tf.cast(tf.reduce_mean(1 - scale * hit / (scale * bottom + 1e-7)), z.dtype)


def keras_dice(case, y, z):
    return _keras_ratio(case, y, z, 0.5, 0.5)


def keras_tversky(case, y, z):
    # keras 3.15.1 has alpha on the false negatives.
    return _keras_ratio(case, y, z, case.take("beta", default=0.5), case.take("alpha", default=0.5))


def nnunet_dice(case, y, z, **fixed):
    smooth = case.take("smooth", default=1.0)
    return dice(case, y, z, smooth_nr=smooth, smooth_dr=smooth, **fixed) - 1


def nn_dcce(case, y, z):
    smooth, weights = (
        case.take("smooth", default=1e-5),
        [case.take("weight_dice", default=1), case.take("weight_ce", default=1)],
    )
    background, over = case.take("do_bg", default=False), case.take("batch_dice", default=True)
    options = {"include_background": background, "over": "batch" if over else "image", "class_weights": None}
    overlap = dice(case, y, z, smooth_nr=smooth, smooth_dr=smooth, **options) - 1
    return weights[0] * overlap + weights[1] * cross_entropy(case, y, z)


def sample(case, y, z):
    """Dice of each image times its weight; `norm` says what the sum is divided by."""
    weights = as_array(case.take("sample_weights", "weights", default=case.arrays.get("sample_weights")))
    norm = case.take("norm", default="batch")
    if norm in ("weights", "weight", "weight_sum", "sum_weights", "sum_of_weights", "sum_w", "w"):
        weights = weights * len(weights) / weights.sum(dtype=np.float64)
    elif norm not in ("batch", "sum", "none"):
        raise Unoffered(f"norm={norm!r} of image weights")
    total = dice(case, y, z, image_weights=weights, class_weights=None)
    return total * len(weights) if norm in ("sum", "none") else total


def wnorm(case, y, z):
    """Dice with class weights that are divided by their sum."""
    return dice(case, y, z, class_weights=normalised(case.weights("weight", "weights", "w")))


def deep_supervision(case, target, levels):
    """The sum over levels of 0.5^level (MONAI: no less than 1/16) times Dice; not divided by the sum of the weights."""
    decay = {"exp": lambda i: max(0.5**i, 0.0625), "same": lambda i: 1.0, "two": lambda i: 0.5 if i else 1.0}
    weigh = decay[case.take("weight_mode", default="exp")]
    weights = list(case.take("weights", default=[weigh(i) for i in range(len(levels))]))[: len(levels)]
    return losses.deep_supervision(
        target, list(levels), loss=lambda y, z: dice(case, y, z, class_weights=None), weights=weights
    )


LIBRARY_FORMULAS = {
    "smp_tversky": smp_tversky,
    "keras_dice": keras_dice,
    "keras_tversky": keras_tversky,
    "nnunet_dice": nnunet_dice,
    "nn_dcce": nn_dcce,
    "sample": sample,
    "wnorm": wnorm,
}
