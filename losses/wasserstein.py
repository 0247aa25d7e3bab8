"""Generalised Wasserstein Dice: Dice that knows which classes are alike."""

import tensorflow as tf

from .engine.definition import loss
from .engine.options import choose
from .engine.reduction import lost_share, reduce_groups
from .engine.statistics import exact_sum, group_sum

WHOLE = "probability is moved between all classes, so none can be left out"


@loss(refuses={"classes": WHOLE, "include_background": WHOLE, "class_weights": "the distances weigh the classes"})
def wasserstein_dice(problem, *, distances, weighting="default", background=0, smooth_nr=1e-5, smooth_dr=1e-5):
    """Generalised Wasserstein Dice loss, where a mistake costs the distance between the two classes.

    `W = sum_c M[label, c] * p_c` is the distance a pixel's probability has to be moved (0 to 1, `M` divided by its
    maximum). With `a` the weight of a pixel's label, sums over the space of one image (or of the batch):

        "default":  1 - (2 TP + nr) / (2 TP + sum(W) + dr), TP = sum(a * (1 - W)), a = 0 for the background, else 1
        "gdl":      1 - (2 TP + nr) / (sum(a * (2 - W)) + dr), a = 1 / (pixels of the label + 1)

    Soft labels take the mean of their labels' rows of `M`. A sigmoid raises: it has no distribution over classes to
    move.

    Args:
        distances: `[classes, classes]` numbers, not negative, zero on the diagonal; `M[l, c]` is what it costs to
            predict c where l is true.
        weighting: "default" (Fidon et al.) or "gdl" (MONAI's 'GDL').
        background: the class that `weighting="default"` counts as background.
        smooth_nr, smooth_dr: added to numerator and denominator.

    Returns:
        Scalar; `[batch]` with reduction="none" (a scalar if over="batch").

    Source: Fidon et al. 2017, "Generalised Wasserstein Dice score for imbalanced multi-class segmentation", equation
    10. Equal to MONAI's GeneralizedWassersteinDiceLoss, which puts the background at 0 and always applies a softmax.
    """
    classes = problem.num_classes
    choose(
        problem,
        weighting=(weighting, ("default", "gdl")),
        activation=(problem.activation, ("softmax", None)),
        background=(background, range(classes)),
    )
    matrix = _matrix(distances, classes, problem.dtype)
    weights, p, y = problem.weights(), problem.probabilities(), problem.targets()
    if problem.ids is not None:
        moved = y * tf.reduce_sum(tf.gather(matrix, problem.ids) * p, axis=-1, keepdims=True)
    else:
        # Products and sums, not a matrix product: that may be rounded to TensorFloat-32 on a GPU.
        moved = y * tf.stack([tf.reduce_sum(row * p, axis=-1) for row in tf.unstack(matrix)], axis=-1)
    if weights is not None:
        moved, y = moved * weights, y * weights
    moved, volume = group_sum(problem, exact_sum(moved)), group_sum(problem, exact_sum(y))
    if weighting == "default":
        weight = tf.one_hot(background, classes, on_value=0.0, off_value=1.0, dtype=tf.float64)
        hit = tf.reduce_sum(weight * (volume - moved), axis=-1)
        lost = tf.reduce_sum(moved, axis=-1)
    else:
        weight = 1 / (volume + 1)
        hit = tf.reduce_sum(weight * (volume - moved), axis=-1)
        lost = tf.reduce_sum(weight * moved, axis=-1)
    return reduce_groups(problem, lost_share(lost + smooth_dr - smooth_nr, 2 * hit + smooth_nr))


def _matrix(distances, classes, dtype):
    """The distances divided by the largest, checked where they are known."""
    # The hint keeps a list of Python numbers from being rounded to float32 on the way.
    matrix = tf.cast(tf.convert_to_tensor(distances, dtype_hint=tf.float64), tf.float64)
    if matrix.shape.as_list() != [classes, classes]:
        raise ValueError(
            f"wasserstein_dice: distances must be [{classes}, {classes}], one for each pair of classes of y_pred.\n"
            f"Received: distances of shape {matrix.shape}"
        )
    known = tf.get_static_value(matrix)
    if known is not None and not ((known >= 0).all() and known.max() > 0 and not known.diagonal().any()):
        raise ValueError(
            "wasserstein_dice: distances must not be negative, not be all zero, and be zero from a class to itself. "
            f"Received: distances={known.tolist()}"
        )
    return tf.cast(matrix / tf.reduce_max(matrix), dtype)
