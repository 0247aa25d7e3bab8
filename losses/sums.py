"""Sums over space that do not drift, and the region sums written out in TensorFlow."""

from typing import NamedTuple

import tensorflow as tf

# Space is cut into rows of at most this many pixels.
ROW = 256

# Pairwise additions in the given type before float64 takes over: 8 pixels to one. float32 all the way was off by 1.2e-2
# at 192^3, and rows of 256 added one by one still by 5e-6 where an image is all alike; pairs of equals add exactly.
PAIRINGS = 3


class Flags(NamedTuple):
    """Which sums are wanted besides those every loss reads; see `losses.statistics.image_sums`."""

    squared: bool = False
    distance: bool = False
    smoothing: bool = False


def exact_sum(values: tf.Tensor) -> tf.Tensor:
    """`[b, *space, c]` summed over space: `[b, c]` float64, 8 pixels in the given type and then in float64."""
    return sum_rows(to_rows(values))


def sum_rows(rows: tf.Tensor) -> tf.Tensor:
    """`[b, rows, row, c]` summed over rows and row: `[b, c]` float64."""
    for _ in range(PAIRINGS):
        half = (rows.shape[2] + 1) // 2
        second = rows[:, :, half:]
        if rows.shape[2] % 2:
            second = tf.pad(second, [[0, 0], [0, 0], [0, 1], [0, 0]])
        rows = rows[:, :, :half] + second
    return tf.reduce_sum(tf.cast(rows, tf.float64), axis=[1, 2])


def to_rows(values: tf.Tensor, pad_with=0) -> tf.Tensor:
    """`[b, *space, c]` as `[b, rows, row, c]`; padded only where space has no fitting divisor or an unknown size."""
    shape = values.shape.as_list()
    batch = tf.shape(values)[0] if shape[0] is None else shape[0]
    if None in shape[1:-1]:
        row = None
        values = tf.reshape(values, tf.stack([batch, -1, shape[-1]]))
        missing = -tf.shape(values)[1] % ROW
    else:
        pixels = 1
        for size in shape[1:-1]:
            pixels *= size
        row = _row_length(pixels)
        missing = 0 if row else -pixels % ROW
        values = tf.reshape(values, [batch, pixels, shape[-1]])
    if row is None:
        values = tf.pad(values, [[0, 0], [0, missing], [0, 0]], constant_values=tf.cast(pad_with, values.dtype))
        row = ROW
    rows = -1 if shape[0] is not None else tf.shape(values)[1] // row
    return tf.reshape(values, [batch, rows, row, shape[-1]])


def _row_length(pixels: int) -> int | None:
    """The largest divisor up to ROW, so that nothing has to be padded; None if that is too short to be worth it."""
    if pixels <= ROW:
        return max(pixels, 1)
    best = max(divisor for divisor in range(1, ROW + 1) if pixels % divisor == 0)
    return best if best >= 32 else None


def sum_names(activation: str | None, flags: Flags) -> list[str]:
    """The sums `plain_sums` returns, in order; the gradient passes through all but target, target_squared, pixels."""
    names = ["product", "prediction", "nll"]
    names += ["nll_absent"] if activation != "softmax" else []
    names += ["prediction_squared", "target_squared"] if flags.squared else []
    names += ["distance"] if flags.distance else []
    names += ["nll_all"] if flags.smoothing else []
    names += ["nll_absent_all"] if flags.smoothing and activation != "softmax" else []
    return [*names, "target", "pixels"]


def plain_sums(scores, labels, weights, *, activation, flags: Flags, is_ids: bool) -> dict[str, tf.Tensor]:
    """The sums, written out: deterministic, and differentiable as often as one likes.

    Args:
        scores: `[b, *space, c]`, any float type.
        labels: ids `[b, *space]` int32 if `is_ids`, else `[b, *space, c]`, any type.
        weights: `[b, *space, 1 or c]`, or None for 1 everywhere. Scores of weight 0 are never looked at.

    Returns:
        `[b, c]` float64 by name, as `sum_names` lists them.
    """
    dtype = tf.float64 if scores.dtype == tf.float64 else tf.float32
    scores = neutral(tf.cast(scores, dtype), weights)
    y = tf.one_hot(labels, scores.shape[-1], dtype=dtype) if is_ids else tf.cast(labels, dtype)
    p = activate(scores, activation)
    terms = {"product": p * y, "prediction": p, "target": y, "pixels": tf.ones_like(y)}
    if flags.squared:
        terms |= {"prediction_squared": p * p, "target_squared": y * y}
    if flags.distance:
        terms["distance"] = tf.abs(p - y)
    if activation == "softmax":
        nll, nll_absent = -tf.nn.log_softmax(scores), None
    elif activation == "sigmoid":
        nll, nll_absent = tf.nn.softplus(-scores), tf.nn.softplus(scores)
    else:
        nll, nll_absent = -safe_log(p), -safe_log(1 - p)
    terms |= {"nll": y * nll, "nll_all": nll}
    if nll_absent is not None:
        terms |= {"nll_absent": (1 - y) * nll_absent, "nll_absent_all": nll_absent}
    weigh = (lambda x: x) if weights is None else (lambda x: x * tf.cast(weights, dtype))
    return {name: exact_sum(weigh(terms[name])) for name in sum_names(activation, flags)}


def neutral(scores: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """The scores, 0 where they weigh nothing: a NaN there reaches neither value nor gradient."""
    if weights is None:
        return scores
    return tf.where(tf.cast(weights, tf.bool), scores, tf.zeros([], scores.dtype))


def activate(scores: tf.Tensor, activation: str | None) -> tf.Tensor:
    """Probabilities of scores."""
    if activation == "softmax":
        return tf.nn.softmax(scores)
    return tf.sigmoid(scores) if activation == "sigmoid" else scores


def safe_log(p: tf.Tensor) -> tf.Tensor:
    """log(p) of given probabilities: finite at 0, and with a gradient there (a clip would have none)."""
    floor = tf.constant(1e-15 if p.dtype == tf.float64 else 1e-7, p.dtype)
    return tf.math.log(p + tf.stop_gradient(tf.maximum(p, floor) - p))
