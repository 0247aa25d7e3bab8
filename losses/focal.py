"""Focal losses: cross-entropies with the easy pixels turned down. Symbols as in `losses.cross_entropies`."""

import tensorflow as tf

from .engine.averages import negative_logs, power
from .engine.definition import loss
from .engine.maps import by_label, classes_exclude, element_mean, not_softmax, pixel_mean
from .engine.options import choose, in_range


@loss
def focal_softmax(problem, *, gamma=2.0, alpha=None, mean_over="pixels"):
    """Softmax focal loss, `sum(w * v_l * a_l * (1-p_l)^gamma * -log p_l) / sum(w * v_l)`, 0 or more.

    Cross-entropy with well classified pixels turned down. Lin et al. 2017, "Focal loss for dense object detection",
    equations 4 and 5, with a softmax for their sigmoid.

    Args:
        gamma: 0 is cross-entropy.
        alpha: a_l is alpha for labels above 0 and 1 - alpha for label 0; or one number for each class of y_pred; None
            for 1. Not part of the divisor.
        mean_over: "pixels", or "elements" to divide by the number of classes as well.

    Returns:
        Scalar; with reduction="none" `[batch, *space]`, weighted and 0 where ignored, but not divided.

    MONAI FocalLoss(use_softmax=True) is mean_over="elements", over="batch" (but with its ignore_index it divides by
    pixels). segmentation-models-pytorch has one-vs-rest sigmoids for several classes: `focal_sigmoid`.
    """
    classes_exclude(problem)
    choose(problem, mean_over=(mean_over, ("pixels", "elements")))
    in_range(problem, gamma=(gamma, 0, None))
    factors = _factors(problem, alpha)
    divisor = len(problem.classes) if mean_over == "elements" else 1
    values, counts = by_label(problem, lambda nll: power(-tf.math.expm1(-nll), gamma) * nll, factors)
    return pixel_mean(problem, values / divisor, counts)


def _factors(problem, alpha):
    """alpha as one number for each class, or None."""
    if alpha is None:
        return None
    if not isinstance(alpha, (int, float)):
        alphas = [float(a) for a in alpha]
        if len(alphas) != problem.num_classes or min(alphas) < 0:
            raise ValueError(
                f"{problem.loss}: alpha must be a number from 0 to 1, or {problem.num_classes} numbers, not negative, "
                f"one for each class of y_pred.\nReceived: {alpha=}"
            )
        return alphas
    in_range(problem, alpha=(alpha, 0, 1))
    return [1 - alpha] + [alpha] * (problem.num_classes - 1)


@loss(activation="sigmoid")
def focal_sigmoid(problem, *, gamma=2.0, alpha=None):
    """Sigmoid focal loss, the mean over pixels, for each class, of `y * alpha * (1-p)^gamma * -log p + (1-y) *
    (1-alpha) * p^gamma * -log(1-p)`; then the mean over classes (times v) and images. 0 or more.

    Lin et al. 2017, "Focal loss for dense object detection", equation 5. Ids count each class against the rest.

    Args:
        gamma: 0 is binary cross-entropy.
        alpha: weight of pixels of the class, theirs is 0.25; None for 1 on both kinds.

    Returns:
        Scalar; with reduction="none" `[batch, *space, k]`, weighted and 0 where ignored, but not divided.

    Exact for large logits, with a gradient for confident mistakes (keras.losses clips, and has none).
    """
    not_softmax(problem)
    in_range(problem, gamma=(gamma, 0, None))
    in_range(problem, **({} if alpha is None else {"alpha": (alpha, 0, 1)}))
    nll, nll_absent = negative_logs(problem)
    y = problem.targets()
    present = y * power(-tf.math.expm1(-nll), gamma) * nll
    not_present = (1 - y) * power(-tf.math.expm1(-nll_absent), gamma) * nll_absent
    values = present + not_present if alpha is None else alpha * present + (1 - alpha) * not_present
    return element_mean(problem, problem.select(values))
