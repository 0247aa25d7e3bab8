"""The formulas of the reference table that follow one library's habits: its axes, its smoothing, its weights."""

import numpy as np
import tensorflow as tf

import losses
from losses.engine.averages import power
from losses.engine.sums import activate
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


def _keras_ratio(case, y, z, alpha, beta):
    """`1 - I / (I + alpha FP + beta FN + eps)`, each sum over the axes of Keras's `axis`, whichever they are."""
    rank, shared = len(z.shape), case.shared(y, z)
    axis = case.take("axis")
    summed = set(range(rank)) if axis is None else {a % rank for a in np.atleast_1d(axis).tolist()}
    name, factors = ("dice", {}) if alpha == beta == 0.5 else ("tversky", {"alpha": alpha, "beta": beta})
    options = {"smooth_nr": 0.0, "smooth_dr": 1e-7, "absent": "count", **factors}
    space = set(range(1, rank - 1))
    if summed in (space, space | {0}):
        return call(name, y, z, **options, **shared | {"over": "batch" if 0 in summed else "image"})
    # Other axes: what is kept becomes the batch of one channel, and what is summed its space.
    p = activate(z, shared["activation"])
    labels = tf.cast(y, z.dtype) if len(y.shape) == rank else tf.one_hot(y, z.shape[-1], dtype=z.dtype)
    order = sorted(set(range(rank)) - summed) + sorted(summed)
    size = int(np.prod([z.shape[a] for a in summed]))
    labels, p = (tf.reshape(tf.transpose(x, order), [-1, size, 1]) for x in (labels, p))
    return call(name, labels, p, activation=None, reduction=shared["reduction"], **options)


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
    norm, divisors = case.take("norm", default="batch"), {"batch": len(weights), "images": len(weights), "none": 1}
    if norm not in divisors:
        if norm not in ("weights", "weight", "weight_sum", "sum_weights", "sum_of_weights", "sum_w", "w", "sum"):
            raise Unoffered(f"norm={norm!r} of image weights")
        divisors[norm] = weights.sum(dtype=np.float64)
    mean = dice(case, y, z, image_weights=weights, class_weights=None)
    return mean * (len(weights) / divisors[norm])


def wnorm(case, y, z):
    """Dice with class weights that are divided by their sum."""
    return dice(case, y, z, class_weights=normalised(case.weights("weight", "weights", "w")))


def deep_supervision(case, target, levels):
    """The sum over levels of 0.5^level (MONAI: no less than 1/16) times Dice; not divided by the sum of the weights."""
    decay = {"exp": lambda i: max(0.5**i, 0.0625), "same": lambda i: 1.0, "two": lambda i: 0.5 if i else 1.0}
    weigh = decay[case.take("weight_mode", default="exp")]
    weights = list(case.take("weights", default=[weigh(i) for i in range(len(levels))]))[: len(levels)]
    return losses.deep_supervision(target, list(levels), loss=lambda y, z: dice(case, y, z), weights=weights)


LIBRARY_FORMULAS = {
    "smp_tversky": smp_tversky,
    "keras_dice": keras_dice,
    "keras_tversky": keras_tversky,
    "nnunet_dice": nnunet_dice,
    "nn_dcce": nn_dcce,
    "sample": sample,
    "wnorm": wnorm,
}
