"""What the pixel losses share: a value for each pixel, by its label, and the means and maps made of them."""

import tensorflow as tf

from .averages import space_mean
from .reduction import ratio, reduce_classes, reduce_groups
from .statistics import exact_sum
from .sums import safe_log


def by_label(problem, function, factors=None):
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
        values = tf.reduce_sum(factors * y * function(log_losses(problem)), axis=-1)
        return values, tf.reduce_sum(counting * y, axis=-1)
    if problem.activation == "softmax":
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=problem.ids, logits=problem.safe_scores())
    else:
        rank = problem.ids.shape.rank
        nll = -safe_log(tf.gather(problem.safe_scores(), problem.ids, axis=rank, batch_dims=rank))
    return tf.gather(factors, problem.ids) * function(nll), tf.gather(counting, problem.ids)


def log_losses(problem):
    """`-log p` of every class, `[b, *space, c]`."""
    scores = problem.safe_scores()
    return -tf.nn.log_softmax(scores) if problem.activation == "softmax" else -safe_log(scores)


def pixel_mean(problem, values, counts):
    """The mean of `[b, *space]` values over what they count, reduced as the options say."""
    if problem.reduction == "none":
        return pixel_map(problem, values)
    weights = problem.weights()
    if weights is not None:
        values, counts = values * weights[..., 0], counts * weights[..., 0]
    return reduce_mean(problem, exact_sum(values[..., tf.newaxis])[:, 0], exact_sum(counts[..., tf.newaxis])[:, 0])


def reduce_mean(problem, total, count):
    """`[b]` sums and what they count, to the loss; "sum" is the sum itself."""
    total, count = problem.over_groups(total), problem.over_groups(count)
    return reduce_groups(problem, total if problem.reduction == "sum" else ratio(total, count))


def pixel_map(problem, values):
    """`[b, *space]`, not reduced: weighted, 0 where ignored."""
    weights = problem.weights()
    values = values if weights is None else values * weights[..., 0]
    if problem.image_weights is not None:
        values *= tf.reshape(tf.cast(problem.image_weights, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return problem.result(values)


def element_mean(problem, values):
    """`[b, *space, k]` values to the mean over space of each class, reduced as the options say."""
    if problem.reduction == "none":
        return element_map(problem, values)
    if problem.reduction == "mean":
        return reduce_classes(problem, space_mean(problem, values))
    weights = problem.weights()
    if weights is not None:
        values = values * (weights if weights.shape[-1] == 1 else problem.select(weights))
    return reduce_classes(problem, problem.over_groups(exact_sum(values)))


def element_map(problem, values):
    """`[b, *space, k]`, not reduced: weighted, 0 where ignored."""
    weights = problem.weights()
    if weights is not None:
        values = values * (weights if weights.shape[-1] == 1 else problem.select(weights))
    if problem.class_weights is not None:
        values = values * tf.cast(problem.class_weights, values.dtype)
    if problem.image_weights is not None:
        values *= tf.reshape(tf.cast(problem.image_weights, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return problem.result(values)


def classes_exclude(problem):
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


def not_softmax(problem):
    if problem.activation == "softmax":
        raise ValueError(
            f"{problem.loss}: its classes do not exclude each other, and a softmax says that they do. Write "
            "activation='sigmoid', or take cross_entropy or focal_softmax.\nReceived: activation='softmax'"
        )
