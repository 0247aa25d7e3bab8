"""The region sums as one operation with a gradient of its own: light in memory and time.

Written out, softmax + Dice + cross-entropy keeps several tensors of the size of the logits for the gradient. Here the
forward pass keeps logits, labels and, for a softmax, the log-sum-exp of each pixel; the backward pass makes the
probabilities again and writes one tensor, the gradient. Class ids are never made one-hot.

For a softmax, with label `l` and weight `w` of a pixel, and `gX` the gradient of the loss by sum `X` of its image:

    dloss/dz_c = w * (p_c * (G_c - s + gnll_l + sum_j gnll_all_j) - gnll_all_c + [c=l] * (p_l * gproduct_l - gnll_l))
    G_c = gprediction_c + 2 * p_c * gprediction_squared_c,   s = sum_c(p_c * G_c) + p_l * gproduct_l

Other forms (dense labels, a sigmoid, given probabilities) repeat `plain_sums` in the backward pass and derive it.

Inside a normal graph XLA compiles the two passes where that pays (`worth_compiling`), and takes them block by block, so
that what is in between stays in the cache and is never as large as the logits. Elsewhere they are ordinary kernels, all
at once. Second derivatives go through `plain_sums`, at its cost. Sums by class id use a scatter, which on a GPU adds in
no fixed order: `fused=False` is the deterministic way.
"""

import functools
import logging
import math

import tensorflow as tf

from losses.blocks import Rows, map_blocks, score_of_label
from losses.sums import plain_sums, sum_names, sum_rows

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
    static_and_blocks = static | {"in_blocks": compiled}

    @tf.custom_gradient
    def operation(scores):
        *sums, saved = forward(scores, labels, weights, **static_and_blocks)

        def gradient(*upstream):
            @tf.custom_gradient
            def first(scores, *upstream):
                second = functools.partial(_second_derivative, scores, upstream, labels, weights, static)
                return backward(scores, labels, weights, saved, upstream, **static_and_blocks), second

            return first(scores, *upstream)

        return sums, gradient

    return dict(zip(sum_names(activation, flags), operation(scores), strict=True))


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
    return tf.function(function, jit_compile=True, autograph=False)


def _softmax_forward(scores, ids, weights, *, activation, flags, is_ids, in_blocks):
    """The sums in the order of `sum_names`, and at last the log-sum-exp `[b, rows, row]`."""
    del activation, is_ids
    rows = Rows(scores, ids, weights, in_blocks)

    def block(z, ids, weights):
        weigh = (lambda x: x) if weights is None else (lambda x: x * weights)
        peak = tf.reduce_max(z, axis=-1, keepdims=True)
        exponential = tf.exp(z - peak)
        total = tf.reduce_sum(exponential, axis=-1, keepdims=True)
        lse = peak + tf.math.log(total)
        p = exponential * (1 / total)
        sums = [sum_rows(weigh(p))]
        if flags.squared:
            sums += [sum_rows(weigh(p * p))]
        if flags.smoothing:
            sums += [sum_rows(weigh(lse - z))]
        lse = tf.squeeze(lse, -1)
        return lse, *_sums_by_label(lse - score_of_label(z, ids), ids, weights, z.shape[-1]), *sums

    values = map_blocks(block, rows, pixel_maps=1, sums=4 + flags.squared + flags.smoothing)
    lse, product, nll, target, prediction, *others = values
    sums = [product, prediction, nll]
    if flags.squared:
        sums += [others.pop(0), target]
    if flags.distance:
        # abs(p - y) is p for another class and 1 - p for the label's.
        sums += [prediction - 2 * product + target]
    if flags.smoothing:
        sums += others
    pixels = tf.broadcast_to(tf.reduce_sum(target, axis=-1, keepdims=True), tf.shape(target))
    return (*sums, target, pixels, lse)


def _sums_by_label(nll, ids, weights, classes):
    """sum(w*p), sum(w*nll) and sum(w) over the pixels `[b, r, row]` of each id, p = exp(-nll): `[b, c]` float64."""
    ones = tf.ones_like(nll) if weights is None else weights[..., 0]
    values = tf.stack([ones * tf.exp(-nll), ones * nll, ones], axis=-1)
    images = tf.shape(ids)[0]
    segment = (tf.range(images) * classes)[:, tf.newaxis] + tf.reshape(ids, tf.stack([images, -1]))
    values = tf.cast(tf.reshape(values, [-1, 3]), tf.float64)
    summed = tf.math.unsorted_segment_sum(values, tf.reshape(segment, [-1]), images * classes)
    return tf.unstack(tf.reshape(summed, [-1, classes, 3]), axis=-1)


def _softmax_backward(scores, ids, weights, lse, upstream, *, activation, flags, is_ids, in_blocks):
    """The gradient by the scores, in their shape and type."""
    del is_ids
    rows = Rows(scores, ids, weights, in_blocks)
    by_name = dict(zip(sum_names(activation, flags), (tf.cast(g, rows.dtype) for g in upstream), strict=True))
    by_product, by_prediction, by_nll = by_name["product"], by_name["prediction"], by_name["nll"]
    if flags.distance:
        by_product -= 2 * by_name["distance"]
        by_prediction += by_name["distance"]
    per_image = [by_product, by_prediction, by_nll]
    per_image += [by_name["prediction_squared"]] if flags.squared else []
    per_image += [by_name["nll_all"]] if flags.smoothing else []

    def block(z, ids, weights, lse, by_product, by_prediction, by_nll, *others):
        def of_class(per_class):
            return per_class[:, tf.newaxis, tf.newaxis, :]

        def of_label(per_class):
            flat = tf.gather(per_class, tf.reshape(ids, tf.stack([tf.shape(ids)[0], -1])), batch_dims=1)
            return tf.reshape(flat, tf.shape(ids))[..., tf.newaxis]

        p = tf.exp(z - lse[..., tf.newaxis])
        g = of_class(by_prediction)
        if flags.squared:
            g = g + 2 * p * of_class(others[0])
        at_label = tf.equal(ids[..., tf.newaxis], tf.range(z.shape[-1]))
        by_label = of_class(by_product)
        g = g + tf.where(at_label, by_label, tf.zeros_like(by_label))
        pull = of_label(by_nll)
        own = tf.where(at_label, pull, tf.zeros_like(pull))
        if flags.smoothing:
            pull = pull + tf.reduce_sum(others[-1], axis=-1)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            own = own + of_class(others[-1])
        gradient = p * (g + (pull - tf.reduce_sum(p * g, axis=-1, keepdims=True))) - own
        return (gradient if weights is None else gradient * weights,)

    (gradient,) = map_blocks(block, rows, pixel_inputs=[lse], per_image=per_image, gradients=1)
    return rows.like_scores(gradient)


def _recomputed_forward(scores, labels, weights, *, activation, flags, is_ids, in_blocks):
    """The sums in the order of `sum_names`, and nothing saved."""
    static = {"activation": activation, "flags": flags, "is_ids": is_ids}
    rows = Rows(scores, labels, weights, in_blocks)

    def block(z, labels, weights):
        return tuple(plain_sums(z, labels, weights, **static).values())

    return (*map_blocks(block, rows, sums=len(sum_names(activation, flags))), tf.zeros([]))


def _recomputed_backward(scores, labels, weights, _, upstream, *, in_blocks=False, **static):
    """The sums again, differentiated."""
    rows = Rows(scores, labels, weights, in_blocks)

    def block(z, labels, weights, *upstream):
        with tf.GradientTape() as tape:
            tape.watch(z)
            sums = plain_sums(z, labels, weights, **static)
        return (tape.gradient(list(sums.values()), z, output_gradients=list(upstream)),)

    (gradient,) = map_blocks(block, rows, per_image=list(upstream), gradients=1)
    return rows.like_scores(gradient)


def _second_derivative(scores, upstream, labels, weights, static, by_gradient):
    """Gradient of the gradient, by the scores and by each upstream gradient, through the sums written out."""
    sources = [scores, *upstream]
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(scores)
            sums = list(plain_sums(scores, labels, weights, **static).values())
        gradient = inner.gradient(sums, scores, output_gradients=list(upstream))
    zero = tf.UnconnectedGradients.ZERO
    return outer.gradient(gradient, sources, output_gradients=by_gradient, unconnected_gradients=zero)
