"""Lovász losses: the convex closure of the Jaccard index, over errors sorted from the largest to the smallest.

Berman, Triki and Blaschko 2018, "The Lovász-softmax loss". For one class, errors `m` sorted in descending order and
labels `g` in the same order, the loss is `sum_i m_i * d_i` where `d_i = J_i - J_(i-1)` (their equation 9) and

    J_i = 1 - (G - g_1 - … - g_i) / (G + (1-g_1) + … + (1-g_i)),   G = sum(g).

The differences are formed here from counts, `1/U_i` for a pixel of the class and `I_i / (U_i (U_i - 1))` for another
(`I` what is left of the class, `U` the union), not by subtracting neighbours: in float32 that would leave noise of the
size of the differences themselves in a large image. Pixels that are ignored sort last and count nowhere.
"""

import tensorflow as tf

from .engine.checks import ValueChecks
from .engine.definition import loss
from .engine.options import choose
from .engine.problem import Problem
from .engine.reduction import reduce_classes
from .engine.statistics import exact_sum

ABSENT = ("skip", "count", "zero")
REFUSES = {"pixel_weights": "the place in a ranking has no weight (mask is honoured)"}


@loss(refuses=REFUSES)
def lovasz_softmax(problem, *, absent="skip"):
    """Lovász-softmax loss: errors are `abs(y_c - p_c)` of each class, one ranking a class.

    Source: Berman, Triki and Blaschko 2018.

    Soft labels raise: a ranking knows hits and misses only. over="image" ranks each image by itself, over="batch" the
    pixels of this replica's whole batch; that is no function of sums over replicas, so it raises with an `all_reduce`.

    Args:
        absent: a class without a pixel "skip"s the mean (the paper's `classes='present'`), "count"s in it (`'all'`: its
            loss is then the largest probability), or counts as "zero".

    Returns:
        Scalar; `[batch, classes]` (over="image") or `[classes]` with reduction="none".

    smp's LovaszLoss ranks the whole batch unless `per_image=True`; its value is a Python int without gradient when no
    class is present, ours a connected zero.
    """
    choose(problem, absent=(absent, ABSENT))
    truth, poison = _truth(problem)
    errors = tf.abs(tf.cast(truth, problem.dtype) - problem.probabilities())
    return _ranked_loss(problem, errors, truth, absent, poison)


@loss(refuses=REFUSES, activation="sigmoid")
def lovasz_hinge(problem, *, absent="count", joint=False):
    """Lovász hinge loss for one channel of logits, or for each channel of a multi-label prediction.

    Source: Berman, Triki and Blaschko 2018.

    Errors are `max(0, 1 - z * (2y - 1))`, with `z` the logit itself: the loss is piecewise linear in the logits.

    No sigmoid is applied; `activation` can only say that y_pred are logits, and probabilities raise. Ids rank each
    class against the rest. Limits as for `lovasz_softmax`.

    Args:
        absent: what an empty mask does: "count" (its loss is the largest hinge error), "skip" or "zero".
        joint: True puts all channels into one ranking, as smp does in its multilabel mode.

    Returns:
        Scalar; `[batch, channels]` (over="image") or `[channels]` with reduction="none", one channel if `joint`.

    smp's LovaszLoss ranks the whole batch unless `per_image=True`.
    """
    choose(problem, absent=(absent, ABSENT))
    if problem.activation != "sigmoid":
        raise ValueError(
            "lovasz_hinge: the hinge is measured on the logits of each channel by itself. For probabilities or a "
            f"softmax use lovasz_softmax(…, activation={problem.activation!r}).\n"
            f"Received: activation={problem.activation!r}"
        )
    truth, poison = _truth(problem)
    signs = 2 * tf.cast(truth, problem.dtype) - 1
    errors = tf.nn.relu(1 - problem.safe_scores() * signs)
    if joint and problem.class_weights is not None:
        raise ValueError(
            "lovasz_hinge: joint=True ranks all channels together, so class_weights have nothing to weigh."
        )
    return _ranked_loss(problem, errors, truth, absent, poison, joint)


def _truth(problem: Problem):
    """Labels as bool `[b, *space, c]`, and the factor that is NaN under XLA if some were soft."""
    if problem.all_reduce is not None and problem.over == "batch":
        raise ValueError(
            f"{problem.loss}: over='batch' would have to rank the pixels of all replicas together, no function "
            "of sums over each; write over='image', which means the same on any number of replicas.\n"
            "Received: over='batch' together with all_reduce"
        )
    if problem.ids is not None:
        return problem.targets() > 0.5, None
    checks = ValueChecks(problem.loss)
    labels = tf.cast(problem.dense, problem.dtype)
    checks.require(
        tf.reduce_all(tf.equal(labels, 0) | tf.equal(labels, 1)),
        "labels must be 0 or 1: a ranking of hits and misses has no place for soft labels. Threshold them "
        "(y_true > 0.5), or use a loss that takes them, such as dice(…, soft_label=True).",
        strictly_between=tf.math.count_nonzero((labels > 0) & (labels < 1)),
    )
    return checks.after(labels) > 0.5, checks.factor(problem.dtype)


def _ranked_loss(problem: Problem, errors, truth, absent, poison, joint=False):
    valid = tf.ones_like(truth) if problem.valid is None else tf.broadcast_to(problem.valid, tf.shape(truth))
    errors, truth, valid = (_rows(problem, values, joint) for values in (errors, truth, valid))
    values, present = _ranked_sums(errors, truth & valid, valid)
    if poison is not None:
        values = values * tf.cast(poison, values.dtype)
    if absent == "zero":
        values = tf.where(present, values, tf.zeros_like(values))
    return reduce_classes(problem, values, present if absent == "skip" else None)


def _rows(problem: Problem, values, joint):
    """`[b, *space, c]` to `[groups, k, pixels]`: what is ranked together lies along the last axis."""
    values = problem.select(values)
    classes, batch = values.shape[-1], values.shape[0] or tf.shape(values)[0]
    if joint:
        values, classes = values[..., tf.newaxis], 1
    groups = 1 if problem.over == "batch" else batch
    return tf.transpose(tf.reshape(values, [groups, -1, classes]), [0, 2, 1])


def _ranked_sums(errors, truth, valid):
    """The Lovász extension of each row, float64 `[groups, k]`, and whether the row has a pixel of its class."""
    # An error is never negative, so -1 puts what is ignored behind everything that counts.
    order = tf.argsort(
        tf.stop_gradient(tf.where(valid, errors, -tf.ones_like(errors))), direction="DESCENDING", stable=True
    )
    truth = tf.gather(tf.cast(truth, tf.int32), order, batch_dims=2)
    total = tf.reduce_sum(truth, axis=-1, keepdims=True)
    found = tf.cumsum(truth, axis=-1)
    rank = tf.range(1, tf.shape(truth)[-1] + 1)
    left = tf.cast(total - found, errors.dtype)
    union = tf.cast(total + rank - found, errors.dtype)
    miss = left / (union * tf.maximum(union - 1, 1))
    step = tf.where(truth > 0, 1 / union, miss)
    # Without a pixel of the class the Jaccard loss jumps from 0 to 1 at the first error and stays there.
    step = tf.where(total > 0, step, tf.cast(tf.equal(rank, 1), errors.dtype))
    errors = tf.where(valid, errors, tf.zeros_like(errors))
    terms = tf.gather(errors, order, batch_dims=2) * tf.stop_gradient(step)
    groups, classes = tf.shape(terms)[0], terms.shape[1]
    sums = tf.reshape(exact_sum(tf.reshape(terms, [groups * classes, -1, 1])), [-1, classes])
    return sums, total[..., 0] > 0
