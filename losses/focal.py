"""Focal losses: cross-entropies with the easy pixels turned down. Symbols as in `losses.cross_entropies`."""

import tensorflow as tf

from .engine.averages import negative_logs, power, space_mean
from .engine.definition import loss
from .engine.maps import by_label, classes_exclude, element_mean, not_softmax, pixel_mean
from .engine.options import choose, in_range
from .engine.reduction import reduce_groups
from .engine.statistics import exact_sum


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


ALL = "class 0 is the background and the others the foreground, all of them needed"
REFUSES = {"classes": ALL, "include_background": ALL, "class_weights": "delta weighs background against foreground"}


@loss(refuses=REFUSES)
def unified_focal(problem, *, form="asymmetric", weight=0.5, delta=0.6, gamma=0.5, epsilon=1e-7):
    """Unified focal loss: `weight * FTL + (1 - weight) * FL`.

    With `T = (TP + epsilon) / (TP + delta * FN + (1 - delta) * FP + epsilon)` of each class over the space of one
    image, class 0 the background with the factor `1 - delta` and every other class foreground with `delta`:

        "symmetric":   FTL = mean over classes of (1 - T)^(1 - gamma)
                       FL  = mean over pixels of sum over classes of factor * (1 - p)^gamma * -y log p
        "asymmetric":  as above, without the exponent on the background in FTL (it is not suppressed), and without
                       (1 - p)^gamma on the foreground in FL (it is not dimmed)
        "monai":       as "asymmetric", but `weight * FL + (1 - weight) * FTL`, and FL is averaged over classes too

    Args:
        form: see above.
        weight: share of the Tversky part ("monai": of the focal part), 0 to 1.
        delta: weight of false negatives and of the foreground, 0 to 1; MONAI's default is 0.7.
        gamma: 0 to 1; the larger, the more the easy pixels are dimmed and the rare class enhanced.
        epsilon: added to both sides of the Tversky fraction.

    Returns:
        Scalar; `[batch]` with reduction="none" (a scalar if over="batch").

    Takes two classes by a softmax, one channel by a sigmoid (its complement is the background), or more classes, all
    but the first foreground. Source: Yeung et al. 2022, "Unified Focal loss", equations 16 to 19. MONAI and the
    authors' code clip probabilities at 1e-7, which leaves a confident mistake without a gradient; here none is clipped.
    MONAI's AsymmetricUnifiedFocalLoss with more than two classes gives the third and later ones no gradient.
    """
    choose(problem, form=(form, ("symmetric", "asymmetric", "monai")))
    in_range(problem, weight=(weight, 0, 1), delta=(delta, 0, 1), gamma=(gamma, 0, 1), epsilon=(epsilon, 0, None))
    p, y, nll = _all_classes(problem)
    foreground = [0.0] + [1.0] * (p.shape[-1] - 1)
    factor = tf.constant([delta if f else 1 - delta for f in foreground], p.dtype)
    focus = power(1 - p, gamma)
    if form != "symmetric":
        focus = tf.where(tf.constant(foreground, p.dtype) > 0, tf.ones_like(focus), focus)
    focal = space_mean(problem, tf.reduce_sum(factor * focus * y * nll, axis=-1, keepdims=True))[:, 0]

    weights = problem.weights()
    maps = (p * y, (1 - p) * y, p * (1 - y))
    hit, missed, wrong = (
        problem.over_groups(exact_sum(values if weights is None else values * weights)) for values in maps
    )
    # 1 - T with the numerator written out: no digits are lost near a perfect prediction.
    mistakes = delta * missed + (1 - delta) * wrong
    lost = mistakes / (hit + mistakes + epsilon) if epsilon else tf.math.divide_no_nan(mistakes, hit + mistakes)
    enhanced = power(lost, 1 - gamma)
    if form != "symmetric":
        enhanced = tf.concat([lost[:, :1], enhanced[:, 1:]], axis=-1)
    tversky = tf.reduce_mean(enhanced, axis=-1)
    if form == "monai":
        return reduce_groups(problem, weight * focal / p.shape[-1] + (1 - weight) * tversky)
    return reduce_groups(problem, weight * tversky + (1 - weight) * focal)


def _all_classes(problem):
    """Probabilities, labels and -log p with the background in front, `[b, *space, c]` and c at least 2."""
    p, y = problem.probabilities(), problem.targets()
    nll, nll_absent = negative_logs(problem)
    if problem.num_classes == 1:
        return tf.concat([1 - p, p], -1), tf.concat([1 - y, y], -1), tf.concat([nll_absent, nll], -1)
    if problem.activation == "sigmoid":
        raise ValueError(
            f"unified_focal: the channels are background and foreground of one segmentation; with "
            "activation='sigmoid' that is one channel, with several write activation='softmax'.\n"
            f"Received: activation='sigmoid', {problem.num_classes} channels"
        )
    return p, y, nll
