"""The guard for a Keras model, as `compile` and `fit` use it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .capture.frames import site_of_error
from .causes.removed_function import moved_names
from .explanation import explain
from .words.finding import Report, path_of

_GRAPH_WORDS = re.compile(r"\{\{function_node .*?\}\} ?| ?\[Op:\w+\]( name: *)?")
_EXAMPLES = 32  # enough of a training set to see a gradient


def explain_model(
    model: keras.Model,
    loss_fn: Any = None,
    x: Any = None,
    y: Any = None,
    *,
    sample_weight: Any = None,
    loss_weights: Any = None,
    allow: Sequence[str] = (),
    allow_form: str = "explain_model(…, allow=[{!r}])",
) -> Report:
    """Reports which variables of a Keras model do not learn from a loss, as `compile` and `fit` use the two.

        report = explain_model(model, dice_loss, images, masks)
        print(report)

    Args:
      model: any Keras model; built on `x` if it is not yet.
      loss_fn: what `compile(loss=...)` takes: a name, a `keras.losses.Loss`, a function `(y_true, y_pred)`, or a list
        or dict of them for several outputs. None: the loss the model was compiled with, its `compute_loss` included.
      x, y: inputs and labels as `fit` takes them: arrays, tensors, lists or dicts of them (the first 32 examples are
        used), or a `tf.data.Dataset` as `x`, of which one batch is taken.
      sample_weight, loss_weights: as `fit` and `compile` take them.
      allow: regular expressions; variables whose whole path one of them matches may have no gradient.
      allow_form: how the report writes what to allow, where another program asks.

    Returns:
      A report; losses that layers add (`add_loss`, regularisers) count. `K.flatten` and other functions that
      `keras.backend` has lost become a finding, too.

    Raises:
      ValueError: there is no loss or no data, or the loss does not fit predictions and labels; the text has their
        shapes, types and ranges.
    """
    x, y, sample_weight = _one_batch(x, y, sample_weight)
    losses = _compiled_losses(model, loss_fn, loss_weights)
    if not model.built:
        model(x)

    def forward_loss():
        predictions = model(x, training=True)
        loss = losses.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, training=True)
        return loss if losses is model else tf.add_n([loss, *map(tf.reduce_sum, model.losses)])

    def by_hand():
        function = loss_fn if loss_fn is not None else getattr(model, "loss", None)
        return tf.reduce_mean(function(y, model(x, training=True)))

    report = _explain(model, forward_loss, x, y, by_hand)
    report = dataclasses.replace(report, allow_form=allow_form).allowing(allow)
    note = _broadcast_note(loss_fn, model, x, y)
    return dataclasses.replace(report, notes=(*report.notes, note)) if note else report


class _Losses(keras.Model):
    """A stand-in that compiles losses as the model would, and leaves the model as it was compiled."""

    def __init__(self, output_names: Sequence[str] | None):
        super().__init__()
        if output_names is not None:
            self.output_names = list(output_names)


def _compiled_losses(model: keras.Model, loss_fn: Any, loss_weights: Any) -> keras.Model:
    if loss_fn is not None:
        losses = _Losses(getattr(model, "output_names", None))
        losses.compile(loss=loss_fn, loss_weights=loss_weights, jit_compile=False)
        return losses
    if not model.compiled:
        raise ValueError(
            "explain_model needs a loss: give it one, or compile the model with one first.\n"
            "    explain_model(model, 'binary_crossentropy', images, masks)\n"
            f"Received: loss_fn=None and the uncompiled model {model.name!r}"
        )
    return model


def _one_batch(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    if x is None:
        raise ValueError("explain_model needs data: explain_model(model, loss_fn, images, masks). Received: x=None")
    if isinstance(x, tf.data.Dataset):
        return keras.utils.unpack_x_y_sample_weight(next(iter(x)))
    return tuple(tf.nest.map_structure(_first_examples, part) for part in (x, y, sample_weight))


def _first_examples(array: Any) -> Any:
    """The first examples as a tensor, NumPy's double precision made Keras's single, as `fit` does."""
    if array is None or not hasattr(array, "shape"):
        return array
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        array = array.astype(keras.config.floatx())
    rows = array[:_EXAMPLES] if len(array.shape) else array
    return tf.convert_to_tensor(rows) if isinstance(rows, np.ndarray) else rows


def _explain(model: keras.Model, forward_loss, x: Any, y: Any, by_hand) -> Report:
    variables = model.trainable_variables
    try:
        return explain(forward_loss, variables)
    except Exception as error:
        report = moved_names(error, [path_of(variable) for variable in variables])
        why = _why_it_failed(error, model, x, y)
        report = report or _called_by_hand(by_hand, variables, why)
        if report is None:
            raise ValueError(why) from error
        return report


def _called_by_hand(by_hand, variables, why: str) -> Report | None:
    """A report on a loss that Keras could not call, from calling it directly with labels and predictions."""
    try:
        report = explain(by_hand, variables)
    except Exception:  # it fails either way; the first error is the one to report
        return None
    note = f"Besides, Keras cannot compute this loss. {' '.join(why.split())}"
    return None if report.ok else dataclasses.replace(report, notes=(*report.notes, note))


def _why_it_failed(error: Exception, model: keras.Model, x: Any, y: Any) -> str:
    """The loss's inputs with shapes, types and ranges: the usual reasons for an error inside it."""
    site = site_of_error(error)
    message_lines = _GRAPH_WORDS.sub("", str(error).strip()).splitlines()
    lines = [f"The loss could not be computed: {type(error).__name__}: {message_lines[0] if message_lines else ''}"]
    if site is not None:
        lines.append(f"  at {site.file}:{site.line}:  {site.code}")
    try:
        predictions = model(x, training=False)
    except Exception:  # the model itself fails; its error is the one to report
        lines.append(f"  inputs:      {_described(x)}")
        return "\n".join(lines)
    lines += [f"  predictions: {_described(predictions)}", f"  labels:      {_described(y)}"]
    lines += _advice_on(predictions, y)
    return "\n".join(lines)


def _described(data: Any) -> str:
    """Shape, type and range of every tensor of a structure."""
    parts = []
    for tensor in tf.nest.flatten(data):
        values = np.asarray(tensor)
        span = (
            f", values {values.min():.4g} to {values.max():.4g}" if values.size and values.dtype.kind in "fiub" else ""
        )
        parts.append(f"shape {tuple(values.shape)}, {values.dtype}{span}")
    return "; ".join(parts)


def _advice_on(predictions: Any, y: Any) -> list[str]:
    lines = []
    for prediction, label in zip(tf.nest.flatten(predictions), tf.nest.flatten(y), strict=False):
        shape, wanted_shape = tuple(np.shape(label)), tuple(prediction.shape)
        are_ids = tf.as_dtype(label.dtype).is_integer and shape in (wanted_shape[:-1], (*wanted_shape[:-1], 1))
        if are_ids and wanted_shape[-1] > 1:
            lines.append(
                f"  Labels that are class ids have to lie in 0..{wanted_shape[-1] - 1}. Keras hands them on in the "
                "type of the predictions: write y_true = tf.cast(y_true, tf.int32) in a loss that takes whole numbers."
            )
            continue
        if tf.as_dtype(label.dtype) != prediction.dtype:
            lines.append("  Types differ. Cast the labels, not the prediction: y_true = tf.cast(y_true, y_pred.dtype)")
        if shape != wanted_shape and (*shape, 1) == wanted_shape:
            lines.append("  The labels lack the last axis, which may broadcast: y_true = y_true[..., None]")
        elif shape != wanted_shape:
            lines.append(f"  The shapes differ: labels {shape}, predictions {wanted_shape}.")
    return lines


def _broadcast_note(loss_fn: Any, model: keras.Model, x: Any, y: Any) -> str | None:
    """Labels `[n]` and predictions `[n, 1]` broadcast to `[n, n]` in a user's own Loss; Keras's losses adapt."""
    own = isinstance(loss_fn, keras.losses.Loss) and all(
        base.__name__ != "LossFunctionWrapper" for base in type(loss_fn).__mro__
    )
    if not own or not hasattr(y, "shape"):
        return None
    predicted = model(x, training=False)
    labels, predictions = tuple(y.shape), tuple(getattr(predicted, "shape", ()))
    if (*labels, 1) != predictions:
        return None
    return (
        f"Labels of shape {labels} meet predictions of shape {predictions}: subtracted or multiplied they broadcast to "
        f"{tuple(np.broadcast_shapes(labels, predictions))}, which compares every example with every other. Write "
        "y_true = y_true[..., None] in the loss."
    )
