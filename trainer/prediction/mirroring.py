"""Test-time mirroring: a model sees its input mirrored along every combination of axes, and its outputs are averaged.

nnU-Net does it by default (Isensee et al. 2021, Nature Methods 18, 203), MONAI as TestTimeAugmentation.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence

import tensorflow as tf


def mirrored(apply: Callable, *, sigmoid: bool, axes: Sequence[int] = (1, 2), keys: Collection[str] = ()) -> Callable:
    """A function like `apply` that averages probabilities over all mirror images of its input.

    Args:
      apply: from a tensor `[batch, height, width, channels]`, or a mapping of tensors, to logits
        `[batch, height, width, outputs]`.
      sigmoid: whether each logit has its own probability; otherwise they are a softmax's.
      axes: the axes to mirror: (1, 2) for images, any of (1, 2, 3) for volumes.
      keys: of a mapping the tensors that are as high and wide as the image; the others stay as they are.

    Returns:
      A function to float32 logits whose sigmoid, or softmax, is the average: log p, or log p - log (1 - p).
      The model gets one mirror image at a time.
    """
    subsets = [subset for n in range(len(axes) + 1) for subset in itertools.combinations(axes, n)]

    def turned(value, subset):
        if isinstance(value, Mapping):
            return {key: turned(part, subset) if key in keys else part for key, part in value.items()}
        return tf.reverse(value, subset) if subset else tf.identity(value)

    def answer(inputs, subset):
        return turned(tf.cast(apply(turned(inputs, subset)), tf.float32), subset)

    return lambda inputs: mean_answer(
        [functools.partial(answer, inputs, subset) for subset in subsets], sigmoid=sigmoid
    )


def mean_answer(answers: Sequence[Callable], *, sigmoid: bool):
    """Logits whose probabilities are the mean of several outputs' probabilities.

    Args:
      answers: functions without arguments that return logits `[…, outputs]`; they are computed one after the other,
        so that only the memory of one is needed at a time.
      sigmoid: whether each logit has its own probability; otherwise they are a softmax's.

    Returns:
      float32 in their shape: log p - log (1 - p), or log p.
    """
    total, rest, after = None, None, []
    for answer in answers:
        # Otherwise all would be computed side by side, in as many times the memory.
        with tf.control_dependencies(after):
            logits = tf.cast(answer(), tf.float32)
        if sigmoid:
            rest = _log_add(rest, tf.math.log_sigmoid(-logits))
            logs = tf.math.log_sigmoid(logits)
        else:
            logs = tf.nn.log_softmax(logits)
        total = _log_add(total, logs)
        after = [total]
    return total - rest if sigmoid else total - math.log(len(answers))


def _log_add(a, b):
    """log(exp(a) + exp(b)); None stands for exp(a) = 0."""
    return b if a is None else tf.maximum(a, b) + tf.math.log1p(tf.exp(-tf.abs(a - b)))
