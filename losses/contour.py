"""Distance-based losses: how far from the border a mistake lies."""

import tensorflow as tf

from .engine.averages import space_mean
from .engine.checks import ValueChecks, axis_names, check_same_shape
from .engine.definition import loss
from .engine.distance import distance_field, signed_distance_map
from .engine.options import in_range
from .engine.reduction import reduce_classes


@loss
def boundary(problem, *, distance_maps=None, spacing=None):
    """Boundary loss: the mean over space of `p * D`, with `D` the signed distance to the border of the label.

    `D` is the distance to the object outside it, and minus the distance to the background less one pixel inside it; so
    probability far outside costs much, probability deep inside earns much, and the least value is negative. `D` is 0
    for a class that is absent or fills the image: combine this loss with a region loss, as its authors do, for it says
    nothing about the first and drifts to nothing on small objects by itself.

    Args:
        distance_maps: `[batch, *space, classes]` float, made once in the data pipeline by `distance_maps(y_true, …)` of
            this module (or by SciPy). None computes them here at every step, exactly, at a cost of pixels times the
            largest distance.
        spacing: length of a pixel along each axis of space, for maps computed here. Default: 1 each, so the unit is
            pixels.

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    Source: Kervadec et al. 2019, "Boundary loss for highly unbalanced segmentation", equation 5 (its code sums over the
    batch and divides by all elements, which is the mean here). Equal to MONAI's BoundaryLoss.
    """
    labels = problem.targets()
    checks = ValueChecks(problem.loss)
    if distance_maps is None:
        maps = signed_distance_map(_masked(problem, labels) > 0.5, spacing, problem.dtype)
    else:
        maps = tf.cast(tf.convert_to_tensor(distance_maps), problem.dtype)
        _check_maps(problem, checks, maps, spacing)
    values = space_mean(problem, problem.select(problem.probabilities() * tf.stop_gradient(maps)))
    poison = checks.factor(values.dtype)
    return reduce_classes(problem, values if poison is None else values * poison)


@loss
def hausdorff(problem, *, alpha=2.0, log=False, spacing=None):
    """Hausdorff loss by distance transforms: the mean over space of `(p - y)^2 * (d_p^alpha + d_y^alpha)`.

    `d` is the distance of every pixel to the border of `p > 0.5` and of `y > 0.5`, on both sides of it, and 0 where a
    mask is empty or full. No gradient flows through the distances. They are exact and computed on the device at every
    step, also under XLA; that costs pixels times the largest distance, so start with a region loss and crop large
    volumes.

    Args:
        alpha: how much more a far mistake costs than a near one; 2 in the paper.
        log: `log(1 + loss)` after the reduction, which tames the first steps, when distances are large.
        spacing: length of a pixel along each axis of space. Default: 1 each, so the unit is pixels to the power of
            alpha.

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    Source: Karimi and Salcudean 2020, "Reducing the Hausdorff distance in medical image segmentation", equation 8.
    Equal to MONAI's HausdorffDTLoss (LogHausdorffDTLoss for `log`), whose `include_background` is False by default.
    """
    in_range(problem, alpha=(alpha, 0, None))
    p, y = problem.select(problem.probabilities()), problem.select(problem.targets())
    reach = 0.0
    for mask in (p, y):
        field = distance_field(_masked(problem, mask, selected=True) > 0.5, spacing, problem.dtype)
        reach += field**alpha
    values = space_mean(problem, tf.square(p - y) * tf.stop_gradient(reach))
    result = reduce_classes(problem, values)
    return tf.math.log1p(_over_all_images(problem, result)) if log else result


def distance_maps(y_true, num_classes=None, spacing=None):
    """The signed distance maps of `boundary`, to be made once in the data pipeline (`dataset.map`) and batched with the
    labels.

    Args:
        y_true: class ids `[batch, *space]` with `num_classes`, or labels `[batch, *space, classes]` without. For a
            single
            example: `distance_maps(label[tf.newaxis], 3)[0]`. An id that is no class (an ignored one) is outside all.
        num_classes: the number of classes of ids.
        spacing: length of a pixel along each axis of space. Default: 1 for each.

    Returns:
        float32 `[batch, *space, classes]`.
    """
    labels = tf.convert_to_tensor(y_true)
    if num_classes is not None:
        if labels.dtype.is_floating:
            raise TypeError(
                "distance_maps takes integer ids with num_classes; labels with an axis of classes go without it. "
                f"Received: y_true of dtype {labels.dtype.name}, num_classes={num_classes}"
            )
        mask = tf.equal(labels[..., tf.newaxis], tf.range(num_classes, dtype=labels.dtype))
    else:
        mask = labels if labels.dtype == tf.bool else tf.cast(labels, tf.float32) > 0.5
    return signed_distance_map(mask, spacing)


def _masked(problem, values, selected=False):
    """`values`, 0 where ignored."""
    if problem.valid is None:
        return values
    valid = problem.select(problem.valid) if selected and problem.valid.shape[-1] > 1 else problem.valid
    return tf.where(valid, values, tf.zeros_like(values))


def _check_maps(problem, checks, maps, spacing):
    if spacing is not None:
        raise ValueError("boundary: spacing belongs to the call that made distance_maps; give one of the two.")
    rank = problem.scores.shape.rank
    if maps.shape.rank != rank:
        raise ValueError(
            f"boundary: distance_maps must have y_pred's shape [{', '.join(axis_names(rank))}], one map a class: "
            f"distance_maps(y_true, num_classes={problem.num_classes}).\nReceived: distance_maps of shape {maps.shape}"
        )
    check_same_shape(
        checks,
        "distance_maps",
        maps,
        problem.scores,
        axis_names(rank),
        f"Make them by distance_maps(y_true, num_classes={problem.num_classes}) from the labels of this very batch.",
    )


def _over_all_images(problem, mean):
    """The mean over this replica's images, as the mean over those of all replicas, where a logarithm is taken of it."""
    if problem.all_reduce is None or problem.over == "batch" or problem.reduction != "mean":
        return mean
    images = tf.cast(tf.shape(problem.scores)[0], mean.dtype)
    return problem.all_reduce(mean * images) / problem.all_reduce(images)
