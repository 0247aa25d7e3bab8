"""Pixel losses: cross-entropy and its relatives, means over the pixels that count.

Symbols: `z` the logits, `p` the probabilities, `y` the labels, `l` the label of a pixel, `w` its weight (1 if none, 0
where ignored), `v` class weights, all over the space of one image, or with over="batch" of all images of the batch (and
of all replicas, with `all_reduce`). Choosing classes leaves out the pixels (for a sigmoid: the channels) of the others.

An image of which nothing counts has the loss 0 and a gradient of zeros, and is one of the images of the mean.
"""

import tensorflow as tf

from .engine.averages import negative_logs
from .engine.definition import loss
from .engine.maps import (
    by_label,
    classes_exclude,
    element_map,
    log_losses,
    not_softmax,
    pixel_map,
    pixel_mean,
    reduce_mean,
)
from .engine.options import in_range
from .engine.reduction import ratio, reduce_classes, reduce_groups
from .engine.statistics import exact_sum, image_sums


@loss
def cross_entropy(problem, *, label_smoothing=0.0):
    """Categorical cross-entropy, `sum(w * v_l * -log p_l) / sum(w * v_l)`, 0 or more, in nats.

    With label smoothing e and C classes, as torch.nn.CrossEntropyLoss, the numerator is
    `sum(w * ((1-e) * v_l * -log p_l + e/C * sum_c(v_c * -log p_c)))`; Szegedy et al. 2016, "Rethinking the inception
    architecture", section 7. For dense labels, `y_c` takes part as a share of label c.

    Args:
        label_smoothing: e, from 0 to 1; needs all classes.

    Returns:
        Scalar; with reduction="none" `[batch, *space]`, weighted and 0 where ignored, but not divided.

    The mean over valid pixels is taken in each image; keras.losses and torch take it over the batch (over="batch"; the
    same unless images differ in what is ignored or in weights). segmentation-models-pytorch divides by all pixels.
    Shares the pass over the logits with the region losses of a sum of losses.
    """
    classes_exclude(problem)
    _check_smoothing(problem, label_smoothing)
    if problem.reduction == "none":
        return pixel_map(problem, _smoothed(problem, label_smoothing)[0])
    sums = image_sums(problem, logs=True, smoothing=label_smoothing > 0)
    nll, target = problem.select(sums["nll"]), problem.select(sums["target"])
    if label_smoothing:
        nll = (1 - label_smoothing) * nll + label_smoothing / problem.num_classes * problem.select(sums["nll_all"])
    if problem.class_weights is not None:
        nll, target = nll * problem.class_weights, target * problem.class_weights
    return reduce_mean(problem, tf.reduce_sum(nll, axis=-1), tf.reduce_sum(target, axis=-1))


@loss(activation="sigmoid")
def binary_cross_entropy(problem, *, positive_weight=None, label_smoothing=0.0):
    """Binary cross-entropy, `sum(w * (a * y * -log p - (1-y) * log(1-p))) / sum(w)` for each class, 0 or more, in nats;
    then the mean over classes (times v) and images.

    For one channel, or several that do not exclude each other. Ids count each class against the rest. Cox 1958, "The
    regression analysis of binary sequences", the negative of its log-likelihood.

    Args:
        positive_weight: a, what a pixel of the class counts against one that is not: a number, or one for each class
            that counts. torch.nn.BCEWithLogitsLoss calls it pos_weight.
        label_smoothing: e: y becomes `(1-e)*y + e/2`, as in Keras.

    Returns:
        Scalar; with reduction="none" `[batch, *space, k]`, weighted and 0 where ignored, but not divided.

    segmentation-models-pytorch's SoftBCE divides by all pixels, ignored ones too.
    """
    not_softmax(problem)
    in_range(problem, label_smoothing=(label_smoothing, 0, 1))
    positive = tf.constant(1.0 if positive_weight is None else positive_weight, tf.float64)
    if positive.shape.rank > 1 or (positive.shape.rank == 1 and positive.shape[0] != len(problem.classes)):
        raise ValueError(
            f"{problem.loss}: positive_weight must be a number, or {len(problem.classes)} of them, one for each class "
            f"that counts. Received: {positive_weight=}"
        )
    if problem.reduction == "none":
        nll, nll_absent = negative_logs(problem)
        y = (1 - label_smoothing) * problem.targets() + label_smoothing / 2
        present, not_present = problem.select(y * nll), problem.select((1 - y) * nll_absent)
        return element_map(problem, tf.cast(positive, problem.dtype) * present + not_present)
    sums = {
        name: problem.select(s) for name, s in image_sums(problem, logs=True, smoothing=label_smoothing > 0).items()
    }
    nll, nll_absent = sums["nll"], sums["nll_absent"]
    if label_smoothing:
        nll = (1 - label_smoothing) * nll + label_smoothing / 2 * sums["nll_all"]
        nll_absent = (1 - label_smoothing) * nll_absent + label_smoothing / 2 * sums["nll_absent_all"]
    total, pixels = problem.over_groups(positive * nll + nll_absent), problem.over_groups(sums["pixels"])
    return reduce_classes(problem, total if problem.reduction == "sum" else ratio(total, pixels))


@loss
def top_k_cross_entropy(problem, *, percent=10.0, label_smoothing=0.0):
    """Mean of the largest `percent` of the pixels' cross-entropies, `w * v_l * -log p_l`. 0 or more.

    Of n pixels that count in an image, `int(n * percent / 100)` and at least one are taken. Wu et al. 2016, "Bridging
    category-level and instance-level semantic image segmentation", section 3 (online bootstrapping).

    over="batch" ranks all pixels of the batch together; that is no function of sums over replicas, so it raises with
    an `all_reduce`.

    Args:
        percent: above 0, to 100 (cross-entropy, but for weights in the divisor).
        label_smoothing: as for `cross_entropy`, of the values that are ranked.

    Returns:
        Scalar; reduction="none" gives `[batch]`, or a scalar (over="batch").

    nnU-Net's TopKLoss is over="batch" and counts ignored pixels, as zeros, in n.
    """
    classes_exclude(problem)
    if not 0 < percent <= 100:
        raise ValueError(f"{problem.loss}: percent must be above 0 and at most 100. Received: {percent=}")
    if problem.over == "batch" and problem.all_reduce is not None:
        raise ValueError(
            f"{problem.loss}: over='batch' ranks the pixels of a whole batch, which several replicas or micro-batches "
            "cannot do from their sums: write over='image'.\nReceived: over='batch' and an all_reduce"
        )
    _check_smoothing(problem, label_smoothing)
    values, counts = _smoothed(problem, label_smoothing)
    weights = problem.weights()
    if weights is not None:
        values, counts = values * weights[..., 0], counts * weights[..., 0]
    if problem.over == "batch" and problem.image_weights is not None:
        values *= tf.reshape(tf.cast(problem.image_weights, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    groups = tf.shape(values)[0] if problem.over == "image" else 1
    values, counts = tf.reshape(values, [groups, -1]), tf.reshape(counts, [groups, -1])
    candidates = tf.where(counts > 0, values, -tf.ones_like(values))
    counted = tf.math.count_nonzero(counts > 0, axis=-1, dtype=tf.float64)
    # 1e-9: 700 * 10 / 100 must not come out as 69.99…
    taken = tf.minimum(tf.maximum(tf.floor(counted * percent / 100 + 1e-9), 1), counted)
    most = tf.cast(tf.floor(tf.cast(tf.shape(values)[1], tf.float64) * percent / 100 + 1e-9), tf.int32)
    largest = tf.math.top_k(candidates, tf.maximum(most, 1)).values
    rank = tf.range(tf.shape(largest)[1], dtype=tf.int32)
    chosen = tf.cast(rank, tf.float64) < taken[:, tf.newaxis]
    total = exact_sum(tf.where(chosen, largest, tf.zeros_like(largest))[..., tf.newaxis])[:, 0]
    return reduce_groups(problem, total if problem.reduction == "sum" else ratio(total, taken))


@loss
def generalised_cross_entropy(problem, *, q=0.7):
    """Generalised cross-entropy, `sum(w * v_l * (1 - p_l^q) / q) / sum(w * v_l)`, from 0 to 1/q: for noisy labels.

    Zhang and Sabuncu 2018, "Generalized cross entropy loss for training deep neural networks with noisy labels",
    equation 6: q near 0 is cross-entropy, 1 the mean absolute error.

    Args:
        q: above 0, to 1.

    Returns:
        Scalar; with reduction="none" `[batch, *space]`, weighted and 0 where ignored, but not divided.

    keras.losses.CategoricalGeneralizedCrossEntropy has a NaN gradient at p = 0; this one has not.
    """
    classes_exclude(problem)
    if not 0 < q <= 1:
        raise ValueError(f"{problem.loss}: q must be above 0 and at most 1. Received: {q=}")
    return pixel_mean(problem, *by_label(problem, lambda nll: -tf.math.expm1(-q * nll) / q))


def _check_smoothing(problem, label_smoothing):
    in_range(problem, label_smoothing=(label_smoothing, 0, 1))
    if label_smoothing and len(problem.classes) < problem.num_classes:
        raise ValueError(
            f"{problem.loss}: label smoothing spreads over all classes, so classes cannot be picked with it.\n"
            f"Received: {label_smoothing=}, classes that count {problem.classes} of {problem.num_classes}"
        )


def _smoothed(problem, label_smoothing):
    """Cross-entropy of every pixel, `[b, *space]`, and what each counts."""
    values, counts = by_label(problem, lambda nll: nll)
    if label_smoothing:
        nll = log_losses(problem)
        if problem.class_weights is not None:
            nll = nll * tf.cast(problem.class_weights, nll.dtype)
        values = (1 - label_smoothing) * values
        values += label_smoothing / problem.num_classes * tf.reduce_sum(nll, axis=-1)
    return values, counts
