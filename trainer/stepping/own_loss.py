"""A loss of the user's, called as Keras calls it: `loss(y_true, y_pred)`.

Void pixels reach it as rows of zeros, and no gradient comes back from them, or as a mask where it takes one. Further
parameters get the batch's values of their names, and `all_reduce` the function that sums over the global batch.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import reprlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.errors import UserError

# Losses of Keras that have no from_logits and mean nothing but probabilities; in lower case, without underscores.
_OF_PROBABILITIES = ("dice", "tversky", "kldivergence", "poisson", "categoricalgeneralizedcrossentropy")
# Keras losses that compare class ids.
_OF_IDS = ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy")
# What is in the names of predictions and of labels, which other libraries have in this order.
_PREDICTIONS, _LABELS = ("pred", "logit", "output", "input"), ("true", "label", "target", "mask")


def own_loss(
    loss: Any, name: str, field: str, config: Config, outputs: int, activation: str
) -> tuple[Callable[..., dict[str, tf.Tensor]], bool, Callable]:
    """Wraps a function, a Keras Loss object or a Loss class of the user's.

    Args:
      loss: the part.
      name, field: what messages call it and where it was given.
      config: `data` and `loss` are read.
      outputs: the number of logits a pixel.
      activation: "softmax" or "sigmoid" where the user's model ends in it, else "".

    Returns:
      A function (labels, logits, batch, all_reduce) -> terms; whether it sums over the whole batch; and the loss that
      it calls, which is an object where a class was given.

    Raises:
      UserError: it cannot be called as `loss(y_true, y_pred)`, or does not fit what the model gives.
    """
    if inspect.isbuiltin(loss):
        raise UserError(
            f"{field}={name!r} is written in C and cannot take tensors.\n"
            "  Name a function of yours that is called as loss(y_true, y_pred) and computes with TensorFlow."
        )
    if inspect.isclass(loss):
        try:
            # A Keras loss takes probabilities unless from_logits says otherwise.
            takes = loss.__module__.startswith("keras") and "from_logits" in inspect.signature(loss).parameters
            loss = loss(**({"from_logits": config.loss.from_logits and not activation} if takes else {}))
        except Exception as error:
            raise UserError(
                f"{field}={name!r} is a class, and {loss.__name__}() raised {type(error).__name__}: {error}.\n"
                "  Name a function, or a class whose arguments all have defaults."
            ) from error
    if isinstance(loss, (list, tuple)):
        raise UserError(
            f'{field} is a {type(loss).__name__}: a sum of built-in losses is written "dice+cross_entropy", with '
            "Loss(weights=…), and one of your own is a function that adds its terms."
        )
    if not callable(loss):
        raise UserError(f"{field}={name!r} is of type {type(loss).__name__}; a loss is called as loss(y_true, y_pred).")
    further, needed = _parameters(loss, name, field)
    kind = loss.__name__ if inspect.isfunction(loss) else type(loss).__name__
    of_keras = (loss if inspect.isfunction(loss) else type(loss)).__module__.startswith("keras.")
    if kind in _OF_IDS and config.loss.labels != "ids":
        raise UserError(
            f"{field}={name!r} takes class ids, and a loss of your own gets one-hot labels unless it asks for ids.\n"
            "  Write --config.loss.labels=ids, and leave out void pixels, which are among them; or name the built-in "
            "cross_entropy, which does."
        )
    if getattr(loss, "from_logits", None) is False and config.loss.from_logits and not activation:
        kind = type(loss).__name__
        raise UserError(
            f"{field}={name!r} is a Keras loss of probabilities (from_logits=False), and the model gives logits.\n"
            f"  Write keras.losses.{kind}(from_logits=True), or give it probabilities: --config.loss.from_logits=false"
        )
    if of_keras and kind.replace("_", "").lower() in _OF_PROBABILITIES and config.loss.from_logits and not activation:
        raise UserError(
            f"{field}={name!r} is a Keras loss of probabilities, and the model gives logits.\n"
            "  Give it probabilities: --config.loss.from_logits=false"
        )
    if of_keras and inspect.isfunction(loss) and "from_logits" in inspect.signature(loss).parameters:
        # As a class of Keras's above: it takes probabilities unless it is said otherwise.
        loss = functools.partial(loss, from_logits=config.loss.from_logits and not activation)
    void, multi_label = config.data.void_id, config.data.multi_label
    sigmoid = activation == "sigmoid" if activation else outputs == 1 or multi_label
    probabilities = not config.loss.from_logits or (activation and not getattr(loss, "from_logits", False))

    def function(labels, logits, batch, all_reduce):
        valid = labels != void
        y_pred = logits
        if probabilities:
            y_pred = tf.sigmoid(logits) if sigmoid else tf.nn.softmax(logits)
        if config.loss.labels == "ids":
            y_true = labels
        elif multi_label:
            y_true = tf.cast(labels == 1, tf.float32)
            valid = tf.reduce_all(valid, axis=-1)
        elif outputs == 1:
            y_true = tf.cast(valid & (labels == 1), tf.float32)[..., None]
        else:
            # one_hot gives a row of zeros for an id outside the classes, which the void id is.
            y_true = tf.one_hot(tf.where(valid, labels, -1), outputs)
        given = {key: batch[key] for key in further if key in batch}
        mask = next((key for key in ("mask", "sample_weight") if key in further and key not in given), None)
        if mask and (not isinstance(loss, keras.losses.Loss) or _weighs_pixels(loss, y_true, y_pred)):
            given[mask] = tf.cast(valid, tf.float32)
        elif "sample_weight" in given and given["sample_weight"].shape.rank == valid.shape.rank:
            # A key of the examples: void pixels have the weight 0, whatever it says of them.
            given["sample_weight"] = tf.where(valid, tf.cast(given["sample_weight"], tf.float32), 0.0)
        elif mask and probabilities:
            # Zeros in both add nothing to an overlap or a size.
            y_pred = y_pred * tf.cast(valid, tf.float32)[..., None]
        if config.loss.labels != "ids" and (mask is None or mask not in given):
            # TensorFlow's cross-entropy of a row of zeros is 0, and its gradient is not: it is the softmax.
            y_pred = tf.where(valid[..., tf.newaxis], y_pred, tf.stop_gradient(y_pred))
        if "all_reduce" in further:
            given["all_reduce"] = all_reduce
        missing = [key for key in needed if key not in given]
        if missing:
            there = ", ".join(["mask", "sample_weight", "all_reduce", *(key for key in batch if key != "index")])
            raise UserError(
                f"{field}={name!r} also takes {', '.join(missing)}, and beside y_true and y_pred there is {there}.\n"
                "  Give the examples such a key, or the parameter a default."
            )
        # The loss may return a scalar, or a value for each image or pixel. The mean is taken here, once, so that it
        # means the same on any number of replicas.
        try:
            value = loss(y_true, y_pred, **given)
        except Exception as error:
            if not of_keras:
                raise
            shapes = ", ".join(
                f"{name} {v.dtype.name} {v.shape}" for name, v in (("y_true", y_true), ("y_pred", y_pred))
            )
            message = str(error).strip().splitlines() or [""]
            raise UserError(
                f"{field}={name!r} cannot be used here: it raised {type(error).__name__}: {message[0][:300]}\n"
                f"  It was called with {shapes}."
            ) from error
        if hasattr(value, "parts") and hasattr(value, "total"):
            # The result of `losses.build`.
            return {"loss": value.total}
        if not isinstance(value, (tf.Tensor, tf.Variable, np.ndarray, numbers.Number)):
            raise UserError(
                f"{field}={name!r} returned {reprlib.repr(value)}, of type {type(value).__name__}, and a loss is a "
                "tensor.\n"
                "  Return the value itself: a scalar, or one for each image or pixel."
            )
        return {"loss": value if _is_scalar(value) else tf.reduce_mean(_without_void(value, valid))}

    return function, "all_reduce" in further, loss


def _without_void(value: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """A value for each pixel `[batch, height, width]`, or one for each of its classes, with 0 where the label is void.

    A row of zeros is no error to a cross-entropy of the softmax, and "none of the classes" to one of sigmoids.
    """
    rank = valid.shape.rank
    if value.shape.rank not in (rank, rank + 1) or not value.shape[:rank].is_compatible_with(valid.shape):
        return value
    return tf.where(valid if value.shape.rank == rank else valid[..., tf.newaxis], value, tf.zeros([], value.dtype))


def _weighs_pixels(loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor) -> bool:
    """Whether a Keras loss has a value for each pixel, to be weighted; a Dice has one for an image, or for all."""
    try:
        specs = (tf.TensorSpec(value.shape, value.dtype) for value in (y_true, y_pred))
        return tf.function(loss.call).get_concrete_function(*specs).output_shapes.rank == y_pred.shape.rank - 1
    except Exception:  # the call itself reports what is wrong
        return True


def _parameters(loss: Any, name: str, field: str) -> tuple[list[str], list[str]]:
    """The parameters of a loss after y_true and y_pred, and which of them have no default.

    Raises:
      UserError: it does not take two arguments.
    """
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):
        return [], []
    first, second = [*signature.parameters, "", ""][:2]
    if any(word in first for word in _PREDICTIONS) and any(word in second for word in _LABELS):
        raise UserError(
            f"{field}={name!r} takes ({first}, {second}), and a loss is called as loss(y_true, y_pred): labels first. "
            "Write its first two parameters the other way round."
        )
    further = [p for p in list(signature.parameters.values())[2:] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    try:
        signature.bind(None, None, **{p.name: None for p in further})
    except TypeError:
        names = ", ".join(signature.parameters)
        raise UserError(f"{field}={name!r} takes ({names}), and a loss is called as loss(y_true, y_pred).") from None
    return [p.name for p in further], [p.name for p in further if p.default is p.empty]


def _is_scalar(value) -> bool:
    # A number that is no tensor stays as it is, so that the guard reports what is wrong with it.
    return not tf.is_tensor(value) or value.shape.rank == 0
