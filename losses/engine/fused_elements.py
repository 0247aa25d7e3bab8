"""The region sums of a sigmoid, of given probabilities, and of a softmax against dense labels, element by element.

With `y` the label of an element, `w` its weight, and `gX` the gradient of the loss by sum `X` of its image and class:

    G = y * (gproduct - gmissed) + (1-y) * gwrong + 2 * p * gprediction_squared + 2 * (p-y) * gdifference_squared
        + sign(p-y) * gdistance
    A = y * gnll + gnll_all,   B = (1 - y) * gnll_absent + gnll_absent_all

    sigmoid:        dloss/dz = w * (p * (1-p) * G - (1-p) * A + p * B)
    probabilities:  dloss/dp = w * (G - A / p + B / (1-p)),  the divisors bounded as in `safe_log`
    softmax:        dloss/dz_c = w * (p_c * (G_c - sum_j(p_j * G_j) + sum_j(A_j)) - A_c)
"""

import tensorflow as tf

from .blocks import Rows, map_blocks
from .sums import complement, log_floor, safe_log, sum_names, sum_rows, sum_terms


def forward(scores, labels, weights, *, activation, flags, is_ids, in_blocks):
    """The sums in the order of `sum_names`, and nothing saved."""
    names = sum_names(activation, flags)

    def block(z, labels, weights):
        y, (p, q, logs) = _targets(labels, z, is_ids), _probabilities(z, activation, flags.logs)
        terms = sum_terms(names, p, q, y, *logs)
        return tuple(sum_rows(t if weights is None else t * weights) for t in terms)

    rows = Rows(scores, labels, weights, in_blocks)
    return (*map_blocks(block, rows, sums=len(names)), tf.zeros([]))


def backward(scores, labels, weights, saved, upstream, *, activation, flags, is_ids, in_blocks):
    """The gradient by the scores, in their shape and type."""
    del saved
    rows = Rows(scores, labels, weights, in_blocks)
    names = [n for n in sum_names(activation, flags) if n not in ("target", "target_squared", "pixels")]
    by_name = dict(zip(sum_names(activation, flags), upstream, strict=True))

    def block(z, labels, weights, *by_sums):
        by = {name: b[:, tf.newaxis, tf.newaxis, :] for name, b in zip(names, by_sums, strict=True)}
        y, (p, q, _) = _targets(labels, z, is_ids), _probabilities(z, activation, False)
        g = y * (by["product"] - by["missed"]) + (1 - y) * by["wrong"]
        if flags.squared or flags.distance:
            difference = p * (1 - y) - q * y
        if flags.squared:
            g += 2 * p * by["prediction_squared"] + 2 * difference * by["difference_squared"]
        if flags.distance:
            g += tf.sign(difference) * by["distance"]
        pull, push = _of_logs(y, by, flags)
        if activation == "softmax":
            g -= tf.reduce_sum(p * g, axis=-1, keepdims=True)
            gradient = p * (g + tf.reduce_sum(pull, axis=-1, keepdims=True)) - pull if flags.logs else p * g
        elif activation == "sigmoid":
            gradient = p * q * g + (p * push - q * pull if flags.logs else 0)
        else:
            floor = log_floor(p.dtype)
            logs = push / tf.maximum(q, floor) - pull / tf.maximum(p, floor) if flags.logs else 0
            gradient = g + logs
        return (gradient if weights is None else gradient * weights,)

    per_image = [tf.cast(by_name[name], rows.dtype) for name in names]
    (gradient,) = map_blocks(block, rows, per_image=per_image, gradients=1)
    return rows.like_scores(gradient)


def _targets(labels, z, is_ids):
    """`[g, r, row, c]` in the type of the scores."""
    return tf.cast(tf.equal(labels[..., tf.newaxis], tf.range(z.shape[-1])) if is_ids else labels, z.dtype)


def _probabilities(z, activation, with_logs):
    """`p`, `1 - p` without loss of digits, and `(-log p, -log(1-p))`, each None if not wanted or not defined."""
    if activation == "softmax":
        peak = tf.reduce_max(z, axis=-1, keepdims=True)
        exponential = tf.exp(z - peak)
        total = tf.reduce_sum(exponential, axis=-1, keepdims=True)
        p = exponential * (1 / total)
        q = complement(p, z, activation)
        if not with_logs:
            return p, q, (None, None)
        return p, q, (tf.where(p > 0.5, -tf.math.log1p(-q), peak + tf.math.log(total) - z), None)
    if activation == "sigmoid":
        # One exponential for all: that of the side where it is below 1.
        small = tf.exp(-tf.abs(z))
        larger = 1 / (1 + small)
        p, q = tf.where(z >= 0, larger, small * larger), tf.where(z >= 0, small * larger, larger)
        if not with_logs:
            return p, q, (None, None)
        rest = tf.math.log1p(small)
        return p, q, (tf.nn.relu(-z) + rest, tf.nn.relu(z) + rest)
    return z, 1 - z, (-safe_log(z), -safe_log(1 - z)) if with_logs else (None, None)


def _of_logs(y, by, flags):
    """A and B of the formulas, B None for a softmax; both None where no sum of logarithms is wanted."""
    if not flags.logs:
        return None, None
    pull = y * by["nll"] + (by["nll_all"] if flags.smoothing else 0)
    if "nll_absent" not in by:
        return pull, None
    return pull, (1 - y) * by["nll_absent"] + (by["nll_absent_all"] if flags.smoothing else 0)
