"""The region sums as one operation with a gradient of its own: light in memory and time.

Written out, softmax + Dice + cross-entropy keeps several tensors of the size of the logits for the gradient. Here the
forward pass keeps logits, labels and, for a softmax of class ids, the log-sum-exp of each pixel; the backward pass
makes the probabilities again and writes one tensor, the gradient. `losses.engine.fused_softmax` has the
formulas for class ids, `losses.engine.fused_elements` all others.

Inside a normal graph XLA compiles the two passes where that pays (`worth_compiling`), and takes them block by block, so
that what is in between stays in the cache and is never as large as the logits. Elsewhere they are ordinary kernels, all
at once. Second derivatives go through `plain_sums`, at its cost. Sums by class id use a scatter, which on a GPU adds in
no fixed order: `fused=False` is the deterministic way.
"""

import functools
import logging
import math

import tensorflow as tf

from . import fused_elements, fused_softmax
from .sums import plain_sums, sum_names

# Below this many logits in an image, a compilation (about a second for each new shape) does not pay.
WORTH_COMPILING = 2**18


def fused_sums(scores, labels, weights, *, activation, flags, is_ids) -> dict[str, tf.Tensor]:
    """`losses.engine.sums.plain_sums`, the same arguments and sums, with a gradient that saves memory."""
    static = {"activation": activation, "flags": flags, "is_ids": is_ids}
    compiled = worth_compiling(scores)
    formulas = fused_softmax if activation == "softmax" and is_ids else fused_elements
    forward, backward = formulas.forward, formulas.backward
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

    Not in eager mode (each shape would wait for its own compilation), not for sizes unknown while tracing, not for
    small images, and not where XLA does not work.
    """
    image = scores.shape[1:]
    if tf.executing_eagerly() or not image.is_fully_defined() or math.prod(image) < WORTH_COMPILING:
        return False
    return _xla_works()


@functools.cache
def _xla_works() -> bool:
    """Whether XLA works here, found by compiling a trifle; logged once where it does not."""
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
