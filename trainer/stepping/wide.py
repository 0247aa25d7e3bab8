"""Gradients in float64, so that the same global batch gives the same bits on any number of replicas of a CPU.

A float32 gradient is rounded where a replica's images or a micro-batch end, and differs in its last bits with their
number. Adam divides by the gradient's size, ReLU and max-pooling decide by the sign of a difference: in a U-Net ten
steps make 1e-2 of such a bit. So a layer may hand over what groups of images contribute, added up in float64, which
loses nothing that float32 holds; the step adds up in float64 and rounds once, at the end.

What is left to hold is that an image's own arithmetic does not depend on the images beside it, as it does not on a CPU.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator

import tensorflow as tf

from configs.schema import Config

# Replicas for which groups of images are made when there is no reason to go further: every image by itself takes a
# U-Net 6 % longer, pairs of them nothing that was measured.
_REPLICAS = 4

# Replicas of a MirroredStrategy are traced in threads of their own.
_thread = threading.local()


class WideVariables:
    """Float64 stand-ins of variables, for the time of one forward pass under a tape.

    Attributes:
      images: neighbours in the batch whose contributions a layer may add up in a type of its own.
    """

    def __init__(self, tape, images: int):
        self._tape, self.images = tape, images
        self._made: dict[int, tf.Tensor] = {}

    def of(self, variable) -> tf.Tensor:
        """The stand-in of a Keras variable: an operation that reads the variable tells its gradient to this instead."""
        if id(variable) not in self._made:
            # Not recorded: a part of the gradient that comes by another way, as a regulariser's, stays the variable's.
            with self._tape.stop_recording():
                self._made[id(variable)] = tf.cast(tf.convert_to_tensor(variable.value), tf.float64)
            self._tape.watch(self._made[id(variable)])
        return self._made[id(variable)]

    def gradients(self, target: tf.Tensor, variables) -> list[tf.Tensor | None]:
        """As `tape.gradient`; float64 where a layer told so."""
        made = [self._made.get(id(variable)) for variable in variables]
        asked = [stand_in for stand_in in made if stand_in is not None]
        plain, told = self._tape.gradient(target, [list(variables), asked])
        told = iter(told)
        return [_sum(g, None if stand_in is None else next(told)) for g, stand_in in zip(plain, made, strict=True)]


def images_together(config: Config) -> int:
    """How many images may share a rounding: as many as are never parted, or 0 for gradients in the variables' type.

    On 1, 2 and 4 replicas (as far as they divide the batch) the same images then do; with `config.deterministic` on any
    number. Accelerators add up in an order of their own, and XLA changes what an image's arithmetic depends on.
    """
    accelerators = [d for d in tf.config.list_logical_devices() if d.device_type in ("GPU", "TPU")]
    if accelerators or config.train.jit_compile:
        return 0
    if config.deterministic:
        return 1
    micro_batch = config.train.batch_size // config.train.accumulate
    return micro_batch // math.gcd(micro_batch, _REPLICAS)


@contextlib.contextmanager
def wide_variables(tape, images: int) -> Iterator[WideVariables]:
    """Offers float64 stand-ins to the layers that are called inside, or, if `images` is 0, none."""
    made = WideVariables(tape, images)
    _thread.offered = made if images else None
    try:
        yield made
    finally:
        _thread.offered = None


def offered() -> WideVariables | None:
    """What a layer finds while it is called for a gradient in float64."""
    return getattr(_thread, "offered", None)


def sum_over_space(x: tf.Tensor) -> tf.Tensor:
    """`[batch, height, width, channels]` to float64 `[batch, channels]`: rows in float32, since a long sum drifts."""
    return tf.reduce_sum(tf.cast(tf.reduce_sum(x, axis=2), tf.float64), axis=1)


def _sum(plain, told):
    if plain is None or told is None:
        return told if plain is None else plain
    return tf.cast(plain, tf.float64) + told
