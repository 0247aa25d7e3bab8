"""Calibration: cross-entropy with a penalty that holds the logits to the labels around a pixel."""

import tensorflow as tf

from .engine.averages import space_mean
from .engine.definition import loss
from .engine.options import choose
from .engine.reduction import ratio, reduce_groups
from .engine.statistics import image_sums


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
        padded = tf.pad(values, [[half, half] if i == axis else [0, 0] for i in range(values.shape.rank)])
        before = (slice(None),) * axis
        values = tf.add_n([padded[before + (slice(shift, shift + length),)] for shift in range(size)]) / size
    return values
