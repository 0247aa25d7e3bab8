"""Sums over space that do not drift, and the region sums written out in TensorFlow."""

from typing import NamedTuple

import tensorflow as tf

# Space is cut into rows of at most this many pixels.
ROW = 256

# Pairwise additions in the given type before float64 takes over: 8 pixels to one. float32 all the way was off by 1.2e-2
# at 192^3, and rows of 256 added one by one still by 5e-6 where an image is all alike; pairs of equals add exactly.
PAIRINGS = 3


class Flags(NamedTuple):
    """Which sums are wanted besides those every loss reads; see `losses.engine.statistics.image_sums`."""

    squared: bool = False
    distance: bool = False
    smoothing: bool = False
    logs: bool = False


def exact_sum(values: tf.Tensor) -> tf.Tensor:
    """`[b, *space, c]` summed over space: `[b, c]` float64, 8 pixels in the given type and then in float64."""
    return sum_rows(to_rows(values))


@tf.custom_gradient
def sum_rows(rows: tf.Tensor):
    """`[b, rows, row, c]` summed over rows and row: `[b, c]` float64."""
    shape, dtype = tf.shape(rows), rows.dtype
    for _ in range(PAIRINGS):
        half = (rows.shape[2] + 1) // 2
        second = rows[:, :, half:]
        if rows.shape[2] % 2:
            second = tf.pad(second, [[0, 0], [0, 0], [0, 1], [0, 0]])
        rows = rows[:, :, :half] + second

    def gradient(upstream):
        # A sum's gradient is the same for all its terms; left to itself, each slice above would fill a tensor with it.
        return tf.broadcast_to(tf.cast(upstream, dtype)[:, tf.newaxis, tf.newaxis, :], shape)

    return tf.reduce_sum(tf.cast(rows, tf.float64), axis=[1, 2]), gradient


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
    absent = activation != "softmax"
    names = ["product", "missed", "wrong"]
    names += ["nll"] + ["nll_absent"] * absent if flags.logs else []
    names += ["prediction_squared", "difference_squared", "target_squared"] if flags.squared else []
    names += ["distance"] if flags.distance else []
    names += ["nll_all"] + ["nll_absent_all"] * absent if flags.smoothing else []
    return [*names, "target", "pixels"]


def sum_terms(names, p, q, y, nll, nll_absent):
    """What each sum of these names adds up, `[b, *space, c]`, of p and q = 1 - p.

    The logarithms may be None where no name asks for them. Differences are made of q, so that none of them is what is
    left of two numbers near 1: of a good prediction the mistakes are all that counts.
    """
    terms = {
        "product": lambda: p * y,
        "missed": lambda: q * y,
        "wrong": lambda: p * (1 - y),
        "target": lambda: y,
        "pixels": lambda: tf.ones_like(y),
        "prediction_squared": lambda: p * p,
        "difference_squared": lambda: tf.square(p * (1 - y) - q * y),
        "target_squared": lambda: y * y,
        "distance": lambda: tf.abs(p * (1 - y) - q * y),
        "nll": lambda: y * nll,
        "nll_absent": lambda: (1 - y) * nll_absent,
        "nll_all": lambda: nll,
        "nll_absent_all": lambda: nll_absent,
    }
    return [terms[name]() for name in names]


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
    q = complement(p, scores, activation)
    names, nll, nll_absent = sum_names(activation, flags), None, None
    if flags.logs and activation == "softmax":
        nll = -tf.nn.log_softmax(scores)
    elif flags.logs and activation == "sigmoid":
        nll, nll_absent = tf.nn.softplus(-scores), tf.nn.softplus(scores)
    elif flags.logs:
        nll, nll_absent = -safe_log(p), -safe_log(q)
    *names, pixels = names
    terms = sum_terms(names, p, q, y, nll, nll_absent)
    if weights is not None:
        weights = tf.cast(weights, dtype)
        terms = [term * weights for term in terms]
    sums = {name: exact_sum(term) for name, term in zip(names, terms, strict=True)}
    counted = exact_sum(tf.ones_like(y[..., :1]) if weights is None else weights)
    return sums | {pixels: tf.broadcast_to(counted, tf.shape(sums["target"]))}


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


def complement(p: tf.Tensor, scores: tf.Tensor, activation: str | None) -> tf.Tensor:
    """1 - p with the digits that a subtraction from 1 would lose where p is near 1."""
    if activation == "sigmoid":
        return tf.sigmoid(-scores)
    if activation is None:
        return 1 - p
    # Above 1/2 there is one class only, and 1 - p is what the others have.
    others = tf.where(p > 0.5, tf.zeros_like(p), p)
    return tf.where(p > 0.5, tf.reduce_sum(others, axis=-1, keepdims=True), 1 - p)


def safe_log(p: tf.Tensor) -> tf.Tensor:
    """log(p) of given probabilities: finite at 0, and with a gradient there (a clip would have none)."""
    return tf.math.log(p + tf.stop_gradient(tf.maximum(p, log_floor(p.dtype)) - p))


def log_floor(dtype) -> tf.Tensor:
    """The least probability a logarithm is taken of."""
    return tf.constant(1e-15 if dtype == tf.float64 else 1e-7, dtype)
