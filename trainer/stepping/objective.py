"""Config -> the objective: from labels and logits to the scalar that is differentiated, and its parts.

A loss of `losses/` takes class ids and logits and honours void pixels itself. A loss of the user's is called as Keras
calls it, `function(y_true, y_pred)`; void pixels reach it as rows of zeros, or as a mask where it takes one.
"""

from __future__ import annotations

import dataclasses
import inspect
import numbers
import reprlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import losses
from configs.schema import Config
from trainer.errors import UserError
from trainer.parts import load_attribute


class ObjectiveValue(NamedTuple):
    """total: scalar float32; parts: name -> scalar float32, unweighted, for the reports."""

    total: tf.Tensor
    parts: dict[str, tf.Tensor]


AllReduce = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Objective:
    """`objective(labels, outputs, all_reduce=None)`.

    Labels are int32 ids `[batch, height, width]` with the void id; outputs are the model's: logits
    `[batch, height, width, outputs]`, or a list of them, each half the size of the one before (deep supervision).

    Attributes:
      name: as in the config.
      parts: names of the parts it reports.
      batchwide: it sums over the whole batch, so that replicas and micro-batches have to add up what they sum; found
        by asking, not by the name.
      users: a function of the user's, not one of ours.
    """

    name: str
    function: Callable[..., ObjectiveValue]
    parts: tuple[str, ...]
    batchwide: bool
    users: bool

    def __call__(self, labels, outputs, all_reduce: AllReduce | None = None) -> ObjectiveValue:
        levels = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if len(levels) == 1:
            return self.function(labels, levels[0], all_reduce)
        shares = [2.0**-i for i in range(len(levels))]
        total, first = 0.0, None
        for i, (share, logits) in enumerate(zip(shares, levels, strict=True)):
            value = self.function(labels[:, :: 2**i, :: 2**i], logits, all_reduce)
            total += share / sum(shares) * value.total
            first = first or value
        return ObjectiveValue(total, first.parts)


def build_objective(config: Config, outputs: int) -> Objective:
    """Builds the objective of a config; `outputs` is the number of logits a pixel.

    Raises:
      UserError: a loss of the user's cannot be imported, or one of ours does not fit the model's outputs or options.
    """
    if ":" in config.loss.name:
        function = _users_function(config, outputs)
        return Objective(config.loss.name, function, (), False, users=True)
    called: list[tf.Tensor] = []

    def record(sums):
        called.append(sums)
        return sums

    try:
        function = _library_function(config, outputs)
        probe = function(tf.zeros((1, 8, 8), tf.int32), tf.zeros((1, 8, 8, outputs)), record)
    except (TypeError, ValueError) as error:
        raise UserError(f"config.loss.name={config.loss.name!r} with {outputs} logit(s) a pixel: {error}") from error
    return Objective(config.loss.name, function, tuple(value for value in probe.parts), bool(called), users=False)


def _library_function(config: Config, outputs: int):
    common = {"ignore_id": config.data.void_id, "activation": "sigmoid" if outputs == 1 else "softmax"}
    options = {name: dict(values) for name, values in config.loss.options.items()}
    options["*"] = {**common, **options.get("*", {})}
    loss = losses.build(config.loss.name, weights=config.loss.weights or None, options=options)

    def function(labels, logits, all_reduce):
        # One logit a pixel wants labels of its shape: losses/ never adds or drops an axis by itself.
        ids = labels[..., tf.newaxis] if outputs == 1 else labels
        value = loss(ids, logits, all_reduce=all_reduce)
        return ObjectiveValue(value.total, dict(value.parts))

    return function


def _users_function(config: Config, outputs: int):
    """Wraps a function, a Keras Loss object or a Loss class of the user's."""
    loss = load_attribute(config.loss.name, "config.loss.name")
    if inspect.isbuiltin(loss):
        raise UserError(
            f"config.loss.name={config.loss.name!r} is written in C and knows no tensors.\n"
            "  Name a function of yours that is called as loss(y_true, y_pred) and computes with TensorFlow."
        )
    if inspect.isclass(loss):
        try:
            loss = loss()
        except Exception as error:
            raise UserError(
                f"config.loss.name={config.loss.name!r} is a class, and {loss.__name__}() raised "
                f"{type(error).__name__}: {error}.\n  Name a function, or a class whose arguments all have defaults."
            ) from error
    try:
        accepted = inspect.signature(loss).parameters
    except (TypeError, ValueError):
        accepted = {}
    mask_name = next((name for name in ("mask", "sample_weight") if name in accepted), None)
    void = config.data.void_id

    def function(labels, logits, all_reduce):
        del all_reduce
        valid = labels != void
        y_pred = logits
        if not config.loss.from_logits:
            y_pred = tf.sigmoid(logits) if outputs == 1 else tf.nn.softmax(logits)
        if config.loss.labels == "ids":
            y_true = labels
        elif outputs == 1:
            y_true = tf.cast(valid & (labels == 1), tf.float32)[..., None]
        else:
            # one_hot gives a row of zeros for an id outside the classes, which the void id is.
            y_true = tf.one_hot(tf.where(valid, labels, -1), outputs)
        extra = {mask_name: tf.cast(valid, tf.float32)} if mask_name else {}
        # The result's form is the user's: a scalar, or a value an image or a pixel, of which the mean is taken here,
        # once, so that it means the same on any number of replicas.
        value = loss(y_true, y_pred, **extra)
        if not isinstance(value, (tf.Tensor, tf.Variable, np.ndarray, numbers.Number)):
            raise UserError(
                f"config.loss.name={config.loss.name!r} returned {reprlib.repr(value)}, of type "
                f"{type(value).__name__}, and a loss is a tensor.\n  Return the value itself: a scalar, or one for "
                "each image or pixel."
            )
        return ObjectiveValue(value if _is_scalar(value) else tf.reduce_mean(value), {})

    return function


def _is_scalar(value) -> bool:
    # A number that is no tensor is handed on as it is: the guard says what is wrong with it.
    return not tf.is_tensor(value) or value.shape.rank == 0
