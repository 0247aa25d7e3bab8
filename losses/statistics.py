"""The sums every region loss is made of, per image and class, exact and in one pass.

For probabilities `p`, labels `y` and weights `w` (pixel weights, 0 where ignored), summed over the space of one image:

    product = sum(w*p*y)   prediction = sum(w*p)   target = sum(w*y)   pixels = sum(w)
    nll = sum(w*y*-log p)                                (softmax, or given probabilities)
    nll = sum(w*y*-log p), nll_absent = sum(w*(1-y)*-log(1-p))   (sigmoid)

Everything after these is arithmetic on a few `[batch, classes]` float64 numbers with ordinary autodiff.
"""

import dataclasses

import tensorflow as tf

from losses.problem import Problem

# Rows of this many pixels are summed in float32 and the rows in float64: float32 all the way is off by 1e-2 at 192^3.
ROW = 256


@dataclasses.dataclass(frozen=True)
class RegionSums:
    """Sums over what the loss sums over. Shapes `[groups, k]`, float64; groups = images, or 1 for over="batch".

    intersection: sum(p*y), or (P+Y-sum(abs(p-y)))/2 for soft labels.   prediction: sum(p), or sum(p^2) if squared.
    target: sum(y), or sum(y^2).   pixels: sum(w), how much could be counted.
    """

    intersection: tf.Tensor
    prediction: tf.Tensor
    target: tf.Tensor
    pixels: tf.Tensor


def region_sums(problem: Problem, *, squared: bool = False, soft_label: bool = False) -> RegionSums:
    """Sums over each image, or over the (global) batch, for the classes that count."""
    raw = image_sums(problem, squared=squared, distance=soft_label and not squared)
    if squared:
        prediction, target, intersection = raw["prediction_squared"], raw["target_squared"], raw["product"]
    else:
        prediction, target, intersection = raw["prediction"], raw["target"], raw["product"]
        if soft_label:
            intersection = (prediction + target - raw["distance"]) / 2
    return RegionSums(*(group_sum(problem, x) for x in (intersection, prediction, target, raw["pixels"])))


def group_sum(problem: Problem, per_image: tf.Tensor) -> tf.Tensor:
    """`[b, c]` sums to `[groups, k]`: each image its own group, or one group of the whole (global) batch."""
    per_image = problem.select(per_image)
    if problem.over == "image":
        return per_image
    if problem.image_weights is not None:
        per_image = per_image * problem.image_weights[:, tf.newaxis]
    return problem.over_replicas(tf.reduce_sum(per_image, axis=0, keepdims=True))


def image_sums(problem: Problem, *, squared=False, distance=False, smoothing=False) -> dict[str, tf.Tensor]:
    """Named sums `[b, c]` in float64 over the space of each image, for all classes.

    Always product, prediction, target, pixels, nll (and nll_absent for a sigmoid); besides, as asked for:
    prediction_squared and target_squared; distance = sum(w*abs(p-y)); nll_all = sum(w*-log p) for label smoothing.
    """
    key = (squared, distance, smoothing)
    for known, sums in problem.memo.items():
        if all(k or not wanted for k, wanted in zip(known, key, strict=True)):
            return sums
    sums = _plain_sums(problem, *key)
    problem.memo[key] = sums
    return sums


def exact_sum(values: tf.Tensor) -> tf.Tensor:
    """`[b, *space, c]` summed over space: `[b, c]` float64, short rows in the given type and then in float64."""
    shape = values.shape.as_list()
    batch = tf.shape(values)[0] if shape[0] is None else shape[0]
    flat = tf.reshape(values, [batch, -1, shape[-1]])
    pixels = flat.shape[1] if flat.shape[1] is not None else tf.shape(flat)[1]
    row = _row_length(pixels) if isinstance(pixels, int) else None
    if row is None:
        flat = tf.pad(flat, [[0, 0], [0, -pixels % ROW], [0, 0]])
        row = ROW
    rows = tf.reshape(flat, [batch, -1, row, shape[-1]])
    return tf.reduce_sum(tf.cast(tf.reduce_sum(rows, axis=2), tf.float64), axis=1)


def _row_length(pixels: int) -> int | None:
    """The largest divisor up to ROW, so that nothing has to be padded; None if all are too small to be worth it."""
    if pixels <= ROW:
        return max(pixels, 1)
    best = max(d for d in range(1, ROW + 1) if pixels % d == 0)
    return best if best >= 16 else None


def _plain_sums(problem: Problem, squared, distance, smoothing) -> dict[str, tf.Tensor]:
    """The sums written out in TensorFlow, differentiable as often as one likes."""
    scores, weights, y = problem.safe_scores(), problem.weights(), problem.targets()
    weigh = (lambda x: x) if weights is None else (lambda x: x * weights)
    p = problem.probabilities()
    sums = {"product": p * y, "prediction": p, "target": y, "pixels": tf.ones_like(y)}
    sums["target"] = y
    if squared:
        sums |= {"prediction_squared": p * p, "target_squared": y * y}
    if distance:
        sums["distance"] = tf.abs(p - y)
    if problem.activation == "sigmoid":
        sums |= {"nll": y * tf.nn.softplus(-scores), "nll_absent": (1 - y) * tf.nn.softplus(scores)}
    else:
        log_p = tf.nn.log_softmax(scores) if problem.activation == "softmax" else safe_log(p)
        sums["nll"] = -y * log_p
        if smoothing:
            sums["nll_all"] = -log_p
    return {name: exact_sum(weigh(value)) for name, value in sums.items()}


def safe_log(p: tf.Tensor) -> tf.Tensor:
    """log(p) for given probabilities: finite at 0, and with a gradient there (a clip would have none)."""
    floor = tf.constant(1e-15 if p.dtype == tf.float64 else 1e-7, p.dtype)
    return tf.math.log(p + tf.stop_gradient(tf.maximum(p, floor) - p))
