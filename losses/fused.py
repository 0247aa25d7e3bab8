"""The region sums as one operation with a gradient of its own: light in memory and time.

Written out, softmax + Dice + cross-entropy keeps several tensors of the size of the logits for the gradient. Here the
forward pass keeps logits, labels and, for a softmax, the log-sum-exp of each pixel; the backward pass makes the
probabilities again and writes one tensor, the gradient. Class ids are never made one-hot.

For a softmax, with label `l` and weight `w` of a pixel, and `gX` the gradient of the loss by sum `X` of its image:

    dloss/dz_c = w * (p_c * (G_c - s + gnll_l + sum_j gnll_all_j) - gnll_all_c + [c=l] * (p_l * gproduct_l - gnll_l))
    G_c = gprediction_c + 2 * p_c * gprediction_squared_c,   s = sum_c(p_c * G_c) + p_l * gproduct_l

Both passes are compiled by XLA inside a normal graph where that pays (`worth_compiling`), else run as ordinary kernels.
Second derivatives go through `plain_sums`, at its cost. Sums by class id use a scatter, which on a GPU adds in no fixed
order: `fused=False` is the deterministic way.
"""

import functools
import logging
import math

import tensorflow as tf

from losses.sums import neutral, plain_sums, sum_names, sum_rows, to_rows

# Below this many logits in an image, a compilation (about a second for each new shape) does not pay.
WORTH_COMPILING = 2**18


def fused_sums(scores, labels, weights, *, activation, flags, is_ids) -> dict[str, tf.Tensor]:
    """`losses.sums.plain_sums`, the same arguments and sums, with a gradient that saves memory."""
    static = {"activation": activation, "flags": flags, "is_ids": is_ids}
    compiled = worth_compiling(scores)
    if activation == "softmax" and is_ids:
        forward, backward = _softmax_forward, _softmax_backward
    elif compiled:
        forward, backward = _recomputed_forward, _recomputed_backward
    else:
        return plain_sums(scores, labels, weights, **static)
    if compiled:
        forward, backward = _compiled(forward), _compiled(backward)
    names = sum_names(activation, flags)

    @tf.custom_gradient
    def operation(scores):
        *sums, saved = forward(scores, labels, weights, **static)

        def gradient(*upstream):
            @tf.custom_gradient
            def first(scores, *upstream):
                second = functools.partial(_second_derivative, scores, upstream, labels, weights, static)
                return backward(scores, labels, weights, saved, upstream, **static), second

            return first(scores, *upstream)

        return sums, gradient

    return dict(zip(names, operation(scores), strict=True))


def worth_compiling(scores: tf.Tensor) -> bool:
    """Whether XLA should compile the two passes.

    Not when eager (each call's shape would wait for its own compilation), not for sizes unknown while tracing, not for
    small images, and not where XLA does not work.
    """
    image = scores.shape[1:]
    if tf.executing_eagerly() or not image.is_fully_defined() or math.prod(image) < WORTH_COMPILING:
        return False
    return _xla_works()


@functools.cache
def _xla_works() -> bool:
    """Compiles a trifle; a build or a device without XLA is told in the log, once."""
    try:
        with tf.init_scope():
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0))
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        logging.getLogger(__name__).warning("losses: no XLA here, so they take more memory and time: %s", error)
        return False
    return True


@functools.cache
def _compiled(function):
    return tf.function(function, jit_compile=True)


def _softmax_forward(scores, ids, weights, *, activation, flags, is_ids):
    """The sums in the order of `sum_names`, and at last the log-sum-exp `[b, rows, row]`."""
    del activation, is_ids
    z, ids, weights = _rows(scores, ids, weights)
    classes = z.shape[-1]
    peak = tf.reduce_max(z, axis=-1, keepdims=True)
    lse = tf.squeeze(peak, -1) + tf.math.log(tf.reduce_sum(tf.exp(z - peak), axis=-1))
    weigh = (lambda x: x) if weights is None else (lambda x: x * weights)
    p = tf.exp(z - lse[..., tf.newaxis])
    nll = lse - tf.gather(z, ids, batch_dims=3)
    ones = tf.ones_like(nll) if weights is None else weights[..., 0]
    by_label = tf.stack([ones * tf.exp(-nll), ones * nll, ones], axis=-1)
    batch, rows = tf.shape(z)[0], tf.shape(z)[1]
    segment = (tf.range(batch * rows) * classes)[:, tf.newaxis] + tf.reshape(ids, [batch * rows, -1])
    scattered = tf.math.unsorted_segment_sum(
        tf.reshape(by_label, [-1, 3]), tf.reshape(segment, [-1]), batch * rows * classes
    )
    by_class = tf.reshape(sum_rows(tf.reshape(scattered, tf.stack([batch, rows, 3 * classes]))), [-1, classes, 3])
    product, nll_sum, target = tf.unstack(by_class, axis=-1)
    sums = [product, sum_rows(tf.reduce_sum(weigh(p), axis=2)), nll_sum]
    if flags.squared:
        sums += [sum_rows(tf.reduce_sum(weigh(p * p), axis=2)), target]
    if flags.distance:
        # abs(p - y) is p for another class and 1 - p for the label's.
        sums += [sums[1] - 2 * product + target]
    if flags.smoothing:
        sums += [sum_rows(tf.reduce_sum(weigh(lse[..., tf.newaxis] - z), axis=2))]
    pixels = tf.broadcast_to(tf.reduce_sum(target, axis=-1, keepdims=True), tf.shape(target))
    return (*sums, target, pixels, lse)


def _softmax_backward(scores, ids, weights, lse, upstream, *, activation, flags, is_ids):
    """The gradient by the scores, in their shape and type."""
    del is_ids
    z, ids, weights = _rows(scores, ids, weights)
    by_name = dict(zip(sum_names(activation, flags), (tf.cast(g, z.dtype) for g in upstream), strict=True))
    by_product, by_prediction = by_name["product"], by_name["prediction"]
    if flags.distance:
        by_product = by_product - 2 * by_name["distance"]
        by_prediction = by_prediction + by_name["distance"]
    pixel_shape = tf.shape(ids)

    def of_label(per_class):
        flat = tf.gather(per_class, tf.reshape(ids, [pixel_shape[0], -1]), batch_dims=1)
        return tf.reshape(flat, pixel_shape)

    def of_class(per_class):
        return per_class[:, tf.newaxis, tf.newaxis, :]

    by_product, by_nll = of_label(by_product), of_label(by_name["nll"])
    p_label = tf.exp(tf.gather(z, ids, batch_dims=3) - lse)
    p = tf.exp(z - lse[..., tf.newaxis])
    g = of_class(by_prediction)
    if flags.squared:
        g = g + 2 * p * of_class(by_name["prediction_squared"])
    pull = by_nll - tf.reduce_sum(p * g, axis=-1) - p_label * by_product
    if flags.smoothing:
        pull = pull + tf.reduce_sum(by_name["nll_all"], axis=-1)[:, tf.newaxis, tf.newaxis]
    at_label = tf.equal(ids[..., tf.newaxis], tf.range(z.shape[-1]))
    extra = (p_label * by_product - by_nll)[..., tf.newaxis]
    gradient = p * (g + pull[..., tf.newaxis]) + tf.where(at_label, extra, tf.zeros_like(extra))
    if flags.smoothing:
        gradient = gradient - of_class(by_name["nll_all"])
    if weights is not None:
        gradient = gradient * weights
    return _like_scores(gradient, scores)


def _rows(scores, ids, weights):
    """Logits `[b, rows, row, c]` in at least float32, ids `[b, rows, row]`, weights `[b, rows, row, 1]` or None."""
    dtype = tf.float64 if scores.dtype == tf.float64 else tf.float32
    z = to_rows(tf.cast(scores, dtype))
    ids = tf.squeeze(to_rows(ids[..., tf.newaxis]), -1)
    space = scores.shape[1:-1]
    padded = not space.is_fully_defined() or z.shape[1] * z.shape[2] != math.prod(space)
    if weights is None and padded:
        weights = tf.ones_like(scores[..., :1], dtype)
    if weights is not None:
        weights = to_rows(tf.cast(weights, dtype))
    return neutral(z, weights), ids, weights


def _like_scores(rows, scores):
    """`[b, rows, row, c]` back to the shape and type of the scores, without what was padded."""
    shape = tf.shape(scores)
    flat = tf.reshape(rows, tf.stack([shape[0], -1, scores.shape[-1]]))
    flat = flat[:, : tf.reduce_prod(shape[1:-1])]
    return tf.reshape(tf.cast(flat, scores.dtype), shape)


def _recomputed_forward(scores, labels, weights, *, activation, flags, is_ids):
    """The sums in the order of `sum_names`; nothing is saved."""
    sums = plain_sums(scores, labels, weights, activation=activation, flags=flags, is_ids=is_ids)
    return (*sums.values(), tf.zeros([]))


def _recomputed_backward(scores, labels, weights, _, upstream, **static):
    """The sums again, differentiated: XLA fuses it all and nothing of the size of the scores is kept."""
    with tf.GradientTape() as tape:
        tape.watch(scores)
        sums = plain_sums(scores, labels, weights, **static)
    return tape.gradient(list(sums.values()), scores, output_gradients=list(upstream))


def _second_derivative(scores, upstream, labels, weights, static, by_gradient):
    """Gradient of the gradient, by the scores and by each upstream gradient, through the sums written out."""
    with tf.GradientTape() as outer:
        outer.watch([scores, *upstream])
        gradient = _recomputed_backward(scores, labels, weights, None, upstream, **static)
    return outer.gradient(
        gradient, [scores, *upstream], output_gradients=by_gradient, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
