"""Losses on soft skeletons, which ask that thin structures stay connected."""

import functools
import math

import tensorflow as tf

from .engine.definition import loss
from .engine.options import in_range
from .engine.problem import Problem
from .engine.reduction import ratio, reduce_groups
from .engine.statistics import exact_sum, region_sums
from .overlap import dice_values

REFUSES = {"class_weights": "the skeletons of all classes are summed before the fractions are formed"}


@loss(refuses=REFUSES)
def cldice(problem, *, iterations=3, smooth_nr=1.0, smooth_dr=1.0, epsilon=1e-4):
    """Soft clDice (centre-line Dice) loss.

    With `S_p`, `S_y` the soft skeletons of probabilities and labels, sums over the space and the classes of one image:

        precision = (sum(S_p * y) + nr) / (sum(S_p) + dr),   sensitivity = (sum(S_y * p) + nr) / (sum(S_y) + dr)
        1 - 2 * precision * sensitivity / (precision + sensitivity + epsilon)

    Two or three axes of space. What is ignored is 0 in `p` and `y` before the skeletons are taken, so a skeleton may
    run along the border of an ignored region.

    Args:
        iterations: erosions of the skeleton; about half the width in pixels of the widest structure.
        smooth_nr, smooth_dr: added to numerator and denominator of both fractions.
        epsilon: added to the last denominator.

    Returns:
        Scalar; `[batch]` with reduction="none" (a scalar if over="batch").

    Memory: about `6 * iterations` copies of the probabilities are kept for the gradient.
    Source: Shit et al. 2021, "clDice", algorithms 1 and 2. As MONAI's SoftclDiceLoss (1.6), one number an image over
    all classes; older MONAI left class 0 out and had no epsilon.
    """
    return reduce_groups(problem, _cldice(problem, iterations, smooth_nr, smooth_dr, epsilon))


@loss(refuses=REFUSES)
def dice_cldice(problem, *, alpha=0.5, iterations=3, smooth_nr=1.0, smooth_dr=1.0, epsilon=1e-4):
    """`(1 - alpha) * Dice + alpha * clDice`, the sum its authors train with; Dice is the mean over classes of an image.

    Shit et al. 2021, "clDice", equation 4. Equal to MONAI's SoftDiceclDiceLoss.

    Args:
        alpha: share of clDice, 0 to 1.   iterations, smooth_nr, smooth_dr (Dice's too), epsilon: as for `cldice`.

    Returns:
        Scalar; `[batch]` with reduction="none" (a scalar if over="batch").
    """
    in_range(problem, alpha=(alpha, 0, 1))
    skeletons = _cldice(problem, iterations, smooth_nr, smooth_dr, epsilon)
    sums = region_sums(problem)
    overlap = dice_values(sums, smooth_nr, smooth_dr)
    return reduce_groups(problem, (1 - alpha) * tf.reduce_mean(overlap, axis=-1) + alpha * skeletons)


def soft_skeleton(values, iterations=3):
    """The soft skeleton of `values` in [0, 1], `[batch, *space, channels]`, two or three axes of space."""
    if values.shape.rank not in (4, 5):
        raise ValueError(
            "soft_skeleton takes [batch, *space, channels] with two or three axes of space. Received: values of shape "
            f"{values.shape}"
        )
    if iterations < 0 or int(iterations) != iterations:
        raise ValueError(
            f"soft_skeleton: iterations must be a whole number, 0 or more. Received: iterations={iterations}"
        )
    skeleton = tf.nn.relu(values - _dilate(_erode(values)))
    for _ in range(int(iterations)):
        values = _erode(values)
        ridge = tf.nn.relu(values - _dilate(_erode(values)))
        skeleton += tf.nn.relu(ridge - skeleton * ridge)
    return skeleton


def _cldice(problem: Problem, iterations, smooth_nr, smooth_dr, epsilon):
    """The loss of each group, float64 `[groups]`."""
    p, y = problem.probabilities(), problem.targets()
    if problem.valid is not None:
        valid = tf.cast(problem.valid, p.dtype)
        p, y = p * valid, y * valid
    p, y = problem.select(p), problem.select(y)
    # The labels' skeleton has no gradient to keep memory for.
    skeleton_p, skeleton_y = soft_skeleton(p, iterations), tf.stop_gradient(soft_skeleton(y, iterations))
    maps = (skeleton_p * y, skeleton_p, skeleton_y * p, skeleton_y)
    if problem.pixel_weights is not None:
        maps = (values * problem.pixel_weights for values in maps)
    hit_p, all_p, hit_y, all_y = (problem.over_groups(tf.reduce_sum(exact_sum(values), axis=-1)) for values in maps)
    precision = ratio(hit_p + smooth_nr, all_p + smooth_dr)
    sensitivity = ratio(hit_y + smooth_nr, all_y + smooth_dr)
    return 1 - ratio(2 * precision * sensitivity, precision + sensitivity + epsilon)


def _erode(values):
    """The smallest of each element and its neighbours along the axes, a cross."""
    return functools.reduce(tf.minimum, (-_largest_along(-values, axis) for axis in _space(values)))


def _dilate(values):
    """The largest of each element and all its neighbours, diagonal ones included."""
    return functools.reduce(_largest_along, _space(values), values)


def _space(values):
    return range(1, values.shape.rank - 1)


def _largest_along(values, axis):
    """The largest of each element and its two neighbours along `axis`; beyond the border there is nothing."""
    known = values.shape.as_list()
    shape = [tf.shape(values)[i] if size is None else size for i, size in enumerate(known)]
    # Planes of (along the axis, across it): TensorFlow has no pooling of volumes in float64.
    rows = tf.reshape(values, [-1, shape[axis], math.prod(shape[axis + 1 : -1]), known[-1]])
    return tf.ensure_shape(tf.reshape(tf.nn.max_pool2d(rows, [3, 1], 1, "SAME"), shape), values.shape)
