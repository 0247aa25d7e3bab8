"""Pixel losses: cross-entropy and its relatives, means over the pixels that count.

Symbols: `z` the logits, `p` the probabilities, `y` the labels, `l` the label of a pixel, `w` its weight (1 if none, 0
where ignored), `v` class weights, all over the space of one image, or with over="batch" of all images of the batch (and
of all replicas, with `all_reduce`). Choosing classes leaves out the pixels (for a sigmoid: the channels) of the others.

An image of which nothing counts has the loss 0 and a gradient of zeros, and is one of the images of the mean.
"""

import tensorflow as tf

from losses.averages import negative_logs, power, space_mean
from losses.definition import loss
from losses.options import choose, in_range
from losses.reduction import ratio, reduce_classes, reduce_groups
from losses.statistics import exact_sum, image_sums
from losses.sums import safe_log


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
    _classes_exclude(problem)
    in_range(problem, label_smoothing=(label_smoothing, 0, 1))
    if label_smoothing and len(problem.classes) < problem.num_classes:
        raise ValueError(
            f"{problem.loss}: label smoothing spreads over all classes, so classes cannot be picked with it.\n"
            f"Received: {label_smoothing=}, classes that count {problem.classes} of {problem.num_classes}"
        )
    if problem.reduction == "none":
        return _smoothed_map(problem, label_smoothing)
    sums = image_sums(problem, smoothing=label_smoothing > 0)
    nll, target = problem.select(sums["nll"]), problem.select(sums["target"])
    if label_smoothing:
        nll = (1 - label_smoothing) * nll + label_smoothing / problem.num_classes * problem.select(sums["nll_all"])
    if problem.class_weights is not None:
        nll, target = nll * problem.class_weights, target * problem.class_weights
    return _reduce_mean(problem, tf.reduce_sum(nll, axis=-1), tf.reduce_sum(target, axis=-1))


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
    _not_softmax(problem)
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
        return _element_map(problem, tf.cast(positive, problem.dtype) * present + not_present)
    sums = {name: problem.select(s) for name, s in image_sums(problem, smoothing=label_smoothing > 0).items()}
    nll, nll_absent = sums["nll"], sums["nll_absent"]
    if label_smoothing:
        nll = (1 - label_smoothing) * nll + label_smoothing / 2 * sums["nll_all"]
        nll_absent = (1 - label_smoothing) * nll_absent + label_smoothing / 2 * sums["nll_absent_all"]
    total, pixels = problem.over_groups(positive * nll + nll_absent), problem.over_groups(sums["pixels"])
    return reduce_classes(problem, total if problem.reduction == "sum" else ratio(total, pixels))


@loss
def focal_softmax(problem, *, gamma=2.0, alpha=None, mean_over="pixels"):
    """Softmax focal loss, `sum(w * v_l * a_l * (1-p_l)^gamma * -log p_l) / sum(w * v_l)`, 0 or more.

    Cross-entropy with well classified pixels turned down. Lin et al. 2017, "Focal loss for dense object detection",
    equations 4 and 5, with a softmax for their sigmoid.

    Args:
        gamma: 0 is cross-entropy.
        alpha: a_l is alpha for labels above 0 and 1 - alpha for label 0; None for 1. Not part of the divisor.
        mean_over: "pixels", or "elements" to divide by the number of classes as well.

    Returns:
        Scalar; with reduction="none" `[batch, *space]`, weighted and 0 where ignored, but not divided.

    MONAI FocalLoss(use_softmax=True) is mean_over="elements", over="batch" (but with its ignore_index it divides by
    pixels). segmentation-models-pytorch has one-vs-rest sigmoids for several classes: `focal_sigmoid`.
    """
    _classes_exclude(problem)
    choose(problem, mean_over=(mean_over, ("pixels", "elements")))
    in_range(problem, gamma=(gamma, 0, None))
    in_range(problem, **({} if alpha is None else {"alpha": (alpha, 0, 1)}))
    factors = None if alpha is None else [1 - alpha] + [alpha] * (problem.num_classes - 1)
    divisor = len(problem.classes) if mean_over == "elements" else 1
    values, counts = _by_label(problem, lambda nll: power(-tf.math.expm1(-nll), gamma) * nll, factors)
    return _pixel_mean(problem, values / divisor, counts)


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
    _not_softmax(problem)
    in_range(problem, gamma=(gamma, 0, None))
    in_range(problem, **({} if alpha is None else {"alpha": (alpha, 0, 1)}))
    nll, nll_absent = negative_logs(problem)
    y = problem.targets()
    present = y * power(-tf.math.expm1(-nll), gamma) * nll
    not_present = (1 - y) * power(-tf.math.expm1(-nll_absent), gamma) * nll_absent
    values = present + not_present if alpha is None else alpha * present + (1 - alpha) * not_present
    return _element_mean(problem, problem.select(values))


@loss
def top_k_cross_entropy(problem, *, percent=10.0):
    """Mean of the largest `percent` of the pixels' cross-entropies, `w * v_l * -log p_l`. 0 or more.

    Of n pixels that count in an image, `int(n * percent / 100)` and at least one are taken. Wu et al. 2016, "Bridging
    category-level and instance-level semantic image segmentation", section 3 (online bootstrapping).

    over="batch" ranks all pixels of the batch together; that is no function of sums over replicas, so it raises with
    an `all_reduce`.

    Args:
        percent: above 0, to 100 (cross-entropy, but for weights in the divisor).

    Returns:
        Scalar; reduction="none" gives `[batch]`, or a scalar (over="batch").

    nnU-Net's TopKLoss is over="batch" and counts ignored pixels, as zeros, in n.
    """
    _classes_exclude(problem)
    if not 0 < percent <= 100:
        raise ValueError(f"{problem.loss}: percent must be above 0 and at most 100. Received: {percent=}")
    if problem.over == "batch" and problem.all_reduce is not None:
        raise ValueError(
            f"{problem.loss}: over='batch' ranks the pixels of a whole batch, which several replicas or micro-batches "
            "cannot do from their sums: write over='image'.\nReceived: over='batch' and an all_reduce"
        )
    values, counts = _by_label(problem, lambda nll: nll)
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
    _classes_exclude(problem)
    if not 0 < q <= 1:
        raise ValueError(f"{problem.loss}: q must be above 0 and at most 1. Received: {q=}")
    return _pixel_mean(problem, *_by_label(problem, lambda nll: -tf.math.expm1(-q * nll) / q))


def _by_label(problem, function, factors=None):
    """`[b, *space]` values `v_l * factor_l * function(-log p_l)` and what each counts, `v_l`; of dense labels the sums
    over their shares."""
    counting = tf.scatter_nd(
        [[c] for c in problem.classes],
        tf.ones(len(problem.classes), tf.float64) if problem.class_weights is None else problem.class_weights,
        [problem.num_classes],
    )
    counting = tf.cast(counting, problem.dtype)
    factors = counting if factors is None else counting * tf.constant(factors, problem.dtype)
    if problem.ids is None:
        y = problem.targets()
        values = tf.reduce_sum(factors * y * function(_nll(problem)), axis=-1)
        return values, tf.reduce_sum(counting * y, axis=-1)
    if problem.activation == "softmax":
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=problem.ids, logits=problem.safe_scores())
    else:
        rank = problem.ids.shape.rank
        nll = -safe_log(tf.gather(problem.safe_scores(), problem.ids, axis=rank, batch_dims=rank))
    return tf.gather(factors, problem.ids) * function(nll), tf.gather(counting, problem.ids)


def _nll(problem):
    """`-log p` of every class, `[b, *space, c]`."""
    scores = problem.safe_scores()
    return -tf.nn.log_softmax(scores) if problem.activation == "softmax" else -safe_log(scores)


def _smoothed_map(problem, label_smoothing):
    """Cross-entropy of every pixel, not reduced."""
    values, _ = _by_label(problem, lambda nll: nll)
    if label_smoothing:
        nll = problem.select(_nll(problem))
        if problem.class_weights is not None:
            nll = nll * tf.cast(problem.class_weights, nll.dtype)
        values = (1 - label_smoothing) * values
        values += label_smoothing / problem.num_classes * tf.reduce_sum(nll, axis=-1)
    return _pixel_map(problem, values)


def _pixel_mean(problem, values, counts):
    """The mean of `[b, *space]` values over what they count, reduced as the options say."""
    if problem.reduction == "none":
        return _pixel_map(problem, values)
    weights = problem.weights()
    if weights is not None:
        values, counts = values * weights[..., 0], counts * weights[..., 0]
    return _reduce_mean(problem, exact_sum(values[..., tf.newaxis])[:, 0], exact_sum(counts[..., tf.newaxis])[:, 0])


def _reduce_mean(problem, total, count):
    """`[b]` sums and what they count, to the loss; "sum" is the sum itself."""
    total, count = problem.over_groups(total), problem.over_groups(count)
    return reduce_groups(problem, total if problem.reduction == "sum" else ratio(total, count))


def _pixel_map(problem, values):
    """`[b, *space]`, not reduced: weighted, 0 where ignored."""
    weights = problem.weights()
    values = values if weights is None else values * weights[..., 0]
    if problem.image_weights is not None:
        values *= tf.reshape(tf.cast(problem.image_weights, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return problem.result(values)


def _element_map(problem, values):
    """`[b, *space, k]`, not reduced: weighted, 0 where ignored."""
    weights = problem.weights()
    if weights is not None:
        values = values * (weights if weights.shape[-1] == 1 else problem.select(weights))
    if problem.class_weights is not None:
        values = values * tf.cast(problem.class_weights, values.dtype)
    if problem.image_weights is not None:
        values *= tf.reshape(tf.cast(problem.image_weights, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return problem.result(values)


def _element_mean(problem, values):
    """`[b, *space, k]` values to the mean over space of each class, reduced as the options say."""
    if problem.reduction == "none":
        return _element_map(problem, values)
    if problem.reduction == "mean":
        return reduce_classes(problem, space_mean(problem, values))
    weights = problem.weights()
    if weights is not None:
        values = values * (weights if weights.shape[-1] == 1 else problem.select(weights))
    return reduce_classes(problem, problem.over_groups(exact_sum(values)))


def _classes_exclude(problem):
    if problem.activation == "sigmoid":
        raise ValueError(
            f"{problem.loss}: its classes exclude each other, which a sigmoid does not say. For channels of their own "
            "write binary_cross_entropy or focal_sigmoid; else activation='softmax'.\nReceived: activation='sigmoid'"
        )
    if problem.num_classes == 1:
        raise ValueError(
            f"{problem.loss}: one class excludes nothing. For a single channel write binary_cross_entropy or "
            f"focal_sigmoid.\nReceived: y_pred of shape {problem.scores.shape}"
        )


def _not_softmax(problem):
    if problem.activation == "softmax":
        raise ValueError(
            f"{problem.loss}: its classes do not exclude each other, and a softmax says that they do. Write "
            "activation='sigmoid', or take cross_entropy or focal_softmax.\nReceived: activation='softmax'"
        )
